//! What must hold in every world, and between a world and what came before it.

use crate::job::Stray;
use crate::job::{Attempt, AttemptState};
use crate::job::{Job, JobState, Lease, reason};

use super::world::{Launch, Setting, World, installation};

pub(super) fn broken(before: &World, world: &World, setting: &Setting) -> Option<&'static str> {
    if world.trespassed {
        return Some("somebody else's run was touched, or taken for a job's");
    }
    let forgotten = |launch: &Launch| {
        let kept = || world.kept.iter().any(|stray| launch.is_run(&stray.run));
        launch.stray && !launch.over && !launch.gone && !kept()
    };
    if world.launches.iter().any(forgotten) {
        return Some("a stray run continues, and nothing will stop it");
    }
    (0..world.jobs.len()).find_map(|which| broken_for(before, world, setting, which))
}

fn broken_for(before: &World, world: &World, setting: &Setting, which: usize) -> Option<&'static str> {
    let (was, job) = (&before.jobs[which], &world.jobs[which]);
    let launched = world.launched(which);
    if launched > 1 {
        return Some("it was launched twice");
    }
    let odd = |launch: &&Launch| setting.marked && !launch.marked && !launch.others;
    // What was hidden when all that could come had come is a person's, too.
    let given_up = |attempt: &Attempt| matches!(attempt.state, AttemptState::GivenUp { .. });
    let undecidable = world.by_hand
        || world.hidings > 0
        || world.launches.iter().any(|launch| odd(&launch))
        || forgot(world, which)
        || world.attempts.iter().flatten().any(given_up);
    // After an operator's decision, a late answer may name a run that the operator did not know of.
    if world.strays > 0 && !undecidable && !world.again {
        return Some("a run turned up that no job expects");
    }
    if was.state != job.state && !was.state.may_become(job.state) {
        return Some("a state was taken back");
    }
    // Which worker still holds it no longer matters.
    let told = |job: &Job| Job { lease: Lease::default(), ..job.clone() };
    if was.state.is_end() && told(was) != told(job) {
        return Some("an end was contradicted");
    }
    // Also of a launch that is out and has not committed yet.
    if matches!(job.state, JobState::Canceled | JobState::Error) && launched > 0 {
        return Some("a job that was launched is reported as never launched");
    }
    if job.reason.as_deref() == Some(reason::CONTROLLER_REFUSED) && !world.refused {
        return Some("a job ended over something that the controller never said");
    }
    if let Some(run) = &job.run {
        let Some(launch) = world.launches.iter().find(|launch| launch.is_run(run)) else {
            return Some("a job is bound to a run that does not exist");
        };
        if launch.job.is_some_and(|owner| owner != which) {
            return Some("a job is bound to another job's run");
        }
        // An identical launch by hand with our account cannot be distinguished from a launch without a marker.
        if launch.job.is_none() && setting.marked {
            return Some("a job is bound to a run that is not its own");
        }
    }
    let bound = |other: usize| world.jobs[other].run.as_ref().zip(job.run.as_ref());
    if (0..which).filter_map(bound).any(|(one, two)| one.is(two, None)) {
        return Some("one run is bound to two jobs");
    }
    if job.state == JobState::Failed && job.reason.as_deref() == Some(reason::LOST) {
        let own = |launch: &&Launch| job.run.as_ref().is_some_and(|run| launch.is_run(run));
        if world.launches.iter().find(own).is_some_and(|launch| !launch.gone && launch.on == world.uuid) {
            return Some("a run that exists is reported as lost");
        }
    }
    let waits = matches!(job.state, JobState::New | JobState::Launching);
    if waits && job.due_at.is_none() {
        return Some("a job is lost: nobody will ever look at it again");
    }
    if job.state == JobState::Unknown && !undecidable {
        return Some("a job is left to a person although a machine could decide");
    }
    if before.revoked && world.attempts[which].len() > before.attempts[which].len() {
        return Some("an attempt was begun on an authority that had been taken away");
    }
    if world.attempts[which].iter().filter(|attempt| attempt.is_open()).count() > 1 {
        return Some("two attempts are open at once");
    }
    let open: Vec<&Attempt> = world.attempts.iter().flatten().filter(|attempt| attempt.is_open()).collect();
    if open.len() > 1 && open.iter().any(|attempt| !attempt.is_marked()) {
        return Some("a launch began while one without a marker was unresolved");
    }
    None
}

/// Whether the controller can no longer show what happened to a job's launch: it was not there when that happened, or
/// has forgotten it.
fn forgot(world: &World, which: usize) -> bool {
    if !world.again {
        return false;
    }
    let here = installation(world.uuid, 0);
    let elsewhere = world.last(which).is_some_and(|attempt| !attempt.installation.is_same(&here));
    let is_here = |launch: &Launch| launch.on == world.uuid && !launch.gone && launch.visible <= world.tick;
    let there = |launch: &&Launch| launch.job == Some(which) && is_here(launch);
    elsewhere || !world.launches.iter().any(|launch| there(&launch))
}

/// Whether a job has reached a state from which nothing more needs to be done.
pub(super) fn is_settled(world: &World) -> bool {
    let settled = |job: &Job| job.state.is_end() || job.state == JobState::Running;
    // Nothing is ever known of a run where no controller can be asked.
    let here = installation(world.uuid, 0);
    let out_of_reach = |stray: &Stray| !stray.run.installation.is_same(&here);
    world.jobs.iter().all(settled) && world.kept.iter().all(out_of_reach)
}
