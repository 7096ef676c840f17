//! Every error a caller sees: problem+json (RFC 9457) with a stable code.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use runwarden_kit::reason::ReasonExt as _;
use runwarden_kit::{Error, ErrorReason, FieldError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem as callers see it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:runwarden:problem:validation-failed", "title": "The request is not valid", "status": 422,
    "detail": "must be 1 to 63 lower-case letters, digits or hyphens, beginning and ending with a letter or digit",
    "code": "VALIDATION_FAILED", "request_id": "req_01990f9a0c6f7c52b8f54ee30bd5d1a1",
    "errors": [{"pointer": "/name", "detail": "must be 1 to 63 lower-case letters, digits or hyphens"}]
}))]
pub struct ProblemBody {
    /// Identifies the kind of problem; as stable as `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status, again.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What was wrong this time, and what to do.
    pub detail: String,
    /// Stable code for programs.
    #[schema(pattern = "^[A-Z]+(_[A-Z]+)*$")]
    pub code: String,
    /// The request's id: what to quote when asking for help.
    pub request_id: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// For failures of Runwarden itself: the id under which its operators find the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_id: Option<String>,
    /// For refusals by policy: the decision, as the audit log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// Facts of this kind of problem.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldProblem)]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body; for query parameters `/` and the parameter's name.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// A refusal or a failure on its way out. The outermost layer renders it, because only there is the request's id known.
#[derive(Clone, Debug)]
pub struct Problem {
    error: Error,
    status: StatusCode,
    kind: Option<&'static str>,
    more: Box<More>,
}

/// What few problems have; boxed, because every `Result` carries the room for it.
#[derive(Clone, Debug, Default)]
struct More {
    extra: Map<String, Value>,
    headers: HeaderMap,
}

/// What handlers answer with.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A refusal with a reason and words.
    #[must_use]
    pub fn new(reason: ErrorReason, detail: impl Into<String>) -> Self {
        Self::from(Error::new(reason, detail))
    }

    /// A field that is wrong.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::from(Error::invalid(pointer, detail))
    }

    /// Several fields that are wrong.
    #[must_use]
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [one] => one.detail.clone(),
            several => format!("{} fields are wrong; `errors` names them.", several.len()),
        };
        Self::from(Error::new(ErrorReason::ValidationFailed, detail).with_fields(fields))
    }

    /// Nothing is served at this path.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(ErrorReason::NotFound, "There is nothing at this path. GET /api/v1/openapi.json lists all paths.")
    }

    /// Nothing is served at this path, in which a part between two slashes is empty; `plain` is the path without it.
    #[must_use]
    pub fn empty_part_in_path(plain: &str) -> Self {
        let detail = format!(
            "The path has an empty segment (two slashes in a row). Write {plain} if the base \
             URL ends with a slash; otherwise a name or an id is missing."
        );
        Self::new(ErrorReason::NotFound, detail)
    }

    /// The path is served with other methods.
    #[must_use]
    pub fn method_not_allowed(allowed: &[Method]) -> Self {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        Self::new(ErrorReason::MethodNotAllowed, format!("This path takes {list}.")).with_header(ALLOW, &list)
    }

    /// Instead of the refusal of a method, the answer to `OPTIONS`: the methods that there are.
    #[must_use]
    pub fn as_options(&self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().extend(self.more.headers.clone());
        response
    }

    /// Another status than the reason's usual one.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Another type than the code's own.
    #[must_use]
    pub fn with_kind(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// A further fact.
    #[must_use]
    pub fn with_extra(mut self, key: &str, value: Value) -> Self {
        self.more.extra.insert(key.into(), value);
        self
    }

    /// A header of the answer. A value that is not valid in a header is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.more.headers.insert(name, value);
        }
        self
    }

    /// Renames the fields of a service's refusal to what this call's body names them.
    #[must_use]
    pub fn with_pointers(mut self, rename: impl Fn(&str) -> String) -> Self {
        let fields: Vec<FieldError> = self
            .error
            .fields()
            .iter()
            .map(|field| FieldError { pointer: rename(&field.pointer), detail: field.detail.clone() })
            .collect();
        let mut error = Error::new(self.error.reason(), self.error.detail()).with_fields(fields);
        if let Some(after) = self.error.retry_after() {
            error = error.with_retry_after(after);
        }
        if let Some(id) = self.error.error_id() {
            error = error.with_metadata("error_id", id);
        }
        self.error = error;
        self
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.error.reason()
    }

    /// The error behind it.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The problem as callers see it.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ProblemBody {
        let reason = self.error.reason();
        let code = reason.name();
        let kind = self.kind.map_or_else(
            || format!("urn:runwarden:problem:{}", code.to_ascii_lowercase().replace('_', "-")),
            str::to_owned,
        );
        let errors = self
            .error
            .fields()
            .iter()
            .map(|field| FieldProblem { pointer: field.pointer.clone(), detail: field.detail.clone() })
            .collect();
        ProblemBody {
            kind,
            title: reason.title().into(),
            status: self.status.as_u16(),
            detail: self.error.detail().into(),
            code: code.into(),
            request_id: request_id.into(),
            errors,
            error_id: self.error.error_id().map(str::to_owned),
            decision_id: self.error.metadata("decision_id").map(str::to_owned),
            extra: self.more.extra.clone(),
        }
    }

    /// The whole answer. Logs the cause, if this is where it surfaced.
    #[must_use]
    pub fn render(&self, request_id: &str) -> Response {
        self.error.log();
        let body = serde_json::to_vec(&self.body(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.error.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge(self.error.reason())));
        }
        headers.extend(self.more.headers.clone());
        response
    }
}

