//! How a command ends: the exit codes that scripts rely on, and what people read.

use std::io::ErrorKind;
use std::process::ExitCode;

use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::{CallError, Why};
use crate::terminal::{aside, document, say};

/// How a command ended, as its exit code says it. The table is in `--help` and in docs/cli.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It went well; a job that was waited for has succeeded.
    Well = 0,
    /// The job ended as `failed`.
    JobFailed = 1,
    /// The command makes no sense, or the parameters do not fit the template.
    Usage = 2,
    /// Not logged in, not recognised, or not permitted.
    NotAllowed = 3,
    /// The request was refused.
    Refused = 4,
    /// The job was cancelled.
    JobCanceled = 5,
    /// The job is `unknown`: an operator must decide.
    JobUnknown = 6,
    /// Not now: not reached, busy, or not finished in time. Trying again makes sense.
    NotNow = 7,
    /// The job ended as `error`: it could not be run.
    JobError = 8,
    /// Something broke, here or there.
    Broken = 9,
    /// A job was accepted, and its end was not seen: it must not be run again.
    Accepted = 10,
    /// Ctrl-C.
    Interrupted = 130,
    /// The reader of the output has gone, as a pipe's end does.
    NobodyReads = 141,
}

impl Exit {
    /// How a job ended.
    pub(super) fn of(job: &Value) -> Self {
        match job.get("state").and_then(Value::as_str).unwrap_or_default() {
            "succeeded" => Self::Well,
            "failed" => Self::JobFailed,
            "canceled" => Self::JobCanceled,
            "error" => Self::JobError,
            "unknown" => Self::JobUnknown,
            // The job goes on: nobody waited for its end.
            _ => Self::NotNow,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// What people read.
    text: String,
    /// What the API said, if it did.
    problem: Option<Map<String, Value>>,
    /// What a program needs to go on from here: `job`, `idempotency_key`.
    extras: Map<String, Value>,
}

impl Failure {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), problem: None, extras: Map::new() }
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// With something to add for people.
    pub(super) fn hinting(mut self, hint: &str) -> Self {
        self.text = format!("{}\n{hint}", self.text);
        self
    }

    /// With something to add for programs, which do not read hints.
    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.extras.insert(key.to_owned(), json!(value));
        self
    }

    /// What people read.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What there is for programs under a name.
    #[cfg(test)]
    pub(super) fn extra(&self, key: &str) -> Option<&str> {
        self.extras.get(key).and_then(Value::as_str)
    }

    /// Ending with another code.
    pub(super) fn ending(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Says it on standard error: in words, or as one JSON document.
    pub(super) fn tell(&self, command: &str, as_json: bool) {
        if self.exit == Exit::NobodyReads && self.extras.is_empty() {
            // As with `… | head`: nothing was lost that anybody wanted.
        } else if as_json {
            aside(document(&self.document()));
        } else {
            say(format_args!("runwarden {command}: {}", self.text));
        }
    }

    /// What a program reads.
    fn document(&self) -> Value {
        let mut document = self.problem.clone().unwrap_or_else(|| {
            let code = format!("CLI_{}", self.name());
            [("code", json!(code)), ("detail", json!(self.text)), ("exit", json!(self.exit as u8))]
                .map(|(key, value)| (key.to_owned(), value))
                .into_iter()
                .collect()
        });
        document.extend(self.extras.clone());
        Value::Object(document)
    }

    fn name(&self) -> &'static str {
        match self.exit {
            Exit::Usage => "USAGE",
            Exit::NotAllowed => "NOT_LOGGED_IN",
            Exit::NotNow => "NOT_NOW",
            Exit::Accepted => "ACCEPTED",
            Exit::Interrupted => "INTERRUPTED",
            Exit::NobodyReads => "NOBODY_READS",
            _ => "FAILED",
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = match &error.why {
            Why::Refused(refusal) => match (refusal.status, refusal.code()) {
                // What is asked for decides, not who asks.
                (_, "POLICY_DENIED") => Exit::Refused,
                (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "invalid_client") => Exit::NotAllowed,
                (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => Exit::NotNow,
                (_, "IDEMPOTENCY_IN_PROGRESS") => Exit::NotNow,
                (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => {
                    Exit::NotNow
                }
                (status, _) if status.is_client_error() => Exit::Refused,
                _ => Exit::Broken,
            },
            Why::Unreached { .. } => Exit::NotNow,
            Why::Other(_) => Exit::Broken,
        };
        let problem = error.refusal().and_then(|refusal| refusal.body.as_object().cloned());
        Self { problem, ..Self::new(exit, error.to_string()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Broken, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::new(Exit::NobodyReads, "nobody reads its output any more"),
            _ => Self::new(Exit::Broken, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Refusal;

    fn refused(status: u16, code: &str) -> Failure {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), json!({"code": code}));
        Failure::from(CallError::from(Refusal { status, body, is_problem: true, retry_after: None }))
    }

    fn exit(status: u16, code: &str) -> Exit {
        refused(status, code).exit
    }

    #[test]
    fn what_a_program_needs_to_go_on_is_in_the_document_whoever_said_no() {
        let theirs = refused(503, "UNAVAILABLE").hinting("use k").with("idempotency_key", "k");
        assert_eq!(theirs.document(), json!({"code": "UNAVAILABLE", "idempotency_key": "k"}));
        let ours = Failure::new(Exit::Accepted, "gone").hinting("watch it").with("job", "job_1");
        let want = json!({"code": "CLI_ACCEPTED", "detail": "gone\nwatch it", "exit": 10, "job": "job_1"});
        assert_eq!(ours.document(), want);
    }

    #[test]
    fn each_refusal_has_the_code_that_says_what_to_do() {
        for (status, code, want) in [
            (401, "UNAUTHENTICATED", Exit::NotAllowed),
            (403, "PERMISSION_DENIED", Exit::NotAllowed),
            (403, "POLICY_DENIED", Exit::Refused),
            (404, "NOT_FOUND", Exit::Refused),
            (409, "JOB_FINISHED", Exit::Refused),
            (409, "IDEMPOTENCY_IN_PROGRESS", Exit::NotNow),
            (422, "PARAMETERS_INVALID", Exit::Refused),
            (429, "QUEUE_FULL", Exit::NotNow),
            (502, "", Exit::NotNow),
            (503, "AUDIT_UNAVAILABLE", Exit::NotNow),
            (504, "DEADLINE_EXCEEDED", Exit::NotNow),
            (500, "INTERNAL", Exit::Broken),
        ] {
            assert_eq!(exit(status, code), want, "{status} {code}");
        }
    }

    #[test]
    fn each_end_of_a_job_has_a_code_of_its_own() {
        let codes = ["succeeded", "failed", "canceled", "error", "unknown", "running"]
            .map(|state| Exit::of(&json!({"state": state})) as u8);
        assert_eq!(codes, [0, 1, 5, 8, 6, 7]);
    }
}
