//! How a command ends: the exit codes that scripts rely on, and what people read.

use std::process::ExitCode;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::api::CallError;

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
    /// The job is `unknown`: a person must decide.
    JobUnknown = 6,
    /// Not now: not reached, busy, or not finished in time. Trying again makes sense.
    NotNow = 7,
    /// The job ended as `error`: it could not be run.
    JobError = 8,
    /// Something broke, here or there.
    Broken = 9,
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
            // It goes on: nobody waited for its end.
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
    problem: Option<Value>,
}

impl Failure {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), problem: None }
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// With something to add for people.
    pub(super) fn hinting(mut self, hint: &str) -> Self {
        self.text = format!("{}\n{hint}", self.text);
        self
    }

    /// Says it on standard error: in words, or as one JSON document.
    pub(super) fn tell(&self, command: &str, as_json: bool) {
        if as_json {
            let own = || json!({"code": format!("CLI_{}", self.name()), "detail": self.text, "exit": self.exit as u8});
            eprintln!("{:#}", self.problem.clone().unwrap_or_else(own));
        } else {
            eprintln!("runwarden {command}: {}", self.text);
        }
    }

    fn name(&self) -> &'static str {
        match self.exit {
            Exit::Usage => "USAGE",
            Exit::NotAllowed => "NOT_LOGGED_IN",
            Exit::NotNow => "NOT_NOW",
            Exit::Interrupted => "INTERRUPTED",
            Exit::NobodyReads => "NOBODY_READS",
            _ => "FAILED",
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = match &error {
            CallError::Refused(refusal) => match (refusal.status, refusal.code()) {
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
            CallError::Unreached { .. } => Exit::NotNow,
            CallError::Other(_) => Exit::Broken,
        };
        let problem = error.refusal().map(|refusal| refusal.body.clone()).filter(Value::is_object);
        Self { exit, text: error.to_string(), problem }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Broken, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Broken, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Refusal;

    fn exit(status: u16, code: &str) -> Exit {
        let refusal =
            Refusal { status: StatusCode::from_u16(status).unwrap(), body: json!({"code": code}), retry_after: None };
        Failure::from(CallError::from(refusal)).exit
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
