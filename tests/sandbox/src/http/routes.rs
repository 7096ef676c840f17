//! Which address is what, and which methods it takes. Everything else in this folder hangs off this table.

use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};

use super::call::{Call, Visitor};
use super::filter::Schema;
use super::reply::{Outcome, Refusal, empty, ok};
use super::{auth, events, jobs, launch, listing, login, metadata, misc, path, records, stdout, templates, tokens};
use crate::state::catalogue::{self, Collection};
use crate::state::job::JobKind;
use crate::state::template::TemplateKind;

/// An address that exists.
#[derive(Clone, Copy)]
enum Endpoint {
    Templates(Option<TemplateKind>),
    Template(TemplateKind, u64),
    Launch(TemplateKind, u64),
    Survey(TemplateKind, u64),
    TemplateRuns(TemplateKind, u64),
    TemplateRows(TemplateKind, u64, &'static str),
    Steps(u64),
    Jobs(Option<JobKind>),
    Job(JobKind, u64),
    Cancel(JobKind, u64),
    Relaunch(JobKind, u64),
    Stdout(u64),
    Events(u64),
    Event(u64),
    JobRows(JobKind, u64, &'static str),
    Nodes(u64),
    Node(u64),
    Decide(u64, bool),
    Nothing(JobKind, u64),
    Rows(&'static Collection),
    Row(&'static Collection, u64),
    Hosts(u64),
    Me,
    Users,
    User(u64),
    Tokens,
    UserTokens(u64),
    Token(u64),
    Config,
    JobSettings,
    Activity,
    BulkRoot,
    BulkLaunch,
}

/// Answers a request to the API.
pub(crate) async fn route(call: &Call) -> Outcome {
    if call.path.needs_slash {
        return Ok(with_slash(call));
    }
    let segments: Vec<&str> = call.path.segments.iter().map(String::as_str).collect();
    if let Some(answer) = public(call, &segments)? {
        return Ok(answer);
    }
    let Some(rest) = segments.strip_prefix(&["v2"]) else { return Err(Refusal::no_such_page()) };
    let (methods, endpoint) = find(call, rest).ok_or_else(Refusal::no_such_page)?;
    let visitor = auth::visitor(call)?;
    if !matches!(endpoint, Endpoint::Stdout(_)) {
        call.acceptable()?;
    }
    let mut answer = if call.method == Method::OPTIONS {
        Ok(describe(endpoint))
    } else if methods.contains(&call.method.as_str()) || call.method == Method::HEAD {
        answer(call, &visitor, endpoint).await
    } else {
        Err(Refusal::method(&call.method))
    }
    .unwrap_or_else(Refusal::into_response);
    let allow = format!("{}, HEAD, OPTIONS", methods.join(", "));
    if let Ok(value) = HeaderValue::from_str(&allow) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    Ok(answer)
}

fn with_slash(call: &Call) -> Response {
    let query = if call.raw_query.is_empty() { String::new() } else { format!("?{}", call.raw_query) };
    super::reply::redirect(StatusCode::MOVED_PERMANENTLY, &format!("{}/{query}", call.raw_path))
}

/// What needs no credential.
fn public(call: &Call, segments: &[&str]) -> Result<Option<Response>, Refusal> {
    let reads = |answer: fn(&Call) -> Response| {
        if call.reads() { Ok(Some(answer(call))) } else { Err(Refusal::method(&call.method)) }
    };
    match segments {
        [] => reads(misc::api_root),
        ["v2"] => reads(misc::resources),
        ["v2", "ping"] => reads(misc::ping),
        ["login"] if call.method == Method::POST => login::login(call).map(Some),
        ["login"] => reads(login::form),
        ["logout"] => Ok(Some(login::logout(call))),
        _ => Ok(None),
    }
}

const READ: &[&str] = &["GET"];
const READ_WRITE: &[&str] = &["GET", "POST"];
const READ_DELETE: &[&str] = &["GET", "DELETE"];
const WRITE: &[&str] = &["POST"];

fn find(call: &Call, segments: &[&str]) -> Option<(&'static [&'static str], Endpoint)> {
    use Endpoint as E;
    let (resource, rest) = segments.split_first()?;
    let id = |segment: &str| path::id(&call.app.read(), resource, segment);
    if let Some(kind) = template_kind(resource) {
        return Some(match rest {
            [] => (READ, E::Templates(Some(kind))),
            [one] => (READ, E::Template(kind, id(one)?)),
            [one, "launch"] => (READ_WRITE, E::Launch(kind, id(one)?)),
            [one, "survey_spec"] => (READ, E::Survey(kind, id(one)?)),
            [one, "labels"] => (READ, E::TemplateRows(kind, id(one)?, "labels")),
            [one, "credentials"] if kind == TemplateKind::Job => (READ, E::TemplateRows(kind, id(one)?, "credentials")),
            [one, "instance_groups"] if kind == TemplateKind::Job => {
                (READ, E::TemplateRows(kind, id(one)?, "instance_groups"))
            }
            [one, "jobs"] if kind == TemplateKind::Job => (READ, E::TemplateRuns(kind, id(one)?)),
            [one, "workflow_jobs"] if kind == TemplateKind::Workflow => (READ, E::TemplateRuns(kind, id(one)?)),
            [one, "workflow_nodes"] if kind == TemplateKind::Workflow => (READ, E::Steps(id(one)?)),
            _ => return None,
        });
    }
    if let Some(kind) = job_kind(resource) {
        return Some(match rest {
            [] => (READ, E::Jobs(Some(kind))),
            [one] => (READ_DELETE, E::Job(kind, id(one)?)),
            [one, "approve"] if kind == JobKind::Approval => (WRITE, E::Decide(id(one)?, true)),
            [one, "deny"] if kind == JobKind::Approval => (WRITE, E::Decide(id(one)?, false)),
            _ if kind == JobKind::Approval => return None,
            [one, "cancel"] => (READ_WRITE, E::Cancel(kind, id(one)?)),
            [one, "relaunch"] => (READ_WRITE, E::Relaunch(kind, id(one)?)),
            [one, "labels"] => (READ, E::JobRows(kind, id(one)?, "labels")),
            [one, "workflow_nodes"] if kind == JobKind::Workflow => (READ, E::Nodes(id(one)?)),
            [one, "stdout"] if kind == JobKind::Job => (READ, E::Stdout(id(one)?)),
            [one, "job_events"] if kind == JobKind::Job => (READ, E::Events(id(one)?)),
            [one, "credentials"] if kind == JobKind::Job => (READ, E::JobRows(kind, id(one)?, "credentials")),
            [one, "notifications" | "activity_stream" | "job_host_summaries"] => (READ, E::Nothing(kind, id(one)?)),
            _ => return None,
        });
    }
    if let Some(collection) = catalogue::collection(resource) {
        return Some(match rest {
            [] if collection.path == "labels" => (READ_WRITE, E::Rows(collection)),
            [] => (READ, E::Rows(collection)),
            [one] => (READ, E::Row(collection, id(one)?)),
            [one, "hosts"] if collection.path == "inventories" => (READ, E::Hosts(id(one)?)),
            _ => return None,
        });
    }
    Some(match segments {
        ["unified_jobs"] => (READ, E::Jobs(None)),
        ["unified_job_templates"] => (READ, E::Templates(None)),
        ["job_events", one] => (READ, E::Event(id(one)?)),
        ["workflow_job_nodes", one] => (READ, E::Node(id(one)?)),
        ["me"] => (READ, E::Me),
        ["config"] => (READ, E::Config),
        ["settings", "jobs"] => (READ, E::JobSettings),
        ["users"] => (READ, E::Users),
        ["users", one] => (READ, E::User(id(one)?)),
        ["users", one, "personal_tokens" | "tokens"] => (READ_WRITE, E::UserTokens(id(one)?)),
        ["tokens"] => (READ_WRITE, E::Tokens),
        ["tokens", one] => (READ_DELETE, E::Token(id(one)?)),
        ["activity_stream"] => (READ, E::Activity),
        ["bulk"] => (READ, E::BulkRoot),
        ["bulk", "job_launch"] => (WRITE, E::BulkLaunch),
        _ => return None,
    })
}

fn template_kind(resource: &str) -> Option<TemplateKind> {
    [TemplateKind::Job, TemplateKind::Workflow].into_iter().find(|k| k.collection() == resource)
}

fn job_kind(resource: &str) -> Option<JobKind> {
    [JobKind::Job, JobKind::Workflow, JobKind::Approval].into_iter().find(|k| k.collection() == resource)
}

async fn answer(call: &Call, visitor: &Visitor, endpoint: Endpoint) -> Outcome {
    use Endpoint as E;
    let posts = call.method == Method::POST;
    let deletes = call.method == Method::DELETE;
    match endpoint {
        E::Templates(kind) => templates::list(call, visitor, kind),
        E::Template(kind, id) => templates::detail(call, visitor, kind, id),
        E::Launch(kind, id) if posts => launch::launch(call, visitor, kind, id).await,
        E::Launch(kind, id) => templates::launch_needs(call, visitor, kind, id),
        E::Survey(kind, id) => templates::survey(call, visitor, kind, id),
        E::TemplateRuns(kind, id) => templates::runs(call, visitor, kind, id),
        E::TemplateRows(kind, id, what) => {
            let template = templates::visible(&call.app.read(), visitor, kind, id)?.clone();
            let ids = match what {
                "labels" => template.labels,
                "credentials" => template.credentials,
                _ => template.instance_groups,
            };
            jobs::attached(call, what, &ids)
        }
        E::Steps(id) => templates::steps(call, visitor, id),
        E::Jobs(kind) => jobs::list(call, visitor, kind),
        E::Job(kind, id) if deletes => jobs::delete(call, visitor, kind, id),
        E::Job(kind, id) => jobs::detail(call, visitor, kind, id),
        E::Cancel(kind, id) if posts => jobs::cancel(call, visitor, kind, id).await,
        E::Cancel(kind, id) => jobs::can_cancel(call, visitor, kind, id),
        E::Relaunch(kind, id) if posts => launch::relaunch(call, visitor, kind, id).await,
        E::Relaunch(kind, id) => launch::relaunch_needs(call, visitor, kind, id),
        E::Stdout(id) => stdout::show(call, visitor, id),
        E::Events(id) => events::list(call, visitor, id),
        E::Event(id) => events::detail(call, visitor, id),
        E::JobRows(kind, id, what) => {
            let ids = {
                let state = call.app.read();
                let job = jobs::visible(&state, visitor, kind, id)?;
                if what == "labels" { job.labels.clone() } else { job.credentials.clone() }
            };
            jobs::attached(call, what, &ids)
        }
        E::Nodes(id) => jobs::nodes(call, visitor, id),
        E::Node(id) => jobs::node(call, visitor, id),
        E::Decide(id, yes) => jobs::decide(call, visitor, id, yes).await,
        E::Nothing(kind, id) => {
            jobs::visible(&call.app.read(), visitor, kind, id)?;
            let page = listing::select(call, &records::ROW, std::iter::empty::<serde_json::Value>(), "id")?;
            Ok(page.answer(call, Vec::new()))
        }
        E::Rows(_) if posts => misc::create_label(call, visitor).await,
        E::Rows(collection) => misc::list(call, visitor, collection),
        E::Row(collection, id) => misc::detail(call, visitor, collection, id),
        E::Hosts(id) => misc::hosts(call, visitor, id),
        E::Me => tokens::users(call, visitor, true),
        E::Users => tokens::users(call, visitor, false),
        E::User(id) => tokens::user_detail(call, visitor, id),
        E::Tokens if posts => tokens::create(call, visitor, visitor.account.id).await,
        E::Tokens => tokens::list(call, visitor, None),
        E::UserTokens(id) if posts => tokens::create(call, visitor, id).await,
        E::UserTokens(id) => tokens::list(call, visitor, Some(id)),
        E::Token(id) if deletes => tokens::delete(call, visitor, id).await,
        E::Token(id) => tokens::detail(call, visitor, id),
        E::Config => Ok(misc::config(call)),
        E::JobSettings => misc::job_settings(visitor),
        E::Activity => misc::activity(call, visitor),
        E::BulkRoot => Ok(misc::bulk_root(call)),
        E::BulkLaunch if posts => launch::bulk(call, visitor).await,
        E::BulkLaunch => Ok(empty(StatusCode::OK)),
    }
}

/// `OPTIONS`; the thing need not exist.
fn describe(endpoint: Endpoint) -> Response {
    use Endpoint as E;
    let schema: Option<&Schema> = match endpoint {
        E::Templates(_) | E::Template(..) => Some(&records::TEMPLATE),
        E::Jobs(None) => Some(&records::UNIFIED_JOB),
        E::Jobs(Some(JobKind::Job)) | E::Job(JobKind::Job, _) => Some(&records::JOB),
        E::Jobs(Some(JobKind::Workflow)) | E::Job(JobKind::Workflow, _) => Some(&records::WORKFLOW_JOB),
        E::Events(_) => Some(&records::JOB_EVENT),
        _ => Some(&records::ROW),
    };
    let post = match endpoint {
        E::Launch(kind, _) => Some(metadata::launch_fields(kind)),
        E::BulkLaunch => Some(metadata::bulk_fields()),
        E::Tokens | E::UserTokens(_) => Some(metadata::token_fields()),
        _ => None,
    };
    ok(&metadata::view("Sandbox", schema, post))
}
