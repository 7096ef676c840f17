//! How many requests the controller got.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::body::pairs;
use super::super::reply::{empty, ok};
use crate::app::{App, lock};
use crate::requests::{Class, Count};

/// By method and shape of the address, with sums. `?method=` and `?path=`, a part of the address, narrow it.
pub(super) fn list(app: &App, query: &str) -> Response {
    let query = pairs(query);
    let wanted = |(method, path): &Class| {
        query.iter().all(|(name, value)| match name.as_str() {
            "method" => method.eq_ignore_ascii_case(value),
            "path" => path.contains(value.as_str()),
            _ => true,
        })
    };
    let requests = lock(&app.requests);
    let counts: Vec<(&Class, &Count)> = requests.classes().iter().filter(|(class, _)| wanted(class)).collect();
    let sum = |of: fn(&Count) -> u64| counts.iter().map(|(_, count)| of(count)).sum::<u64>();
    let items: Vec<Value> = counts
        .iter()
        .map(|((method, path), count)| {
            json!({"method": method, "path": path, "count": count.count, "answered": count.answered, "bytes": count.bytes})
        })
        .collect();
    ok(&json!({
        "count": sum(|count| count.count), "answered": sum(|count| count.answered), "bytes": sum(|count| count.bytes), "items": items,
    }))
}

pub(super) fn reset(app: &App) -> Response {
    lock(&app.requests).reset();
    empty(StatusCode::NO_CONTENT)
}
