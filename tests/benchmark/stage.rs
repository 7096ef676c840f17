//! What every measurement needs: a system, a controller, a tenant, and callers.

use std::time::Duration;

use runwarden_harness::ports::Port;
use runwarden_harness::tenant::mapping;
use runwarden_harness::{Api, Credentials, Settings, System, until_within};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use crate::controller::{Controller, Options};
use crate::usage::{self, Usage};

/// What is submitted: takes variables, nothing else.
pub(crate) const TEMPLATE: &str = "ask-variables";
/// How many requests are out at once when jobs are submitted as fast as they are taken.
const AT_ONCE: u64 = 16;

/// A started system with a controller and one tenant.
pub(crate) struct Stage {
    /// Runwarden, all services in one process.
    pub(crate) system: System,
    /// The controller.
    pub(crate) controller: Controller,
    platform: Api,
    admin: Api,
    launcher: Credentials,
    metrics: Port,
    http: reqwest::Client,
}

impl Stage {
    /// Starts all of it.
    pub(crate) async fn set(options: &Options) -> Self {
        Self::with(options, |settings| settings).await
    }

    /// Starts all of it, with other settings.
    pub(crate) async fn with(options: &Options, adapt: impl FnOnce(Settings) -> Settings) -> Self {
        let controller = Controller::start(options).await;
        let metrics = Port::take();
        let settings = Settings::new(env!("CARGO_BIN_EXE_runwarden")).that_stays();
        let settings = settings.set("RUNWARDEN_METRICS_LISTEN", &metrics.address().to_string());
        // Jobs that start tomorrow wait until then.
        let settings = settings.set("RUNWARDEN_EXECUTOR_QUEUE_LIMIT", "100000000");
        let system = System::start(&adapt(settings)).await;
        let platform = system.reach().platform_admin().await;
        let _tenant =
            platform.post("/api/v1/tenants", &json!({"name": "acme", "display_name": "Acme"})).await.expect(201);
        let acting = platform.acting_for("acme");
        let body = json!({"name": "administrator", "roles": ["tenant-admin"]});
        let credentials = Credentials::of(&acting.post("/api/v1/clients", &body).await.expect(201));
        let admin = system.reach().admin(&credentials).await;
        let _project = admin.post("/api/v1/projects", &json!({"name": "web"})).await.expect(201);
        let _controller = admin.post("/api/v1/controllers", &controller.mapping("awx")).await.expect(201);
        let body = json!({"name": "ci", "project": "web", "roles": ["launcher"]});
        let launcher = Credentials::of(&admin.post("/api/v1/clients", &body).await.expect(201));
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self { system, controller, platform, admin, launcher, metrics, http }
    }

    /// Maps one of the controller's templates, with a number as its only parameter, and room for a marker.
    pub(crate) async fn map(&self, template: &str, max_concurrent: u64) {
        let parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let settings = json!({"parameters": parameters, "max_concurrent": max_concurrent});
        let _template = self.admin.post("/api/v1/templates", &mapping(template, template, settings)).await.expect(201);
    }

    /// Stores a policy of the platform that decides about the tenant's jobs.
    pub(crate) async fn decide_by(&self, name: &str, rego: &str) {
        let put = self.platform.call(reqwest::Method::PUT, &format!("/api/v1/policies/{name}"));
        let stored = put.json(&json!({"rego": rego})).send().await;
        assert!(stored.status < 300, "the policy is stored: {}", stored.json());
    }

    /// Makes a service account that may launch, and answers its id.
    pub(crate) async fn account(&self, name: &str) -> String {
        let body = json!({"name": name, "project": "web", "roles": ["launcher"]});
        Credentials::of(&self.admin.post("/api/v1/clients", &body).await.expect(201)).id
    }

    /// The tenant's administrator.
    pub(crate) fn admin(&self) -> &Api {
        &self.admin
    }

    /// Where callers and senders reach it.
    pub(crate) fn public_url(&self) -> &str {
        &self.system.reach().base_url
    }

    /// A caller that may launch, with a fresh token and connections that it keeps.
    pub(crate) async fn caller(&self) -> Api {
        self.system.reach().caller(&self.launcher).await
    }

    /// What Runwarden has used.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(usage::child("up"))
    }

    /// What the controller has used.
    pub(crate) fn controller_usage(&self) -> Usage {
        Usage::of(self.controller.pid)
    }

    /// One of Runwarden's metrics, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let request = self.http.get(format!("http://{}/metrics", self.metrics.address()));
        let text = request.send().await.expect("metrics").text().await.expect("metrics in full");
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Submits the jobs of these numbers as fast as they are taken. Answers their ids, in the order of the numbers.
    pub(crate) async fn submit_all(&self, template: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
        let caller = self.caller().await;
        let mut submitters = JoinSet::new();
        for first in 0..AT_ONCE {
            let (caller, template) = (caller.clone(), template.to_owned());
            let (from, to) = (numbers.start + first, numbers.end);
            submitters.spawn(async move {
                let mut made = Vec::new();
                for n in (from..to).step_by(AT_ONCE as usize) {
                    let job = caller.submit(&template, json!({"n": n})).await;
                    made.push((n, job.get("id").and_then(Value::as_str).expect("an id").to_owned()));
                }
                made
            });
        }
        let mut made: Vec<(u64, String)> = submitters.join_all().await.into_iter().flatten().collect();
        made.sort();
        made.into_iter().map(|(_, id)| id).collect()
    }

    /// Waits until Runwarden has told the end of so many jobs.
    pub(crate) async fn finished(&self, jobs: u64, within: Duration) {
        let what = format!("the end of {jobs} jobs");
        let all = async || (self.metric("runwarden_jobs_finished_total").await >= jobs as f64).then_some(());
        until_within(within, &what, all).await;
    }
}

/// When jobs start that are not to start yet, as the API takes it.
pub(crate) fn tomorrow() -> String {
    (OffsetDateTime::now_utc() + time::Duration::DAY).format(&Rfc3339).expect("a time of this age")
}
