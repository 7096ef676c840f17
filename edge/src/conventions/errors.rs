//! Errors in one form: problem+json, whether a handler, a layer or a library answered.

use axum::response::Response;
use http::{HeaderMap, header};
use runwarden_kit::Error;

use super::measure::MatchedRoute;
use crate::problem::{self, Problem};

/// Marks an answer that is as its receiver expects it, error or not: foreign senders have their own rules.
#[derive(Clone, Copy, Debug)]
pub struct Verbatim;

/// Turns what handlers left, or what a library answered by itself, into a problem.
pub(super) fn as_problem(mut response: Response, request_id: &str) -> Response {
    let route = response.extensions_mut().remove::<MatchedRoute>();
    if response.extensions_mut().remove::<Verbatim>().is_some() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        (is_error && !has_own_body(response.headers())).then(|| problem::of_status(status))
    });
    let mut response = match problem {
        Some(problem) => {
            let mut fresh = problem.render(request_id);
            // What the layers between added, such as rate limits, stays.
            for (name, value) in response.headers() {
                if *name != header::CONTENT_LENGTH && !fresh.headers().contains_key(name) {
                    fresh.headers_mut().append(name.clone(), value.clone());
                }
            }
            fresh
        }
        None => response,
    };
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// An error in OAuth's form is left as it is.
fn has_own_body(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json" || kind == problem::MEDIA_TYPE)
}

/// What a caller is answered when a handler panicked: nothing of its message.
pub(super) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Problem {
    Problem::from(Error::internal(anyhow::anyhow!("panic: {}", message(panic))))
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
