//! One job, from a token to its end, under a trace that its caller began.

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, Credentials, Settings, System, Tenant};
use serde_json::{Value, json};

use crate::collector::Collector;

/// The caller's trace, and its span in it.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const CALLER: &str = "00f067aa0ba902b7";
/// The caller's id of the request.
pub(crate) const REQUEST: &str = "ci-run-1729";
/// A parameter that nobody may read anywhere.
const PASSWORD: &str = "correct-horse-battery-staple";

pub(crate) struct Walk {
    _controller: Controller,
    pub(crate) system: System,
    pub(crate) collector: Collector,
    /// The job when it was over.
    pub(crate) job: Value,
    /// What must stand in no trace, log or metric.
    pub(crate) secrets: Vec<String>,
}

impl Walk {
    /// Takes a job all the way on a system with these settings.
    pub(crate) async fn take(settings: Settings) -> Self {
        let (collector, address) = Collector::start().await;
        let controller = Controller::start().await;
        let system = System::start(&settings.set("RUNWARDEN_OTLP_ENDPOINT", &format!("http://{address}"))).await;
        let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
        let _mapped = acme.map("deploy", "deploy").await;
        let token = token(&acme).await;
        let parameters = json!({"environment": "dev", "version": "1.4.2", "deploy_password": PASSWORD});
        let call = acme.launcher.call(Method::POST, "/api/v1/jobs");
        let call = call.json(&json!({"template": "deploy", "parameters": parameters}));
        let answer = call.header("traceparent", &traceparent()).header("x-request-id", REQUEST).send().await;
        let accepted = answer.expect(202);
        assert_eq!(answer.header("x-request-id"), REQUEST);
        assert_eq!(text(&accepted, "trace_id"), TRACE);
        let job = acme.launcher.over(text(&accepted, "id")).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
        let secrets = vec![
            PASSWORD.to_owned(),
            token,
            acme.launcher.token().to_owned(),
            acme.launcher_credentials.secret.clone(),
            acme.admin_credentials.secret.clone(),
            controller.sandbox().token().to_owned(),
        ];
        assert!(secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
        Self { _controller: controller, system, collector, job, secrets }
    }

    pub(crate) fn id(&self) -> &str {
        text(&self.job, "id")
    }

    pub(crate) fn keeps_secrets(&self, what: &str, told: &str) {
        for secret in &self.secrets {
            assert!(!told.contains(secret.as_str()), "{what} tells a secret: {told}");
        }
        // The signature is what makes a token; its other parts are not secret, but have no business here either.
        assert!(!told.contains("eyJ"), "{what} holds a part of a token: {told}");
    }
}

pub(crate) fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// A token obtained within the same trace.
async fn token(acme: &Tenant) -> String {
    let Credentials { id, secret } = &acme.launcher_credentials;
    let url = format!("{}/api/v1/auth/token", acme.launcher.base());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(url).basic_auth(id, Some(secret));
    let request = request.form(&[("grant_type", "client_credentials")]).header("traceparent", traceparent());
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    text(&answer, "access_token").to_owned()
}
