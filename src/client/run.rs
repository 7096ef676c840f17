//! `runwarden run`: submits a job, once, and follows it if asked to.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use runwarden_kit::id;
use serde_json::{Map, Value, json};

use super::failure::{Exit, Failure};
use super::interrupt::unless_interrupted;
use super::parameters::{Given, collect};
use super::reach::quoted;
use super::view::View;
use super::{jobs, render, templates};
use crate::api::{Api, Call, CallError};
use crate::cli::Run;
use crate::terminal::{note, print};

/// `runwarden run …`.
pub(super) async fn run(run: &Run) -> Result<Exit, Failure> {
    let api = run.reach.log_in().await?;
    let template = templates::read(&api, &run.template).await?;
    let nothing = json!({});
    let schema = template.get("parameters").unwrap_or(&nothing);
    let file = run.params_file.as_deref().map(Path::new);
    let parameters = collect(schema, &Given { words: &run.parameters, file, ask: &run.ask }).await?;
    let key = run.idempotency_key.clone().unwrap_or_else(|| id::new("run"));
    let job = submit(&api, run, parameters, &key).await?;
    let id = job.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !run.follow && !run.wait {
        let text = if run.show.is_json() { format!("{job:#}\n") } else { format!("{id}\n") };
        print(text.as_bytes())?;
        note(&format!("accepted; follow it with `runwarden jobs watch {id}{}`", run.reach.repeated()));
        return Ok(Exit::Well);
    }
    note(&format!("{id} accepted; Ctrl-C leaves it running"));
    let view = if run.follow { View::all(run.show.is_json()) } else { View::quiet() };
    let job = jobs::until_over(&api, &id, view, run.timeout, &run.reach).await?;
    if run.show.is_json() {
        print(format!("{job:#}\n").as_bytes())?;
    } else if run.wait {
        print(render::job(&job).as_bytes())?;
    } else {
        jobs::tell_end(&job);
    }
    Ok(Exit::of(&job))
}

/// Submits it. Whatever happens on the way, it is accepted once at most: the key sees to that.
async fn submit(api: &Api, run: &Run, parameters: Map<String, Value>, key: &str) -> Result<Value, Failure> {
    let body = body(run, parameters);
    let call = Call::new(Method::POST, "/api/v1/jobs").with(Some(&body)).once(key);
    let again = format!(
        "  it may have been accepted: to repeat it without running it twice, add --idempotency-key {}",
        quoted(key)
    );
    let submitting = async { api.make(&call).await.map_err(|error| explained(error, &again)) };
    unless_interrupted(submitting, || format!("interrupted before there was an answer\n{again}")).await
}

/// A failure with what to do about it: where nobody can know whether the job was accepted, how to repeat it safely.
fn explained(error: CallError, again: &str) -> Failure {
    let is_key_reused = error.refusal().is_some_and(|refusal| refusal.code() == "IDEMPOTENCY_KEY_REUSED");
    let failure = Failure::from(error);
    if is_key_reused {
        return failure
            .hinting("  --idempotency-key names an earlier run with other parameters: leave it out for a new one");
    }
    match failure.exit {
        Exit::NotNow | Exit::Broken => failure.hinting(again),
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
    limit.as_secs() + u64::from(limit.subsec_nanos() > 0)
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
        let refused = |status: u16, code: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let error = CallError::from(Refusal { status, body: json!({"code": code}), retry_after: None });
            format!("{:?}", explained(error, "add --idempotency-key k"))
        };
        for (status, code, shown) in
            [(503, "UNAVAILABLE", true), (500, "INTERNAL", true), (422, "PARAMETERS_INVALID", false)]
        {
            assert_eq!(refused(status, code).contains("--idempotency-key k"), shown, "{code}");
        }
        assert!(refused(422, "IDEMPOTENCY_KEY_REUSED").contains("leave it out"));
    }
}
