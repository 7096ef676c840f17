//! Terraform, as far as run tasks go: over TLS, and as strict as its documentation and its schema.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificate::SelfSigned;

/// The largest request that is read.
const LARGEST: usize = 8 << 20;

/// A Terraform that waits for results.
pub struct Terraform {
    address: SocketAddr,
    ca_pem: String,
    key_pem: String,
    away: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
}

/// A task that it has asked for.
#[derive(Clone, Debug)]
pub struct Task {
    /// `taskrs-…`.
    pub id: String,
    /// What it sends.
    pub request: Value,
}

#[derive(Default)]
struct Book {
    tasks: BTreeMap<String, Kept>,
    /// What it did not take: the status, and what was sent.
    refused: Vec<(u16, String)>,
}

struct Kept {
    token: String,
    running: Vec<Value>,
    finals: Vec<Value>,
}

/// What was sent.
struct Sent {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Terraform {
    /// Starts one on a loopback port, with a certificate of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        let SelfSigned { pem, key_pem, tls } = SelfSigned::make();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let (away, book) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Book::default())));
        tokio::spawn(serve(listener, tls, Arc::clone(&away), Arc::clone(&book)));
        Self { address, ca_pem: pem, key_pem, away, book }
    }

    /// Its host, with the port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Who signed its certificate, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The key of its certificate, PEM: the certificate is for this machine, so that others here may use it too.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Whether it hangs up on everybody.
    pub fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Begins a task at a stage.
    #[must_use]
    pub fn task(&self, number: usize, stage: &str) -> Task {
        let id = format!("taskrs-{number:016}");
        let token = format!("token-of-{number}.atlasv1.x");
        let host = self.host();
        let mut request = json!({
            "payload_version": 1, "stage": stage, "access_token": token, "capabilities": {"outcomes": true},
            "configuration_version_id": "cv-1", "configuration_version_download_url": null, "is_speculative": false,
            "organization_name": "acme", "run_id": format!("run-{number}"), "run_app_url": format!("https://{host}/run"),
            "run_message": "Triggered via UI", "run_created_at": "2026-11-28T00:00:00.000Z", "run_created_by": "anna",
            "task_result_callback_url": format!("https://{host}/api/v2/task-results/{id}/callback"),
            "task_result_enforcement_level": "mandatory", "task_result_id": id,
            "vcs_branch": null, "vcs_commit_url": null, "vcs_pull_request_url": null, "vcs_repo_url": null,
            "workspace_id": "ws-1", "workspace_name": "network", "workspace_app_url": format!("https://{host}/ws"),
            "workspace_working_directory": null,
        });
        if let (true, Some(request)) = (stage != "pre_plan", request.as_object_mut()) {
            request.insert("plan_json_api_url".to_owned(), json!(format!("https://{host}/api/v2/plans/1/json-output")));
        }
        let kept = Kept { token, running: Vec::new(), finals: Vec::new() };
        self.book().tasks.insert(id.clone(), kept);
        Task { id, request }
    }

    /// What it took as `running`.
    #[must_use]
    pub fn running(&self, task: &Task) -> Vec<Value> {
        self.book().tasks.get(&task.id).map(|kept| kept.running.clone()).unwrap_or_default()
    }

    /// What it took as final results.
    #[must_use]
    pub fn finals(&self, task: &Task) -> Vec<Value> {
        self.book().tasks.get(&task.id).map(|kept| kept.finals.clone()).unwrap_or_default()
    }

    /// The final result of a task, once it has one.
    pub async fn result(&self, task: &Task) -> Value {
        crate::until(&format!("a final result of {}", task.id), async || self.finals(task).pop()).await
    }

