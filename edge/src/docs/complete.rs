//! What every operation of the document has in common is said here once: who may call it, the headers it takes, the
//! errors it may answer with. It follows from the table of routes, so it cannot differ from what happens.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use runwarden_kit::{Error, ErrorReason};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::problem::{MEDIA_TYPE, Problem};
use crate::route_table::{Access, Found, Listener, Route, Table};

/// The errors with what they mean and an example: its code and its words. Each becomes a response of the components.
const ERRORS: &[(u16, &str, ErrorReason, &str)] = &[
    (
        400,
        "The request could not be read: malformed JSON, a duplicate key, a broken escape.",
        ErrorReason::MalformedRequest,
        "The body is not JSON: expected `:` at line 1 column 12.",
    ),
    (
        401,
        "The caller is not authenticated: no token, or one that is not valid here.",
        ErrorReason::TokenExpired,
        "The access token has expired.",
    ),
    (
        403,
        "The caller may not do this, or a policy denied it.",
        ErrorReason::PermissionDenied,
        "This needs the permission `jobs.submit` in project `web`.",
    ),
    (404, "It does not exist, or this caller may not see it.", ErrorReason::NotFound, "There is no such template."),
    (408, "The body did not arrive in time.", ErrorReason::DeadlineExceeded, "The body did not arrive in time."),
    (
        409,
        "It conflicts with the current state: a name already taken, something in use, a request in progress.",
        ErrorReason::AlreadyExists,
        "A project with this name already exists.",
    ),
    (
        413,
        "The body is larger than this call accepts.",
        ErrorReason::PayloadTooLarge,
        "The body is larger than the 1048576 bytes that are accepted.",
    ),
    (
        415,
        "The body has a media type that this call does not accept.",
        ErrorReason::UnsupportedMediaType,
        "The body must be application/json in UTF-8, declared by exactly one Content-Type header.",
    ),
    (
        422,
        "The request is well-formed but not valid; `errors` names the fields.",
        ErrorReason::ValidationFailed,
        "must be a whole number from 0 to 60",
    ),
    (
        429,
        "Too many requests, too many streams and waits open at once, or a full queue; `code` says which.",
        ErrorReason::RateLimited,
        "Too many requests for this principal: 100 in 2 s are allowed.",
    ),
    (500, "Runwarden failed; `error_id` finds the cause in its logs.", ErrorReason::Internal, ""),
    (
        503,
        "A service that is needed cannot be reached right now.",
        ErrorReason::Unavailable,
        "The service behind this call cannot be reached now.",
    ),
    (
        504,
        "The request took too long to answer.",
        ErrorReason::DeadlineExceeded,
        "The request took too long to answer.",
    ),
];
/// Where tokens are obtained.
const TOKEN: &str = "/api/v1/auth/token";
/// The id of the request in the examples.
const REQUEST: &str = "req_01990f9a0c6f7c52b8f54ee30bd5d1a1";

/// Completes the document.
#[must_use]
pub fn finish(document: OpenApi, table: &Table) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
                if let (Found::Route(route), Some(operation)) =
                    (table.find(Listener::Admin, &method, path), operation.as_object_mut())
                {
                    complete(route, operation);
                }
            }
        }
    }
    let components = document.get_mut("components").and_then(Value::as_object_mut);
    if let Some(components) = components {
        components.insert("responses".into(), responses());
        components.insert("headers".into(), headers());
        components.insert("parameters".into(), parameters());
        components.insert("securitySchemes".into(), security_schemes());
    }
    document
}

/// The document with the paths of one listener only.
#[must_use]
pub fn of_listener(document: &Value, table: &Table, listener: Listener) -> Value {
    let mut document = document.clone();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths.iter_mut() {
            if let Some(item) = item.as_object_mut() {
                item.retain(|method, _| {
                    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
                    matches!(table.find(listener, &method, path), Found::Route(_))
                });
            }
        }
        paths.retain(|_, item| item.as_object().is_some_and(|item| !item.is_empty()));
    }
    without_empty_sections(&mut document);
    document
}

/// Takes away the tags under which nothing is left.
fn without_empty_sections(document: &mut Value) {
    let operations = document.get("paths").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let operations = operations.filter_map(Value::as_object).flat_map(Map::values);
    let used: BTreeSet<String> = operations
        .filter_map(|operation| operation.get("tags")?.as_array())
        .flatten()
        .filter_map(|tag| tag.as_str().map(str::to_owned))
        .collect();
    if let Some(tags) = document.get_mut("tags").and_then(Value::as_array_mut) {
        tags.retain(|tag| tag.get("name").and_then(Value::as_str).is_some_and(|name| used.contains(name)));
    }
}

fn complete(route: &Route, operation: &mut Map<String, Value>) {
    operation.insert("operationId".into(), operation_id(route).into());
    operation.insert("security".into(), security(route));
    let reads_body = operation.contains_key("requestBody") || route.method == Method::POST;
    let is_caller = route.access == Access::Caller;
    let shared = [(is_caller, "Tenant"), (is_caller && route.method == Method::POST, "IdempotencyKey")];
    let mut wanted = shared.iter().filter(|(wanted, _)| *wanted).peekable();
    if wanted.peek().is_some() {
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.extend(wanted.map(|(_, name)| json!({"$ref": format!("#/components/parameters/{name}")})));
        }
    }
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for answer in answers.values_mut() {
        common_headers(route, answer);
    }
    for (status, ..) in ERRORS {
        if may_answer(route, *status, reads_body) {
            answers
                .entry(status.to_string())
                .or_insert_with(|| json!({"$ref": format!("#/components/responses/Problem{status}")}));
        }
    }
    if is_oauth(route) {
        for (status, error, description) in [
            ("400", "unsupported_grant_type", "The grant type must be client_credentials."),
            ("401", "invalid_client", "The client id and secret do not match an enabled client."),
        ] {
            answers.insert(status.into(), oauth_refusal(error, description));
        }
    }
}

