//! Terraform, as far as results of tasks go: strict, and with its warts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use runwarden_kit::clock::{Clock as _, HeldClock, Moment};
use serde_json::Value;

/// Where the plan is read, and where it is kept.
const PLAN: &str = "/api/v2/plans/plan-6AFmRJW1PFJ7qbAh/json-output";
const KEPT: &str = "/storage/plan.json";
/// A plan that is kept at another host.
const ELSEWHERE: &str = "/api/v2/plans/elsewhere/json-output";
const PATH: &str = "/api/v2/task-results/5ea8d46c-2ceb-42cd-83f2-82e54697bddd/callback";

const TOKEN: &str = "Bearer the task's token";

fn host(headers: &HeaderMap) -> &str {
    headers["host"].to_str().unwrap()
}

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wart {
    /// It is not taken, and answered with this.
    Fails(u16),
    /// It is taken, and the answer is one of a proxy.
    TakesAndFails,
}

/// A Terraform with one task, which began when this did.
pub(super) struct Double {
    address: SocketAddr,
    hidden: bool,
    book: Arc<Mutex<Book>>,
}

struct Book {
    clock: HeldClock,
    began: Moment,
    last_at: Moment,
    given_up: bool,
    requests: usize,
    warts: VecDeque<Wart>,
    running: Vec<String>,
    finals: Vec<Value>,
    /// Whether final results are taken and never answered, until that has happened once.
    stalls: bool,
    stalled: Arc<tokio::sync::Notify>,
    /// Where else a plan is kept.
    elsewhere: String,
}

impl Double {
    pub(super) async fn start(clock: HeldClock) -> Self {
        let now = clock.now();
        let book = Arc::new(Mutex::new(Book {
            clock,
            began: now,
            last_at: now,
            given_up: false,
            requests: 0,
            warts: VecDeque::new(),
            running: Vec::new(),
            finals: Vec::new(),
            stalls: false,
            stalled: Arc::default(),
            elsewhere: String::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&book));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, hidden: false, book }
    }

    pub(super) fn callback(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    pub(super) fn plan(&self) -> String {
        format!("http://{}{PLAN}", self.address)
    }

    /// A plan that is kept with another one.
    pub(super) fn plan_at(&self, other: &Self) -> String {
        self.book.lock().unwrap().elsewhere = format!("http://{}{KEPT}", other.address);
        format!("http://{}{ELSEWHERE}", self.address)
    }

    /// What an operator lists so that it may be reached.
    pub(super) fn exception(&self) -> String {
        if self.hidden { String::new() } else { format!("http://{}", self.address) }
    }

    /// No operator lists it any more.
    pub(super) fn hide(&mut self) {
        self.hidden = true;
    }

    pub(super) fn next(&self, wart: Wart) {
        self.book.lock().unwrap().warts.push_back(wart);
    }

    /// The next request is taken, and never answered.
    pub(super) fn stall(&self) {
        self.book.lock().unwrap().stalls = true;
    }

    /// Waits until that has happened.
    pub(super) async fn stalled(&self) {
        let stalled = Arc::clone(&self.book.lock().unwrap().stalled);
        stalled.notified().await;
    }

    pub(super) fn requests(&self) -> usize {
        self.book.lock().unwrap().requests
    }

    /// The messages of what it took as running.
    pub(super) fn running(&self) -> Vec<String> {
        self.book.lock().unwrap().running.clone()
    }

    /// How many final results it took.
    pub(super) fn finals(&self) -> usize {
        self.book.lock().unwrap().finals.len()
    }

    /// The final result.
    pub(super) fn last(&self) -> Value {
        self.book.lock().unwrap().finals.last().unwrap().clone()
    }
}

async fn answer(
    State(book): State<Arc<Mutex<Book>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, String); 1], String) {
    let bearer = headers.get("authorization").is_some_and(|token| token == TOKEN);
    let plain = |status: StatusCode, body: &str| (status, [("x-none", String::new())], body.to_owned());
    match (&method, uri.path()) {
        (&Method::GET, PLAN) if bearer => {
            return (StatusCode::FOUND, [("location", format!("http://{}{KEPT}", host(&headers)))], String::new());
        }
        (&Method::GET, ELSEWHERE) if bearer => {
            let elsewhere = book.lock().unwrap().elsewhere.clone();
            return (StatusCode::FOUND, [("location", elsewhere)], String::new());
        }
        (&Method::GET, KEPT) if headers.get("authorization").is_none() => {
            return plain(StatusCode::OK, r#"{"format_version":"1.2","resource_changes":[]}"#);
        }
        (&Method::GET, _) => return plain(StatusCode::FORBIDDEN, ""),
        _ => {}
    }
    let stalls = {
        let mut book = book.lock().unwrap();
        std::mem::take(&mut book.stalls).then(|| {
            book.take(&method, &uri, &headers, &body);
            Arc::clone(&book.stalled)
        })
    };
    if let Some(stalled) = stalls {
        stalled.notify_one();
        return std::future::pending().await;
    }
    let mut book = book.lock().unwrap();
    book.requests += 1;
    let wart = book.warts.pop_front();
    if let Some(Wart::Fails(status)) = wart {
        return plain(StatusCode::from_u16(status).unwrap(), "wart");
    }
    let status = book.take(&method, &uri, &headers, &body);
    match wart {
        Some(Wart::TakesAndFails) => plain(StatusCode::BAD_GATEWAY, "wart"),
        _ if status == StatusCode::OK => plain(status, ""),
        _ => plain(status, &format!(r#"{{"errors":[{{"status":"{}","title":"refused"}}]}}"#, status.as_u16())),
    }
}

impl Book {
    fn take(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        if method != Method::PATCH || uri.path() != PATH {
            return StatusCode::NOT_FOUND;
        }
        if headers.get("authorization").is_none_or(|token| token != TOKEN) {
            return StatusCode::UNAUTHORIZED;
        }
        if headers.get("content-type").is_none_or(|kind| kind != "application/vnd.api+json") {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE;
        }
        let now = self.clock.now();
        self.given_up |= now.since(self.last_at).as_secs() > 600 || now.since(self.began).as_secs() > 3600;
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.given_up || !self.finals.is_empty() || !is_within_the_schema(&sent) {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        self.last_at = now;
        let attributes = &sent["data"]["attributes"];
        if attributes["status"] == "running" {
            self.running.push(attributes["message"].as_str().unwrap_or_default().to_owned());
        } else {
            self.finals.push(sent);
        }
        StatusCode::OK
    }
}

fn is_within_the_schema(sent: &Value) -> bool {
    let length = |value: &Value| value.as_str().map(|text| text.chars().count());
    let within = |value: &Value, most: usize| length(value).is_some_and(|length| (1..=most).contains(&length));
    let data = &sent["data"];
    let outcomes = data["relationships"]["outcomes"]["data"].as_array().cloned().unwrap_or_default();
    data["type"] == "task-results"
        && ["running", "passed", "failed"].iter().any(|status| data["attributes"]["status"] == *status)
        && within(&data["attributes"]["message"], 1000)
        && data["attributes"].get("url").is_none_or(|url| within(url, 500))
        && outcomes.len() <= 250
        && outcomes.iter().all(|outcome| {
            let attributes = &outcome["attributes"];
            outcome["type"] == "task-result-outcomes"
                && within(&attributes["outcome-id"], 64)
                && within(&attributes["description"], 1000)
                && within(&attributes["body"], 10_000)
                && attributes["tags"].as_object().is_some_and(|tags| (1..=10).contains(&tags.len()))
        })
}
