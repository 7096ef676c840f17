//! The sandbox controller of a test: its levers, and its ledger of what really happened.

use reqwest::Method;
use runwarden_sandbox::{Options, Sandbox, UseAnsible};
use serde_json::{Value, json};

/// A running sandbox controller.
pub struct Controller {
    sandbox: Sandbox,
    http: reqwest::Client,
}

impl Controller {
    /// Starts one that is fast and simulates its playbooks.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one with these settings, fast and simulated all the same.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_with(options: Options) -> Self {
        let options = Options { speed: 20.0, use_ansible: UseAnsible::Never, ..options };
        let sandbox = Sandbox::start(options).await.expect("the sandbox controller starts");
        Self { sandbox, http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client") }
    }

    /// The sandbox itself.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.sandbox.stop().await;
    }

    /// What is sent to map it.
    #[must_use]
    pub fn mapping(&self, name: &str) -> Value {
        json!({
            "name": name, "url": self.sandbox.url(), "api_root": self.sandbox.api_root(),
            "credential": {"token": self.sandbox.token()},
        })
    }

    /// The id of one of the sandbox's templates.
    ///
    /// # Panics
    /// When it has none of that name.
    #[must_use]
    pub fn template(name: &str) -> u64 {
        const NAMES: [&str; 20] = [
            "plain",
            "deploy",
            "ask-everything",
            "fails",
            "hangs",
            "prints-a-lot",
            "sliced",
            "survey-only",
            "one-at-a-time",
            "no-inventory",
            "restricted",
            "release",
            "release-with-variables",
            "ask-variables",
            "errors",
            "release-fails",
            "ask-skip-tags",
            "asks-password",
            "preset",
            "release-with-survey",
        ];
        let at = NAMES.iter().position(|known| *known == name).expect("a template of the sandbox");
        9 + u64::try_from(at).expect("a small number")
    }

    /// The runs that launches of this template became, in their order.
    #[must_use]
    pub fn launches(&self, template: &str) -> Vec<u64> {
        let id = Self::template(template);
        self.sandbox.ledger().iter().filter(|entry| entry.template == id).map(|entry| entry.run).collect()
    }

    /// How many requests have become launches in all.
    #[must_use]
    pub fn launched(&self) -> usize {
        self.sandbox.ledger().len()
    }

    /// A run as it truly is, secrets in clear.
    pub async fn run(&self, id: u64) -> Value {
        self.control(Method::GET, &format!("runs/{id}"), None).await
    }

    /// Orders a fault for the next launch of a template.
    pub async fn at_next_launch(&self, fault: Value) {
        self.order(json!({"method": "POST", "path": "/launch", "fault": fault})).await;
    }

    /// Orders a fault.
    pub async fn order(&self, fault: Value) {
        self.control(Method::POST, "faults", Some(fault)).await;
    }

    /// Faults that have not struck yet.
    pub async fn faults_due(&self) -> usize {
        self.control(Method::GET, "faults", None).await.get("items").and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Changes a template, as somebody there would.
    pub async fn change_template(&self, name: &str, change: Value) {
        self.control(Method::PATCH, &format!("templates/{}", Self::template(name)), Some(change)).await;
    }

    /// Loses a run.
    pub async fn reap(&self, run: u64) {
        self.control(Method::POST, &format!("runs/{run}/reap"), None).await;
    }

    /// Whether what was launched is started.
    pub async fn dispatch(&self, running: bool) {
        self.control(Method::POST, "dispatcher", Some(json!({"running": running}))).await;
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}/sandbox/{path}", self.sandbox.url()));
        let mut request = request.bearer_auth(self.sandbox.control_token());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the sandbox answers");
        let status = response.status();
        let text = response.text().await.expect("the sandbox answers in full");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}
