//! Somebody edits a template in AWX.

use serde_json::{Value, json};

use super::super::reply::{Outcome, Refusal, ok};
use super::super::rows;
use super::wrong;
use crate::app::App;
use crate::state::template::Template;

/// Changes the fields that are named; until the sandbox's next start.
pub(super) fn change(app: &App, id: u64, request: Value) -> Outcome {
    app.change(|state| {
        let template = state.templates.get(&id).ok_or_else(|| Refusal::missing("JobTemplate"))?;
        let mut changed = json!(template);
        for (name, value) in rows::object(request) {
            rows::put(&mut changed, &name, value);
        }
        let mut changed: Template = serde_json::from_value(changed).map_err(|error| wrong(error.to_string()))?;
        changed.id = id;
        let shown = json!(changed);
        state.templates.insert(id, changed);
        // Rows of jobs tell their template's name.
        state.jobs.forget_rows();
        Ok(ok(&shown))
    })
}