    /// What it did not take: the status, and what was sent.
    #[must_use]
    pub fn refused(&self) -> Vec<(u16, String)> {
        self.book().refused.clone()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, away: Arc<AtomicBool>, book: Arc<Mutex<Book>>) {
    while let Ok((stream, _)) = listener.accept().await {
        if away.load(Ordering::SeqCst) {
            continue;
        }
        let (tls, away, book) = (tls.clone(), Arc::clone(&away), Arc::clone(&book));
        tokio::spawn(async move {
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let Some(sent) = read(&mut stream).await else { return };
            if away.load(Ordering::SeqCst) {
                return;
            }
            let status = {
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                let status = book.take(&sent);
                if status != 200 {
                    let what = format!("{} {} {}", sent.method, sent.path, String::from_utf8_lossy(&sent.body));
                    book.refused.push((status, what));
                }
                status
            };
            let body = if status == 200 { "" } else { r#"{"errors":[{"title":"refused"}]}"# };
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\ncontent-type: application/vnd.api+json\r\nconnection: \
                 close\r\n\r\n{body}",
                body.len()
            );
            // Whoever is gone does not hear it.
            let _gone = stream.write_all(answer.as_bytes()).await;
            let _gone = stream.shutdown().await;
        });
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Sent> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: BTreeMap<_, _> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(Sent { method, path, headers, body: bytes.get(end + 4..end + 4 + length)?.to_vec() });
            }
        }
        let mut piece = vec![0; 16 * 1024];
        let got = stream.read(&mut piece).await.ok().filter(|got| *got > 0)?;
        bytes.extend_from_slice(piece.get(..got)?);
        if bytes.len() > LARGEST {
            return None;
        }
    }
}

impl Book {
    fn take(&mut self, sent: &Sent) -> u16 {
        let id = sent.path.strip_prefix("/api/v2/task-results/").and_then(|rest| rest.strip_suffix("/callback"));
        let Some(task) = id.and_then(|id| self.tasks.get_mut(id)).filter(|_| sent.method == "PATCH") else {
            return 404;
        };
        let header = |name: &str| sent.headers.get(name).map(String::as_str).unwrap_or_default();
        if header("authorization") != format!("Bearer {}", task.token) {
            return 401;
        }
        let body: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
        if header("content-type") != "application/vnd.api+json" || !task.finals.is_empty() || !is_within(&body) {
            return 422;
        }
        match body.pointer("/data/attributes/status").and_then(Value::as_str) {
            Some("running") => task.running.push(body),
            _ => task.finals.push(body),
        }
        200
    }
}

/// Whether a result is within the schema.
fn is_within(body: &Value) -> bool {
    let at = |value: &Value, pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
    let text =
        |value: &Value, most: usize| value.as_str().is_some_and(|text| (1..=most).contains(&text.chars().count()));
    let is_link = |value: &Value| {
        value.is_null()
            || text(value, 500)
                && value.as_str().is_some_and(|url| url.starts_with("http://") || url.starts_with("https://"))
    };
    let attributes = at(body, "/data/attributes");
    let known = |value: &Value, names: &[&str]| {
        value.as_object().is_some_and(|fields| fields.keys().all(|key| names.contains(&key.as_str())))
    };
    let outcomes = at(body, "/data/relationships/outcomes/data").as_array().cloned().unwrap_or_default();
    at(body, "/data/type") == "task-results"
        && known(&attributes, &["status", "message", "url"])
        && ["running", "passed", "failed"].iter().any(|status| at(&attributes, "/status") == *status)
        && text(&at(&attributes, "/message"), 1000)
        && is_link(&at(&attributes, "/url"))
        && outcomes.len() <= 250
        && outcomes.iter().all(|outcome| {
            let own = at(outcome, "/attributes");
            at(outcome, "/type") == "task-result-outcomes"
                && known(&own, &["outcome-id", "description", "body", "url", "tags"])
                && text(&at(&own, "/outcome-id"), 64)
                && text(&at(&own, "/description"), 1000)
                && text(&at(&own, "/body"), 10_000)
                && is_link(&at(&own, "/url"))
                && at(&own, "/tags").as_object().is_some_and(|tags| {
                    (1..=10).contains(&tags.len())
                        && tags.values().all(|labels| labels.as_array().is_some_and(are_labels))
                })
        })
}

#[expect(clippy::ptr_arg, reason = "it is what an array holds")]
fn are_labels(labels: &Vec<Value>) -> bool {
    labels.iter().all(|label| {
        let text = |key: &str| label.get(key).and_then(Value::as_str);
        text("label").is_some_and(|label| (1..=32).contains(&label.chars().count()))
            && label
                .get("level")
                .is_none_or(|_| ["none", "info", "warning", "error"].iter().any(|level| text("level") == Some(level)))
    })
}
