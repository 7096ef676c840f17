//! The sandbox controller of a test: its levers, and its ledger of what really happened.

use reqwest::Method;
use runwarden_sandbox::{LedgerEntry, Options, Sandbox, UseAnsible};
use serde_json::{Value, json};

use crate::api::Credentials;

/// Pauses of a second take fifty milliseconds.
const FAST: f64 = 20.0;

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

    /// Starts one with these settings, simulated all the same, and fast unless they say another speed than the default.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_with(options: Options) -> Self {
        let unsaid = Options::default().speed;
        let speed = if options.speed.total_cmp(&unsaid).is_eq() { FAST } else { options.speed };
        let options = Options { speed, use_ansible: UseAnsible::Never, ..options };
        let sandbox = Sandbox::start(options).await.expect("the sandbox controller starts");
        Self { sandbox, http: reqwest::Client::builder().no_proxy().build().expect("an HTTP client") }
    }

    /// Starts one that runs real playbooks, if there is an `ansible-playbook` on the PATH.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_real() -> Self {
        let options = Options { speed: FAST, use_ansible: UseAnsible::Auto, ..Options::default() };
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
        self.sandbox.launched()
    }

    /// Every launch that took place, with what it was given, what was dropped, and what came of it.
    #[must_use]
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.sandbox.ledger()
    }

    /// A run as it truly is, secrets in clear.
    pub async fn run(&self, id: u64) -> Value {
        self.control(Method::GET, &format!("runs/{id}"), None).await
    }

    /// Orders a fault for the next launch of a template.
    pub async fn at_next_launch(&self, fault: Value) {
        self.order(at_launch(fault)).await;
    }

    /// Orders faults for the next launches of templates, one for each in their order; `none` lets one through.
    pub async fn at_next_launches(&self, faults: impl IntoIterator<Item = Value>) {
        self.plan(faults.into_iter().map(at_launch)).await;
    }

    /// Orders a fault.
    pub async fn order(&self, fault: Value) {
        self.control(Method::POST, "faults", Some(fault)).await;
    }

    /// Orders many faults, in their order.
    pub async fn plan(&self, faults: impl IntoIterator<Item = Value>) {
        let faults: Vec<Value> = faults.into_iter().collect();
        self.control(Method::POST, "faults/plan", Some(json!({"faults": faults}))).await;
    }

    /// Faults that have not struck yet.
    pub async fn faults_due(&self) -> usize {
        self.control(Method::GET, "faults", None).await.get("items").and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Forgets all faults that have not struck yet.
    pub async fn clear_faults(&self) {
        self.control(Method::DELETE, "faults", None).await;
    }

    /// Changes a template, as somebody there would.
    pub async fn change_template(&self, name: &str, change: Value) {
        self.control(Method::PATCH, &format!("templates/{}", Self::template(name)), Some(change)).await;
    }

    /// Sets what Runwarden's account may do with an object, such as `credentials` 5: `use`, `read` or `none`.
    pub async fn allow(&self, collection: &str, id: u64, right: &str) {
        self.control(Method::POST, &format!("rights/{collection}/{id}"), Some(json!({"right": right}))).await;
    }

    /// Takes a template and all its runs from Runwarden's account: lists leave them out, and each by itself is 403.
    pub async fn hide(&self, name: &str) {
        self.change_template(name, json!({"restricted": true})).await;
    }

    /// Gives a hidden template back.
    pub async fn show(&self, name: &str) {
        self.change_template(name, json!({"restricted": false})).await;
    }

    /// Loses a run. Its playbook goes on if it is at work: `still_at_work` of [`Controller::run`] and of the ledger.
    pub async fn reap(&self, run: u64) {
        self.control(Method::POST, &format!("runs/{run}/reap"), None).await;
    }

    /// Ends a run at once, or as soon as it runs: `successful`, `failed`, `error` or `canceled`. Ends the playbook of
    /// a run that was lost.
    pub async fn finish_run(&self, run: u64, status: &str) {
        self.control(Method::POST, &format!("runs/{run}/finish"), Some(json!({"status": status}))).await;
    }

    /// Has a run that is at work print this.
    pub async fn print(&self, run: u64, text: &str) {
        self.control(Method::POST, &format!("runs/{run}/print"), Some(json!({"text": text}))).await;
    }

    /// Ends all runs that are under way or still to come; answers how many.
    pub async fn finish_all(&self, status: &str) -> usize {
        let told = self.control(Method::POST, "runs/finish-all", Some(json!({"status": status}))).await;
        number(&told, "finished").try_into().unwrap_or(usize::MAX)
    }

    /// Deletes a run, whatever it is doing; only the ledger remembers it.
    pub async fn delete_run(&self, run: u64) {
        self.control(Method::DELETE, &format!("runs/{run}"), None).await;
    }

    /// Restores its database from a backup in which this was the latest run: what came after is gone, and those ids come
    /// again. Only the ledger remembers.
    pub async fn restore(&self, last_run: u64) {
        self.control(Method::POST, "restore", Some(json!({"last_run": last_run}))).await;
    }

    /// Has webhook notifications sent to an address, which takes a client's id and secret, on these occasions: `started`,
    /// `success`, `error`.
    pub async fn notify(&self, url: &str, client: &Credentials, on: &[&str]) {
        let target = json!({"url": url, "username": client.id, "password": client.secret, "on": on});
        self.control(Method::POST, "notifications", Some(json!({"target": target}))).await;
    }

    /// The next so many notifications get lost on their way.
    pub async fn lose_notifications(&self, count: u32) {
        self.control(Method::POST, "notifications", Some(json!({"lose": count}))).await;
    }

    /// AWX's test button.
    pub async fn test_notification(&self) {
        self.control(Method::POST, "notifications/test", None).await;
    }

    /// What the notifications so far were answered with: a status each, 0 for none.
    pub async fn notified(&self) -> Vec<u64> {
        let told = self.control(Method::GET, "notifications", None).await;
        let answers = told.get("answers").and_then(Value::as_array);
        answers.into_iter().flatten().filter_map(Value::as_u64).collect()
    }

    /// Starts another installation at the address of this one, with the same token, once this one is gone.
    pub async fn reinstall(self) -> Self {
        let (listen, token) = (self.sandbox.address(), self.sandbox.token());
        let options =
            Options { listen, token: Some(token), api_root: self.sandbox.api_root().to_owned(), ..Options::default() };
        self.stop().await;
        Self::start_with(options).await
    }

    /// Whether what was launched is started.
    pub async fn dispatch(&self, running: bool) {
        self.control(Method::POST, "dispatcher", Some(json!({"running": running}))).await;
    }

    /// Sets how many milliseconds the controller's clock is ahead, or if negative behind.
    pub async fn set_clock(&self, offset_ms: i64) {
        self.control(Method::POST, "clock", Some(json!({"offset_ms": offset_ms}))).await;
    }

    /// From now on everything that an account (`runwarden` is Runwarden's) proves itself with is refused.
    pub async fn lock_account(&self, name: &str) {
        self.control(Method::POST, &format!("accounts/{name}"), Some(json!({"locked": true}))).await;
    }

    /// Lets an account in again.
    pub async fn unlock_account(&self, name: &str) {
        self.control(Method::POST, &format!("accounts/{name}"), Some(json!({"locked": false}))).await;
    }

    /// Gives an account a new token and answers it; those it had are dead.
    ///
    /// # Panics
    /// When the answer has none in it.
    pub async fn rotate_token(&self, name: &str) -> String {
        let made = self.control(Method::POST, &format!("accounts/{name}/rotate"), None).await;
        made.get("token").and_then(Value::as_str).expect("a token").to_owned()
    }

    /// What was asked of the controller since the last reset: `count`, `answered`, `bytes`, and the same by method and
    /// shape of the address in `items`.
    pub async fn requests(&self) -> Value {
        self.control(Method::GET, "requests", None).await
    }

    /// How many requests came to addresses with this in them, where every number is `ID`.
    pub async fn requests_to(&self, path: &str) -> u64 {
        let told = self.requests().await;
        let items = told.get("items").and_then(Value::as_array).into_iter().flatten();
        let here = |item: &&Value| item.get("path").and_then(Value::as_str).is_some_and(|shape| shape.contains(path));
        items.filter(here).map(|item| number(item, "count")).sum()
    }

    /// Counts requests from zero again.
    pub async fn reset_requests(&self) {
        self.control(Method::DELETE, "requests", None).await;
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

fn at_launch(fault: Value) -> Value {
    json!({"method": "POST", "path": "/launch", "fault": fault})
}

fn number(told: &Value, field: &str) -> u64 {
    told.get(field).and_then(Value::as_u64).expect("a number")
}
