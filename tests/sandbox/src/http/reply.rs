//! Answers: AWX has no common envelope for errors, so each has its own maker here.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// What a request gets instead of what it wanted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
}

/// The body of a refusal.
#[derive(Debug)]
pub(crate) enum Content {
    Json(Value),
    /// A page, by its title.
    Html(&'static str),
}

pub(crate) type Outcome = Result<Response, Refusal>;

const NO_CREDENTIALS: &str =
    "Authentication credentials were not provided. To establish a login session, visit /api/login/.";

impl Refusal {
    pub(crate) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, content: Content::Json(body) }
    }

    pub(crate) fn html(status: StatusCode, title: &'static str) -> Self {
        Self { status, content: Content::Html(title) }
    }

    pub(crate) fn detail(status: StatusCode, text: impl Into<String>) -> Self {
        Self::json(status, json!({"detail": text.into()}))
    }

    pub(crate) fn bad(body: Map<String, Value>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, Value::Object(body))
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, NO_CREDENTIALS)
    }

    pub(crate) fn forbidden() -> Self {
        Self::detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
    }

    pub(crate) fn missing(model: &str) -> Self {
        Self::detail(StatusCode::NOT_FOUND, format!("No {model} matches the given query."))
    }

    /// An address that does not exist at all.
    pub(crate) fn no_such_page() -> Self {
        Self::html(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn method(method: &http::Method) -> Self {
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, format!("Method \"{method}\" not allowed."))
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::html(StatusCode::NOT_ACCEPTABLE, "Not Acceptable")
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = match self.content {
            Content::Json(body) => json_answer(self.status, &body),
            Content::Html(title) => html(self.status, &page(title, title)),
        };
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=api authorization_url=/api/o/authorize/"),
            );
        }
        response
    }
}

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response {
    typed(status, "application/json", body.to_string())
}

pub(crate) fn ok(body: &Value) -> Response {
    json_answer(StatusCode::OK, body)
}

pub(crate) fn html(status: StatusCode, page: &str) -> Response {
    typed(status, "text/html; charset=utf-8", page.to_owned())
}

pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(crate) fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = typed(status, "text/html; charset=utf-8", String::new());
    if let Ok(value) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A page as AWX's web server would send; only its being HTML matters.
pub(crate) fn page(title: &str, text: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{}</title></head>\n<body><pre>{}</pre></body>\n</html>\n",
        escape(title),
        escape(text)
    )
}

/// The proxy's own page, in its own words where they differ from the usual ones.
pub(crate) fn nginx(status: StatusCode) -> Response {
    let reason = match status {
        StatusCode::REQUEST_TIMEOUT => "Request Time-out",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::URI_TOO_LONG => "Request-URI Too Large",
        StatusCode::SERVICE_UNAVAILABLE => "Service Temporarily Unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    let title = format!("{} {reason}", status.as_u16());
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    typed(status, "text/html", body)
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
