//! A controller whose clock is not the caller's.

use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, ok};
use super::super::rows::stamp;
use super::wrong;
use crate::app::App;

/// Ten years: more is no clock that is set wrong.
const MOST_MS: u64 = 10 * 366 * 86_400_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clock {
    offset_ms: i64,
}

/// Sets how far the controller's clock is ahead, or if negative behind; answers with what it says now.
pub(super) fn set(app: &App, request: &Clock) -> Outcome {
    if request.offset_ms.unsigned_abs() > MOST_MS {
        return Err(wrong("The clock can be ten years off at most."));
    }
    Ok(app.change(|state| {
        state.clock_offset_ms = request.offset_ms;
        ok(&json!({"offset_ms": request.offset_ms, "now": stamp(state.now())}))
    }))
}
