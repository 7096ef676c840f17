//! A sandbox to test against, and a client that asks it the way a launching client would.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use runwarden_sandbox::{Options, Sandbox, UseAnsible};
use serde_json::{Value, json};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A sandbox and a client of its operator account.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
}

/// Simulated and twenty times as fast as people watch.
pub(crate) fn options() -> Options {
    Options { use_ansible: UseAnsible::Never, speed: 20.0, ..Options::default() }
}

pub(crate) fn kept_in(dir: &Path) -> Options {
    Options { data_dir: Some(dir.to_owned()), ..options() }
}

impl Bench {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self { sandbox: Sandbox::start(options).await?, client })
    }

    /// A request without a credential.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sandbox.url()))
    }

    /// A request of the operator account.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.sandbox.token()).header("accept", "application/json")
    }

    /// A request of another account.
    pub(crate) fn ask_as(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        let account = self.sandbox.account(user);
        self.bare(method, path)
            .basic_auth(account.username, Some(account.password))
            .header("accept", "application/json")
    }

    pub(crate) fn control(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.sandbox.control_token())
    }

    /// Uses a lever of the control API, which must work.
    pub(crate) async fn lever(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let (status, answer) = self.try_lever(method, path, body).await?;
        if status < 300 { Ok(answer) } else { Err(format!("{path}: {status} {answer}").into()) }
    }

    pub(crate) async fn try_lever(&self, method: Method, path: &str, body: Value) -> Result<(u16, Value)> {
        let mut request = self.control(method, &format!("/sandbox/{path}"));
        if !body.is_null() {
            request = request.json(&body);
        }
        told(request.send().await?).await
    }

    /// Orders a fault for the next launch.
    pub(crate) async fn at_next_launch(&self, fault: Value) -> Result<()> {
        let order = json!({"method": "POST", "path": "/launch/", "fault": fault});
        self.lever(Method::POST, "faults", order).await.map(drop)
    }

    /// A run as it truly is.
    pub(crate) async fn truth(&self, run: u64) -> Result<Value> {
        self.lever(Method::GET, &format!("runs/{run}"), Value::Null).await
    }

    /// Launches a run that hangs, and waits until it does.
    pub(crate) async fn hanging(&self) -> Result<u64> {
        let run = self.launch(13, json!({})).await?;
        self.until(&format!("/api/v2/jobs/{run}/"), |job| job["status"] == "running").await?;
        Ok(run)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        told(self.ask(Method::GET, path).send().await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<(u16, Value)> {
        told(self.ask(Method::POST, path).json(&body).send().await?).await
    }

    /// Launches a job template and answers with the run's id.
    pub(crate) async fn launch(&self, template: u64, body: Value) -> Result<u64> {
        let (status, answer) = self.post(&format!("/api/v2/job_templates/{template}/launch/"), body).await?;
        match answer.get("id").and_then(Value::as_u64) {
            Some(id) if status == 201 => Ok(id),
            _ => Err(format!("{status} {answer}").into()),
        }
    }

    /// Looks at an address until what it says is right.
    pub(crate) async fn until(&self, path: &str, right: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let (status, answer) = self.get(path).await?;
            if status == 200 && right(&answer) {
                return Ok(answer);
            }
            if started.elapsed() > Duration::from_secs(30) {
                return Err(format!("{path} never reached that state: {answer}").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for a job's end, its events included.
    pub(crate) async fn ended(&self, id: u64) -> Result<Value> {
        self.until(&format!("/api/v2/jobs/{id}/"), |job| job["event_processing_finished"] == true).await
    }
}

/// Status and body, `null` where the body is no JSON.
pub(crate) async fn told(response: Response) -> Result<(u16, Value)> {
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}
