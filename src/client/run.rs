//! `runwarden run`: submits a job, once, and follows it if asked to.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use runwarden_kit::id;
use serde_json::{Map, Value, json};

use super::accepted::Accepted;
use super::failure::{Exit, Failure};
use super::interrupt::unless_interrupted;
use super::parameters::{Given, collect};
use super::reach::quoted;
use super::view::View;
use super::{jobs, render, templates};
use crate::api::{Api, Call, CallError};
use crate::cli::{Run, an_id};
use crate::terminal::{document, note, print};

/// `runwarden run …`.
pub(super) async fn run(run: &Run) -> Result<Exit, Failure> {
    let api = run.reach.log_in().await?;
    let parameters = parameters(&api, run).await.map_err(|failure| match &run.idempotency_key {
        // The server knows a repeat whatever the template has become, but nothing that could be one was sent.
        Some(key) => failure.with("idempotency_key", key).hinting(PERHAPS_AN_EARLIER_ONE),
        None => failure,
    })?;
    let key = run.idempotency_key.clone().unwrap_or_else(|| id::new("run"));
    let job = submit(&api, run, parameters, &key).await?;
    let id = job.get("id").and_then(Value::as_str).and_then(|id| an_id(id).ok()).ok_or_else(|| {
        // It goes into addresses and onto terminals.
        let failure = Failure::new(Exit::Broken, "the answer does not name a job: is this Runwarden?");
        failure.with("idempotency_key", &key).hinting(&repeating(&key))
    })?;
    let accepted = Accepted::new(&api, &id, &run.reach);
    if !run.follow && !run.wait {
        let text = if run.show.is_json() { document(&job) } else { format!("{id}\n") };
        print(text.as_bytes()).map_err(|error| accepted.survives(error.into()))?;
        note(&format!("accepted; follow it with `{}`", accepted.watch()));
        return Ok(Exit::Well);
    }
    note(&format!("{id} accepted; Ctrl-C leaves it running"));
    let view = if run.follow { View::all(run.show.is_json()) } else { View::quiet() };
    let job = accepted.until_over(view, run.timeout).await.map_err(|failure| accepted.survives(failure))?;
    let text = match (run.show.is_json(), run.wait) {
        (true, _) => document(&job),
        (false, true) => render::job(&job),
        (false, false) => {
            jobs::tell_end(&job);
            return Ok(Exit::of(&job));
        }
    };
    print(text.as_bytes()).map_err(|error| accepted.is_over(error.into()))?;
    Ok(Exit::of(&job))
}

/// The parameters, as the template expects them.
async fn parameters(api: &Api, run: &Run) -> Result<Map<String, Value>, Failure> {
    let template = templates::read(api, &run.template).await?;
    let nothing = json!({});
    let schema = template.get("parameters").unwrap_or(&nothing);
    let file = run.params_file.as_deref().map(Path::new);
    collect(schema, &Given { words: &run.parameters, file, ask: &run.ask }).await
}

/// Submits it. Whatever happens on the way, it is accepted once at most: the key sees to that.
async fn submit(api: &Api, run: &Run, parameters: Map<String, Value>, key: &str) -> Result<Value, Failure> {
    let body = body(run, parameters);
    let call = Call::new(Method::POST, "/api/v1/jobs").with(Some(&body)).once(key);
    let submitting = async { api.make(&call).await.map_err(|error| explained(error, key)) };
    let interrupted = || {
        let failure = Failure::new(Exit::Interrupted, "interrupted before there was an answer");
        failure.with("idempotency_key", key).hinting(&repeating(key))
    };
    unless_interrupted(submitting, interrupted).await
}

/// What to know where a key was used before, perhaps.
const PERHAPS_AN_EARLIER_ONE: &str = "  a job may have been accepted with this --idempotency-key: look at \
                                      `runwarden jobs list` before you start another";

/// How to repeat a run that may have been accepted.
fn repeating(key: &str) -> String {
    format!("  it may have been accepted: to repeat it without running it twice, add --idempotency-key {}", quoted(key))
}

