//! Credentials that are good no more from one moment on.

use serde::Deserialize;
use serde_json::json;

use super::super::reply::{Outcome, Refusal, empty, ok};
use crate::app::App;
use crate::state::State;
use http::StatusCode;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    locked: bool,
}

/// Locks an account: 401 for its password, all its tokens and its sessions, until it is unlocked.
pub(super) fn change(app: &App, name: &str, request: &Change) -> Outcome {
    app.change(|state| {
        let account = state.accounts.iter_mut().find(|account| account.username == name).ok_or_else(unknown)?;
        account.locked = request.locked;
        Ok(empty(StatusCode::NO_CONTENT))
    })
}

/// Gives an account a new token; all that it had are dead.
pub(super) fn rotate(app: &App, name: &str) -> Outcome {
    app.change(|state: &mut State| {
        let id = state.accounts.iter().find(|account| account.username == name).ok_or_else(unknown)?.id;
        state.tokens.retain(|token| token.user != id);
        let token = state.make_token(id, "rotated by the sandbox", "write");
        Ok(ok(&json!({"id": token.id, "token": token.value})))
    })
}

fn unknown() -> Refusal {
    Refusal::missing("User")
}
