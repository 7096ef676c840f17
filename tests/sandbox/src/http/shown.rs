//! A job as lists show it, as text. Written once for each change of the job: all but the seconds since it started stays
//! the same from one look to the next, and thousands of runs are looked at all the time.

use super::rows;
use crate::state::State;
use crate::state::job::Job;

/// The job's row as JSON.
pub(crate) fn job(state: &State, job: &Job, root: &str, node: &str) -> String {
    let mut text = job.row.written(root).unwrap_or_else(|| {
        let mut row = rows::job(state, job, root, node, false);
        row.remove("elapsed");
        let mut text = serde_json::Value::Object(row).to_string();
        // Room for one more field.
        text.pop();
        // A step's row tells how its workflow stands, which changes without the step.
        if job.parent.is_none() {
            job.row.keep(root, &text);
        }
        text
    });
    // JSON's notation of a number that is no infinity.
    text.push_str(&format!(",\"elapsed\":{:?}}}", job.elapsed(state.now())));
    text
}
