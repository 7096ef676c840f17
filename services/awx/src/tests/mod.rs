//! The client against a small server that replays what controllers answer, and against the sandbox controller.

mod budgets;
mod cases;
mod comparing;
mod connection;
mod encryption;
mod faults;
mod launching;
mod named;
mod outputs;
mod prompts;
mod runs;
mod sandbox;
mod searching;
mod shown;
mod surveys;
mod sweeps;
mod templates;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use runwarden_kit::launch_field::LaunchField;
use serde_json::{Map, Value, json};

use super::launch_body::{LaunchBody, LaunchInput};
use super::*;

type Handler = Arc<dyn Fn(&Seen) -> Response + Send + Sync>;

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    /// How long the address was.
    line: usize,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    fn param(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server that answers what a closure says and remembers what it was asked.
struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _server: tokio::task::JoinSet<()>,
}

impl Stub {
    async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let state: (Handler, Arc<Mutex<Vec<Seen>>>) = (Arc::new(answer), seen.clone());
        let app = Router::new().fallback(handle).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, _server: server }
    }

    fn client(&self) -> Client {
        client_for(self.address)
    }

    /// A client that takes little: 64 KiB at once, and 512 KiB of what cannot be had in parts.
    fn narrow_client(&self) -> Client {
        let limits = ClientLimits { answer_bytes: 64 << 10, run_bytes: 512 << 10, ..quick() };
        Client::new(&target_for(self.address), &Credential::bearer("t0ken"), limits).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn handle(State((answer, seen)): State<(Handler, Arc<Mutex<Vec<Seen>>>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let url = reqwest::Url::parse(&format!("http://stub{}", parts.uri)).unwrap();
    let request = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        line: parts.uri.to_string().len(),
        headers: parts.headers,
        body,
    };
    seen.lock().unwrap().push(request.clone());
    answer(&request)
}

/// The limits of whoever launches with the delays of an executor.
pub(crate) fn usual() -> ClientLimits {
    ClientLimits::new(Duration::from_secs(3), Duration::from_secs(5))
}

fn quick() -> ClientLimits {
    ClientLimits {
        connect_to_launch: Duration::from_secs(1),
        acknowledge: Duration::from_secs(1),
        connect: Duration::from_secs(2),
        request: Duration::from_millis(1500),
        launch: Duration::from_millis(1500),
        answer_bytes: 1024 * 1024,
        run_bytes: 8 * 1024 * 1024,
        download_bytes: 8 * 1024 * 1024,
        operation_bytes: 64 * 1024 * 1024,
        kept_bytes: 4 * 1024 * 1024,
        memory: Memory::new(256 * 1024 * 1024),
        allow_plain_http: false,
        unverified: Vec::new(),
        trusted: Vec::new(),
    }
}

fn target_for(address: SocketAddr) -> Target {
    Target { url: format!("http://{address}"), api_root: String::new(), ca_pem: String::new() }
}

fn client_for(address: SocketAddr) -> Client {
    Client::new(&target_for(address), &Credential::bearer("t0ken"), quick()).unwrap()
}

fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("x-api-product-name", "AWX")
        .header("x-api-product-version", "24.6.1")
        .body(body.into())
        .unwrap()
}

fn json_answer(status: u16, body: &Value) -> Response {
    answer(status, "application/json", body.to_string())
}

fn html(status: u16) -> Response {
    answer(status, "text/html", format!("<html><h1>{status}</h1></html>"))
}

/// What a gateway or a firewall in front of AWX says in its place: JSON without any of AWX's headers.
fn gateway(status: u16) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(r#"{"message":"forbidden"}"#.into()).unwrap()
}

fn redirect(status: u16, location: &'static str) -> Response {
    let mut response = html(status);
    response.headers_mut().insert("location", location.parse().unwrap());
    response
}

fn page(rows: Vec<Value>) -> Response {
    json_answer(200, &json!({"count": rows.len(), "next": null, "previous": null, "results": rows}))
}

fn jobs(ids: impl IntoIterator<Item = i64>) -> Vec<RunRef> {
    ids.into_iter().map(|id| RunRef { kind: RunKind::Job, id }).collect()
}

fn with(mut row: Value, key: &str, value: Value) -> Value {
    row[key] = value;
    row
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn body(parameters: Value) -> LaunchBody {
    try_body(parameters, json!({}), json!({})).unwrap()
}

fn try_body(parameters: Value, fixed: Value, properties: Value) -> Result<LaunchBody, Vec<Problem>> {
    LaunchBody::build(LaunchInput {
        schema: &json!({"type": "object", "properties": properties}),
        parameters: &object(parameters),
        fixed: &object(fixed),
        marker: None,
        default_skip_tags: "",
    })
}

fn view(kind: TemplateKind, mut row: Value, survey: Option<Value>) -> TemplateView {
    let map = row.as_object_mut().unwrap();
    map.entry("id").or_insert(json!(9));
    if kind == TemplateKind::Job {
        map.entry("project").or_insert(json!(8));
        map.entry("playbook").or_insert(json!("hello.yml"));
        map.entry("inventory").or_insert(json!(2));
    }
    if survey.is_some() {
        map.insert("survey_enabled".into(), json!(true));
    }
    let survey = survey.map(|spec| Survey::read(&json!({ "spec": spec })));
    let summary = TemplateSummary::read(kind, row, survey).unwrap();
    TemplateView::assemble(summary, Some(&json!({})), None, None)
}

fn details(problems: Result<(), Vec<Problem>>) -> Vec<String> {
    problems.err().into_iter().flatten().map(|problem| problem.to_string()).collect()
}