/// The challenge of a 401 (RFC 6750 section 3): no error code when nothing was presented.
fn challenge(reason: ErrorReason) -> &'static str {
    match reason {
        ErrorReason::TokenExpired => {
            r#"Bearer realm="runwarden", error="invalid_token", error_description="the token has expired""#
        }
        ErrorReason::TokenRevoked => {
            r#"Bearer realm="runwarden", error="invalid_token", error_description="the token was revoked""#
        }
        _ => r#"Bearer realm="runwarden""#,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.reason().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { error, status, kind: None, more: Box::default() }
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        Self::from(Error::from_status(&status))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem for an answer that some library made by itself, by its status.
#[must_use]
pub fn of_status(status: StatusCode) -> Problem {
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::no_such_path(),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(ErrorReason::MethodNotAllowed, "This path does not take this method.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(ErrorReason::PayloadTooLarge, "The body is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(ErrorReason::UnsupportedMediaType, "The body has a media type that is not supported here.")
        }
        StatusCode::UNPROCESSABLE_ENTITY => Problem::new(ErrorReason::ValidationFailed, "The request is not valid."),
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
            Problem::new(ErrorReason::DeadlineExceeded, "The request took too long to answer.")
        }
        other if other.is_server_error() => {
            Problem::from(Error::internal(std::io::Error::other(format!("an answer with bare status {other}"))))
        }
        _ => Problem::new(ErrorReason::MalformedRequest, "The request could not be read."),
    };
    problem.with_status(status)
}

#[cfg(test)]
mod tests {
    use super::{Problem, of_status};
    use http::StatusCode;
    use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
    use runwarden_kit::reason::ReasonExt as _;
    use runwarden_kit::{Error, ErrorReason};

    #[test]
    fn a_problem_says_where_and_what() {
        let body = serde_json::to_value(Problem::invalid("/name", "must be a slug").body("req_1")).unwrap();
        assert_eq!(body["code"], "VALIDATION_FAILED");
        assert_eq!(body["status"], 422);
        assert_eq!(body["request_id"], "req_1");
        assert_eq!(body["errors"][0]["pointer"], "/name");
        assert_eq!(body["type"], "urn:runwarden:problem:validation-failed");
    }

    #[test]
    fn a_failure_shows_an_id_and_nothing_of_its_cause() {
        let problem = Problem::from(Error::internal(std::io::Error::other("password=hunter2 at db:5432")));
        let text = serde_json::to_string(&problem.body("req_1")).unwrap();
        assert!(text.contains("err_") && !text.contains("hunter2") && !text.contains("5432"), "{text}");
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        let answer = Problem::new(ErrorReason::Unavailable, "not now").render("req_1");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(answer.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn a_401_challenges_and_a_405_names_the_methods() {
        let answer = Problem::new(ErrorReason::TokenExpired, "expired").render("r");
        assert!(answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("error=\"invalid_token\""));
        let answer = Problem::method_not_allowed(&[http::Method::GET, http::Method::HEAD]).render("r");
        assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
    }

    #[test]
    fn renamed_pointers_keep_the_rest() {
        let problem =
            Problem::from(Error::invalid("/fixed_json/a", "no").with_retry_after(std::time::Duration::from_secs(3)))
                .with_pointers(|pointer| pointer.replace("_json", ""));
        assert_eq!(problem.error().fields()[0].pointer, "/fixed/a");
        assert_eq!(problem.error().retry_after().map(|after| after.as_secs()), Some(3));
    }

    #[test]
    fn every_reason_has_a_status_that_is_an_error() {
        for number in 0..64 {
            if let Ok(reason) = ErrorReason::try_from(number) {
                let problem = Problem::new(reason, "x");
                assert_eq!(problem.status().as_u16(), reason.http_status());
            }
        }
        assert_eq!(of_status(StatusCode::BAD_GATEWAY).status(), StatusCode::BAD_GATEWAY);
    }
}
