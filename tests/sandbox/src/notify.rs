//! AWX's webhook notifications, with their weaknesses: no signature, one try each, in no promised order, and nothing for
//! a job that is cancelled while it is pending.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::lock;
use crate::state::State;
use crate::state::job::{Job, JobKind, Status};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where notifications go, as an operator configures it in AWX; for every template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `http://HOST:PORT/PATH`.
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Of `started`, `success` and `error`.
    pub(crate) on: BTreeSet<String>,
}

/// What those that were sent were answered with: a status each, 0 for none.
pub(crate) type Answers = Arc<Mutex<Vec<u16>>>;

/// Notifications that are due.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    pub(crate) target: Option<Target>,
    /// How many of the next ones get lost on their way.
    pub(crate) lose: u32,
    due: Vec<Value>,
}

impl Notices {
    /// Those that are due, each with where it goes.
    pub(crate) fn take(&mut self) -> Vec<(Target, String)> {
        let due = std::mem::take(&mut self.due);
        let target = self.target.iter().cycle();
        target.cloned().zip(due.iter().map(Value::to_string)).collect()
    }

    /// What AWX's test button sends.
    pub(crate) fn test(&mut self) {
        self.due.push(json!({"body": "Test Notification 1 https://awx.example"}));
    }
}

impl State {
    /// A job's status has changed.
    pub(crate) fn note_change(&mut self, id: u64, before: Status) {
        let Some(job) = self.jobs.get(&id) else { return };
        let on = match job.status {
            Status::Running if before != Status::Running => "started",
            Status::Successful => "success",
            // AWX forgets those that never ran.
            Status::Canceled if before == Status::Pending => return,
            Status::Failed | Status::Error | Status::Canceled => "error",
            Status::Pending | Status::Waiting | Status::Running => return,
        };
        let is_wanted = self.notices.target.as_ref().is_some_and(|target| target.on.contains(on));
        if !is_wanted || job.kind == JobKind::Approval {
            return;
        }
        let body = self.body(job);
        if self.notices.lose > 0 {
            self.notices.lose -= 1;
        } else {
            self.notices.due.push(body);
        }
    }

    fn body(&self, job: &Job) -> Value {
        let kind = if job.kind == JobKind::Workflow { "workflow" } else { "playbook" };
        let time = |time: Option<time::OffsetDateTime>| time.map(|time| time.to_string());
        let created_by = job.created_by.and_then(|id| self.account(id)).map(|account| account.username.clone());
        json!({
            "id": job.id, "name": job.name, "url": format!("https://awx.example/#/jobs/{kind}/{}", job.id),
            "created_by": created_by, "started": time(job.started), "finished": time(job.finished),
            "status": job.status.name(), "traceback": job.result_traceback, "inventory": job.inventory, "project": job.project,
            "playbook": job.playbook, "credential": null, "limit": job.limit,
            "extra_vars": Value::Object(job.shown_vars()).to_string(), "hosts": {},
        })
    }
}

/// Sends one, once and by itself.
pub(crate) async fn send(answers: Answers, target: Target, body: String) {
    let sent = tokio::time::timeout(PATIENCE, post(&target, &body)).await;
    lock(&answers).push(sent.ok().and_then(Result::ok).unwrap_or_default());
}

/// One POST. The status it is answered with.
async fn post(target: &Target, body: &str) -> std::io::Result<u16> {
    let wrong = || std::io::Error::other("not an address");
    let (host, path) = target.url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let mut head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: AWX 24.6.1 (open)\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    if !target.username.is_empty() {
        let pair = STANDARD.encode(format!("{}:{}", target.username, target.password));
        head.push_str(&format!("Authorization: Basic {pair}\r\n"));
    }
    for (name, value) in &target.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)
}
