//! Webhook notifications, as an operator configures them in AWX, and ways to have them go wrong.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, empty, ok};
use crate::app::{App, lock};
use crate::notify::Target;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// None leaves it.
    target: Option<Target>,
    lose: Option<u32>,
}

/// Sets where they go, and how many of the next ones get lost.
pub(super) fn change(app: &App, request: Change) -> Outcome {
    app.change(|state| {
        if let Some(target) = request.target {
            state.notices.target = Some(target);
        }
        state.notices.lose = request.lose.unwrap_or(state.notices.lose);
    });
    Ok(empty(StatusCode::NO_CONTENT))
}

/// No more of them.
pub(super) fn clear(app: &App) -> Response {
    app.change(|state| state.notices.target = None);
    empty(StatusCode::NO_CONTENT)
}

/// What those that were sent were answered with.
pub(super) fn list(app: &App) -> Response {
    let lose = app.read().notices.lose;
    ok(&json!({"answers": *lock(&app.answers), "lose": lose}))
}

/// AWX's test button.
pub(super) fn test(app: &App) -> Response {
    app.change(|state| state.notices.test());
    empty(StatusCode::ACCEPTED)
}