/// Which errors a route may answer with.
fn may_answer(route: &Route, status: u16, reads_body: bool) -> bool {
    let is_caller = route.access == Access::Caller;
    match status {
        401 | 403 => is_caller,
        404 => is_caller || route.path.contains('{'),
        408 | 413 => reads_body,
        // What controllers send is read whatever it calls itself.
        415 => reads_body && !takes_nothing(route) && route.basic.is_none(),
        409 => is_caller && route.method != Method::GET,
        _ => true,
    }
}

/// Calls that act on what the path names and need no more.
fn takes_nothing(route: &Route) -> bool {
    ["/cancel", "/rotate", "/rotate-secret"].iter().any(|end| route.path.ends_with(end))
}

fn is_oauth(route: &Route) -> bool {
    route.method == Method::POST && route.access == Access::Open
}

fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1").replace("{", "by_").replace('}', "");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(route.method.as_str().to_ascii_lowercase())
        .chain(words.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("_")
}

fn security(route: &Route) -> Value {
    match route.access {
        // With the page's own way to a token first, or with one that was obtained before.
        Access::Caller if route.basic.is_some() => json!([{"oauth": []}, {"token": []}, {"client": []}]),
        Access::Caller => json!([{"oauth": []}, {"token": []}]),
        // `{}` stands for no header, when the credentials are in the form.
        Access::Open if is_oauth(route) => json!([{"client": []}, {}]),
        Access::Open => json!([]),
    }
}

fn common_headers(route: &Route, answer: &mut Value) {
    let Some(answer) = answer.as_object_mut() else { return };
    let headers = answer.entry("headers").or_insert_with(|| json!({}));
    let Some(headers) = headers.as_object_mut() else { return };
    headers.insert("X-Request-Id".into(), json!({"$ref": "#/components/headers/RequestId"}));
    if route.access == Access::Caller && route.method == Method::POST {
        headers.insert("Idempotency-Replayed".into(), json!({"$ref": "#/components/headers/IdempotencyReplayed"}));
    }
    if route.access == Access::Caller {
        headers.insert("RateLimit".into(), json!({"$ref": "#/components/headers/RateLimit"}));
        headers.insert("RateLimit-Policy".into(), json!({"$ref": "#/components/headers/RateLimitPolicy"}));
    }
}

fn problem_content(status: u16, reason: ErrorReason, detail: &str) -> Value {
    json!({MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example(status, reason, detail)}})
}

/// A problem as it would be answered.
fn example(status: u16, reason: ErrorReason, detail: &str) -> Value {
    let problem = match reason {
        ErrorReason::Internal => Problem::from(Error::internal(std::io::Error::other("an example"))),
        ErrorReason::ValidationFailed => Problem::invalid("/wait", detail),
        _ => Problem::new(reason, detail),
    };
    let problem = problem.with_status(StatusCode::from_u16(status).unwrap_or_default());
    let mut example = serde_json::to_value(problem.body(REQUEST)).unwrap_or_default();
    if let Some(id) = example.get_mut("error_id") {
        // Generated for every failure; the document has to be the same each time.
        *id = "err_01990f9a0c6f7c52b8f54ee30bd5d1a1".into();
    }
    example
}

fn oauth_refusal(error: &str, description: &str) -> Value {
    json!({
        "description": "Refused as in RFC 6749 section 5.2; a request that cannot be read gets a problem.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/OAuthError"},
                "example": {"error": error, "error_description": description},
            },
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    })
}

fn responses() -> Value {
    let mut all = Map::new();
    for (status, meaning, reason, detail) in ERRORS {
        let mut headers = Map::new();
        let mut carries = |name: &str, header: &str| {
            headers.insert(name.into(), json!({"$ref": format!("#/components/headers/{header}")}));
        };
        carries("X-Request-Id", "RequestId");
        if matches!(status, 429 | 503) {
            carries("Retry-After", "RetryAfter");
        }
        if *status == 401 {
            carries("WWW-Authenticate", "Challenge");
        }
        let response =
            json!({"description": meaning, "headers": headers, "content": problem_content(*status, *reason, detail)});
        all.insert(format!("Problem{status}"), response);
    }
    Value::Object(all)
}

fn headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "RequestId": text("The request's id: the caller's own, if it sent a valid one."),
        "RateLimit": text("The caller's quota: requests left, and seconds until it is restored."),
        "RateLimitPolicy": text("What is allowed: requests in a window of seconds."),
        "Challenge": text("How to prove who is asking (RFC 6750)."),
        "IdempotencyReplayed": text(
            "`true` when this is the answer to an earlier request with the same `Idempotency-Key`; otherwise absent."
        ),
        "RetryAfter": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer", "minimum": 1}},
    })
}

fn parameters() -> Value {
    json!({
        "Tenant": {
            "name": "X-Tenant", "in": "header", "required": false,
            "description": "The tenant a platform admin acts for. Other callers' tenant comes with the token.",
            "schema": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Makes a creation repeatable for 24 hours: the same key with the same body gets the first \
                answer again, marked with `Idempotency-Replayed`, with the secret in it if it had one. The kept answer \
                can be opened with this key only.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([!-~]*)$"},
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "oauth": {
            "type": "oauth2",
            "description": "The id and secret of a client; the token is obtained with them and kept by this page only.",
            "flows": {"clientCredentials": {"tokenUrl": TOKEN, "scopes": {}}},
        },
        "token": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "An access token that was obtained before.",
        },
        "client": {
            "type": "http", "scheme": "basic",
            "description": "OAuth client id and secret.",
        },
    })
}
