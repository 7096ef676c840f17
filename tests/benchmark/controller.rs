//! The sandbox controller in a process of its own, so that what it costs is not counted as ours.

use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::process::{Allowed, Process};
use runwarden_harness::{until, until_within};
use runwarden_sandbox::{LedgerEntry, Sandbox, UseAnsible};
use serde_json::{Value, json};

/// What the argument is that this program starts itself with.
const ROLE: &str = "controller";

/// How the controller is to be.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many runs may be under way at once.
    #[arg(long)]
    pub(crate) room: usize,
    /// How fast its runs go: 1 is what people watch.
    #[arg(long)]
    pub(crate) speed: f64,
    /// How many milliseconds every answer takes.
    #[arg(long, default_value_t = 0)]
    pub(crate) latency_ms: u64,
}

/// Is the controller until somebody ends this process.
pub(crate) async fn serve(options: Options) {
    let Options { room, speed, latency_ms } = options;
    let options = runwarden_sandbox::Options {
        room: Some(room),
        speed,
        latency_ms,
        use_ansible: UseAnsible::Never,
        ..runwarden_sandbox::Options::default()
    };
    let sandbox = Sandbox::start(options).await.expect("the controller starts");
    let about = json!({"url": sandbox.url(), "token": sandbox.token(), "control_token": sandbox.control_token()});
    println!("{about}");
    std::future::pending().await
}

/// The started controller.
pub(crate) struct Controller {
    /// Its process.
    pub(crate) pid: u32,
    url: String,
    token: String,
    control_token: String,
    http: reqwest::Client,
    _process: Process,
}

impl Controller {
    /// Starts one.
    pub(crate) async fn start(options: &Options) -> Self {
        let program = std::env::current_exe().expect("this program's file");
        let (room, speed) = (options.room.to_string(), options.speed.to_string());
        let latency = options.latency_ms.to_string();
        let arguments = [ROLE, "--room", &room, "--speed", &speed, "--latency-ms", &latency];
        let process = Process::start(&program, &arguments, &[], Allowed::default());
        let about = until("the controller to start", async || process.log().find("control_token")).await;
        let about: Value = serde_json::from_str(&about).expect("a line of JSON");
        let text = |key: &str| about.get(key).and_then(Value::as_str).expect("all of it").to_owned();
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self {
            pid: crate::usage::child(ROLE),
            url: text("url"),
            token: text("token"),
            control_token: text("control_token"),
            http,
            _process: process,
        }
    }

    /// What is sent to map it.
    pub(crate) fn mapping(&self, name: &str) -> Value {
        json!({"name": name, "url": self.url, "credential": {"token": self.token}})
    }

    /// Its address, and the token of an account that may launch.
    pub(crate) fn account(&self) -> (&str, &str) {
        (&self.url, &self.token)
    }

    /// How many launches it has taken.
    pub(crate) async fn launches(&self) -> u64 {
        number(&self.control(Method::GET, "about", None).await, "launches")
    }

    /// Waits until it has taken so many launches.
    pub(crate) async fn launched(&self, launches: u64, within: Duration) {
        let what = format!("{launches} launches");
        until_within(within, &what, async || (self.launches().await >= launches).then_some(())).await;
    }

    /// The launches after one of its ledger's.
    pub(crate) async fn ledger(&self, after: u64) -> Vec<LedgerEntry> {
        let mut told = self.control(Method::GET, &format!("ledger?after={after}"), None).await;
        let items = told.get_mut("items").map(Value::take).unwrap_or_default();
        serde_json::from_value(items).expect("a ledger")
    }

    /// How many requests to addresses with this in them it has answered; the empty text is all.
    pub(crate) async fn answered(&self, path: &str) -> u64 {
        number(&self.control(Method::GET, &format!("requests?path={path}"), None).await, "answered")
    }

    /// Counts requests from zero again.
    pub(crate) async fn reset_requests(&self) {
        self.control(Method::DELETE, "requests", None).await;
    }

    /// Ends a run.
    pub(crate) async fn finish(&self, run: u64) {
        self.control(Method::POST, &format!("runs/{run}/finish"), Some(json!({"status": "successful"}))).await;
    }

    /// Ends all runs at once.
    pub(crate) async fn finish_all(&self) {
        self.control(Method::POST, "runs/finish-all", Some(json!({"status": "successful"}))).await;
    }

    /// How long it takes for what Runwarden reads before each launch of a template without a survey: the template and
    /// its launch form side by side, then its project.
    pub(crate) async fn time_preflight(&self, template: u64) -> Duration {
        let begun = Instant::now();
        let (path, launch) = (format!("job_templates/{template}/"), format!("job_templates/{template}/launch/"));
        tokio::join!(self.read(&path), self.read(&launch));
        self.read("projects/8/").await;
        begun.elapsed()
    }

    async fn read(&self, path: &str) {
        let request = self.http.get(format!("{}/api/v2/{path}", self.url)).bearer_auth(&self.token);
        let answer = request.send().await.expect("the controller answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let _body = answer.bytes().await.expect("the controller answers in full");
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}/sandbox/{path}", self.url));
        let mut request = request.bearer_auth(&self.control_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the controller answers");
        let status = answer.status();
        let text = answer.text().await.expect("the controller answers in full");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn number(told: &Value, field: &str) -> u64 {
    told.get(field).and_then(Value::as_u64).expect("a number")
}
