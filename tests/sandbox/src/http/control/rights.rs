//! Somebody takes a role on an object away in AWX, or gives it back.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::super::reply::{Outcome, Refusal, empty};
use crate::app::App;

/// What accounts other than superusers may do with the object.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Right {
    Use,
    Read,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetRight {
    right: Right,
}

/// Changes what an object of the catalogue may be used for; until the sandbox's next start.
pub(super) fn change(app: &App, path: &str, id: u64, request: &SetRight) -> Outcome {
    app.change(|state| -> Result<Response, Refusal> {
        let row = state.row_mut(path, id).ok_or_else(|| Refusal::missing("Object"))?;
        row.insert("restricted".to_owned(), matches!(request.right, Right::None).into());
        row.insert("unusable".to_owned(), matches!(request.right, Right::Read).into());
        Ok(empty(StatusCode::NO_CONTENT))
    })
}
