//! Reading the ledger.

use axum::response::Response;
use http::StatusCode;

use super::super::body::pairs;
use super::super::reply::typed;
use crate::app::App;
use crate::state::ledger::LedgerEntry;

/// `?template=`, `?account=`, `?run=`, `?after=` narrow it.
pub(super) fn list(app: &App, query: &str) -> Response {
    let query = pairs(query);
    let wanted = |entry: &LedgerEntry| {
        query.iter().all(|(name, value)| match name.as_str() {
            "template" => entry.template.to_string() == *value || entry.template_name == *value,
            "account" => entry.account == *value,
            "run" => entry.run.to_string() == *value,
            "after" => value.parse().is_ok_and(|after: u64| entry.seq > after),
            _ => true,
        })
    };
    let entries = app.read().ledger_of(wanted);
    // Straight into text: there may be very many.
    let items = serde_json::to_string(&entries).unwrap_or_default();
    typed(StatusCode::OK, "application/json", format!("{{\"items\":{items}}}"))
}
