//! Job events, as they have arrived so far.

use super::call::{Call, Visitor};
use super::jobs;
use super::listing;
use super::records::JOB_EVENT;
use super::reply::{Outcome, Refusal, ok};
use super::rows;
use crate::state::job::JobKind;

pub(crate) fn list(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let job = jobs::visible(&state, visitor, JobKind::Job, id)?;
    let page = listing::select(call, &JOB_EVENT, job.events.iter(), "start_line,counter")?;
    let whole = call.param("no_truncate").is_some_and(|v| matches!(v, "1" | "true" | "True"));
    let shown = page.rows.iter().map(|event| rows::event(job, event, &call.root(), whole)).collect();
    Ok(page.answer(call, shown))
}

pub(crate) fn detail(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let found = state.jobs.values().find_map(|job| job.events.iter().find(|e| e.id == id).map(|e| (job, e)));
    let (job, event) = found.ok_or_else(|| Refusal::missing("JobEvent"))?;
    if !visitor.account.sees(state.restricted(job)) {
        return Err(Refusal::forbidden());
    }
    Ok(ok(&rows::event(job, event, &call.root(), true)))
}
