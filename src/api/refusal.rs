//! Answers that say no, in the words of the command line.

use std::fmt;

use reqwest::StatusCode;
use serde_json::Value;

use crate::terminal::plain;

/// An answer that is not a success. `Display` is all that people need to know of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The problem (RFC 9457), or OAuth's error; null for neither.
    pub(crate) body: Value,
    /// Whether it is a problem by its media type: then Runwarden said it, not a proxy on the way.
    pub(crate) is_problem: bool,
    /// After how many seconds it makes sense to try again.
    pub(crate) retry_after: Option<u64>,
}

/// What the API calls things, and what the command line calls them.
const WORDS: [(&str, &str); 6] = [
    (" with the X-Tenant header (x-runwarden-tenant in gRPC)", " with --tenant"),
    ("The header X-Tenant", "--tenant"),
    ("X-Tenant", "--tenant"),
    ("The header Idempotency-Key", "--idempotency-key"),
    ("Idempotency-Key", "--idempotency-key"),
    ("; `errors` names them.", ":"),
];

impl Refusal {
    /// The stable code: the problem's, or OAuth's.
    pub(crate) fn code(&self) -> &str {
        let text = |key: &str| self.body.get(key).and_then(Value::as_str);
        text("code").or_else(|| text("error")).unwrap_or_default()
    }

    /// Whether it is certain that nothing was done: Runwarden itself said no. A proxy's page does not tell what became
    /// of the request behind it, and neither does a failure on the server's side.
    pub(crate) fn is_certain(&self) -> bool {
        let is_settled = self.status != StatusCode::REQUEST_TIMEOUT && self.code() != "IDEMPOTENCY_IN_PROGRESS";
        self.is_problem && self.status.is_client_error() && is_settled
    }

    fn text(&self, key: &str) -> Option<String> {
        self.body.get(key).and_then(Value::as_str).map(in_our_words)
    }
}

fn in_our_words(text: &str) -> String {
    plain(&WORDS.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours)))
}

/// What a field of a request is called on the command line.
fn field(pointer: &str) -> String {
    let unescaped = |text: &str| plain(&text.replace("~1", "/").replace("~0", "~"));
    match pointer.strip_prefix("/parameters/").or_else(|| pointer.strip_prefix('/')) {
        Some(parameter) if pointer.starts_with("/parameters/") => unescaped(parameter),
        Some("template") => "the template".to_owned(),
        Some("run") => "--bind".to_owned(),
        Some(flag) => format!("--{}", unescaped(flag).replace('_', "-")),
        None => unescaped(pointer),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_u16();
        let detail = self.text("detail").or_else(|| self.text("error_description"));
        match (detail, self.text("code").or_else(|| self.text("error"))) {
            (Some(detail), Some(code)) => write!(f, "{detail} ({status} {code})")?,
            (None, Some(code)) => write!(f, "{code} ({status})")?,
            (_, None) => write!(f, "the answer was {}, and does not come from Runwarden", self.status)?,
        }
        for error in self.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
            // What is wrong with the request as a whole is its detail already.
            if !text("pointer").is_empty() {
                write!(f, "\n  {}: {}", field(text("pointer")), in_our_words(text("detail")))?;
            }
        }
        if let Some(seconds) = self.retry_after {
            write!(f, "\n  try again in {seconds} s")?;
        }
        for (key, label) in [("error_id", "error"), ("decision_id", "decision"), ("request_id", "request")] {
            if let Some(id) = self.text(key) {
                write!(f, "\n  {label}: {id}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::{Refusal, StatusCode};
    use serde_json::{Value, json};

    fn told(status: u16, body: Value, retry_after: Option<u64>) -> String {
        Refusal { status: StatusCode::from_u16(status).unwrap(), body, is_problem: true, retry_after }.to_string()
    }

    #[test]
    fn a_problem_is_shown_with_its_fields_and_what_to_quote() {
        let problem = json!({
            "type": "urn:runwarden:problem:validation-failed", "title": "The request is not valid", "status": 422,
            "detail": "2 fields are wrong; `errors` names them.", "code": "VALIDATION_FAILED", "request_id": "req_1",
            "errors": [{"pointer": "/run", "detail": "goes with `bind` only"}, {"pointer": "/reason", "detail": "\x1b[2J"}],
        });
        assert_eq!(
            told(422, problem, None),
            "2 fields are wrong: (422 VALIDATION_FAILED)\n  --bind: goes with `bind` only\n  --reason: \u{fffd}[2J\n  \
             request: req_1"
        );
        let whole = json!({"detail": "No.", "code": "VALIDATION_FAILED", "errors": [{"pointer": "", "detail": "No."}]});
        assert_eq!(told(422, whole, None), "No. (422 VALIDATION_FAILED)");
        let full = json!({"detail": "100 jobs wait.", "code": "QUEUE_FULL"});
        assert_eq!(told(429, full, Some(42)), "100 jobs wait. (429 QUEUE_FULL)\n  try again in 42 s");
    }

    #[test]
    fn the_command_line_is_spoken_not_http() {
        let problem = json!({
            "detail": "This call needs a tenant: name it with the X-Tenant header (x-runwarden-tenant in gRPC).",
            "code": "VALIDATION_FAILED",
            "errors": [
                {"pointer": "/parameters/hosts/0", "detail": "must be one of [\"a\"]"},
                {"pointer": "/parameters/a~1b", "detail": "is required"},
                {"pointer": "/start_at", "detail": "is too far ahead"},
                {"pointer": "/template", "detail": "is required"},
                {"pointer": "/max_duration_seconds", "detail": "must be at least 1"},
            ],
        });
        assert_eq!(
            told(422, problem, None),
            "This call needs a tenant: name it with --tenant. (422 VALIDATION_FAILED)\n  \
             hosts/0: must be one of [\"a\"]\n  a/b: is required\n  --start-at: is too far ahead\n  \
             the template: is required\n  --max-duration-seconds: must be at least 1"
        );
    }

    #[test]
    fn what_is_not_a_problem_is_shown_by_what_there_is() {
        let oauth = json!({"error": "invalid_client", "error_description": "The secret is wrong."});
        assert_eq!(told(401, oauth, None), "The secret is wrong. (401 invalid_client)");
        assert_eq!(told(401, json!({"error": "invalid_client"}), None), "invalid_client (401)");
        let nothing = "the answer was 502 Bad Gateway, and does not come from Runwarden";
        assert_eq!(told(502, Value::Null, None), nothing);
        assert_eq!(told(502, json!({"detail": 7}), None), nothing);
    }
}