/// A failure with what to do about it: where nobody can know whether the job was accepted, how to repeat it safely.
fn explained(error: CallError, key: &str) -> Failure {
    let is_key_reused = error.refusal().is_some_and(|refusal| refusal.code() == "IDEMPOTENCY_KEY_REUSED");
    let perhaps_done = error.perhaps_done;
    let failure = Failure::from(error);
    match failure.exit {
        _ if is_key_reused => failure.with("idempotency_key", key).hinting(&format!(
            "  --idempotency-key names an earlier run with other parameters\n{PERHAPS_AN_EARLIER_ONE}"
        )),
        Exit::Broken => failure.with("idempotency_key", key).hinting(&repeating(key)),
        // A refusal says no to the last try, not to those before it.
        _ if perhaps_done => failure.with("idempotency_key", key).hinting(&repeating(key)).ending(Exit::NotNow),
        Exit::NotNow => failure.with("idempotency_key", key).hinting(&format!(
            "  nothing was accepted, and it can be repeated; as the same run, with --idempotency-key {}",
            quoted(key)
        )),
        _ => failure,
    }
}

fn body(run: &Run, parameters: Map<String, Value>) -> Value {
    let mut body = Map::new();
    body.insert("template".to_owned(), json!(run.template));
    body.insert("parameters".to_owned(), Value::Object(parameters));
    let seconds = run.max_duration.map(|limit| json!(whole_seconds(limit)));
    for (name, value) in [
        ("priority", run.priority.map(|priority| json!(priority.name()))),
        ("start_at", run.start_at.as_ref().map(|time| json!(time))),
        ("start_by", run.start_by.as_ref().map(|time| json!(time))),
        ("max_duration_seconds", seconds),
    ] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    }
    Value::Object(body)
}

/// Never less than was asked for.
fn whole_seconds(limit: Duration) -> u64 {
    limit.as_secs().saturating_add(u64::from(limit.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Refusal;
    use crate::cli::{Arguments, Command};
    use clap::Parser as _;
    use reqwest::StatusCode;

    #[test]
    fn what_is_sent_is_what_was_said_and_nothing_else() {
        let body = |line: &str| {
            let words = ["runwarden", "run", "deploy"].into_iter().chain(line.split_whitespace());
            let Command::Run(run) = Arguments::try_parse_from(words).unwrap().command else {
                panic!("another command")
            };
            body(&run, Map::new())
        };
        assert_eq!(body(""), json!({"template": "deploy", "parameters": {}}));
        assert_eq!(
            body("--priority low --start-at 2027-01-31T22:00:00Z --max-duration 1500ms"),
            json!({"template": "deploy", "parameters": {}, "priority": "low", "start_at": "2027-01-31T22:00:00Z",
                   "max_duration_seconds": 2})
        );
    }

    #[test]
    fn the_key_is_shown_where_it_is_needed() {
        let refused = |status: u16, code: &str, is_problem| {
            let (status, body) = (StatusCode::from_u16(status).unwrap(), json!({"code": code}));
            CallError::from(Refusal { status, body, is_problem, retry_after: None })
        };
        let lost = CallError { perhaps_done: true, ..refused(403, "PERMISSION_DENIED", true) };
        for (error, exit, shown) in [
            (refused(503, "UNAVAILABLE", true), Exit::NotNow, true),
            (refused(500, "INTERNAL", true), Exit::Broken, true),
            (refused(429, "QUEUE_FULL", true), Exit::NotNow, true),
            (refused(409, "IDEMPOTENCY_IN_PROGRESS", true), Exit::NotNow, true),
            (refused(404, "", false), Exit::NotNow, true),
            (lost, Exit::NotNow, true),
            (refused(403, "PERMISSION_DENIED", true), Exit::NotAllowed, false),
            (refused(422, "PARAMETERS_INVALID", true), Exit::Refused, false),
        ] {
            let said = format!("{error:?}");
            let failure = explained(error, "k");
            assert_eq!((failure.exit, failure.extra("idempotency_key").is_some()), (exit, shown), "{said}");
            assert_eq!(format!("{failure:?}").contains("--idempotency-key k"), shown, "{said}");
        }
        let reused = explained(refused(422, "IDEMPOTENCY_KEY_REUSED", true), "k");
        assert!(reused.exit == Exit::Refused && format!("{reused:?}").contains("look at `runwarden jobs list`"));
    }
}
