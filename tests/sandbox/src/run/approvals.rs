//! Steps that wait for a person: given, denied, or too late.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::launch::make::{self, Origin};
use crate::state::State;
use crate::state::job::{Approving, Job, JobKind, Node, Status};
use crate::state::template::Approval;

/// How often AWX looks for approvals that nobody gave in time.
const SWEEP: u64 = 20;

/// The run that waits for a node's approval. It is on no list of jobs.
pub(crate) fn start(state: &mut State, parent: &Job, node: &Node, approval: &Approval, speed: f64) -> u64 {
    let id = state.next_job_id();
    let now = state.now();
    let expires = (approval.timeout > 0).then(|| {
        let found_after = approval.timeout.div_ceil(SWEEP) * SWEEP;
        now + Duration::from_secs(found_after).div_f64(speed)
    });
    let origin = Origin {
        account: parent.created_by,
        launch_type: "workflow",
        requested_at: now,
        guid: parent.guid.clone(),
        parent: Some(parent.id),
        slice: (0, 1),
    };
    let mut job = make::without_template(id, &origin);
    job.kind = JobKind::Approval;
    job.name.clone_from(&approval.name);
    job.description.clone_from(&approval.description);
    job.template = None;
    job.approving = Some(Approving { template: node.template, timeout: approval.timeout, expires, timed_out: false });
    state.insert(job);
    id
}

/// Ends an approval that nobody gave in time.
pub(crate) fn look(state: &mut State, id: u64) -> Option<()> {
    let now = state.now();
    let job = state.jobs.get_mut(&id).filter(|job| job.status.is_active())?;
    let name = job.name.clone();
    let approving = job.approving.as_mut()?;
    let left: time::Duration = approving.expires? - now;
    if left > time::Duration::ZERO {
        let left = Duration::try_from(left).unwrap_or_default();
        state.schedule.look_at(id, Instant::now() + left);
        return None;
    }
    approving.timed_out = true;
    job.job_explanation = format!("The approval node {name} ({id}) has expired after {} seconds.", approving.timeout);
    state.turn(id, Status::Failed);
    Some(())
}

/// A person says yes or no. False if that was said before, or is too late.
pub(crate) fn decide(state: &mut State, id: u64, yes: bool) -> bool {
    let waits = state.job(JobKind::Approval, id).is_some_and(|job| job.status.is_active());
    if waits {
        state.turn(id, if yes { Status::Successful } else { Status::Failed });
    }
    waits
}

/// When an approval counts as refused, as it is shown.
pub(crate) fn expiration(job: &Job) -> Option<OffsetDateTime> {
    job.approving.as_ref()?.expires
}
