//! What others than workers do: callers, people, other people, the controller, and who follows and stops runs.

use crate::job::Attempt;
use crate::job::{Bound, JobState, reason};
use crate::launch::protocol::Resolution;
use crate::launch::strays::{Next as AfterLook, StrayState, UnderId};

use super::Rules;
use super::steps::{Next, name};
use super::world::{Again, Launch, Setting, Worker, World, installation, patience};

pub(super) fn outside(world: &World, setting: &Setting, rules: &Rules, next: &mut Vec<Next>) {
    for which in 0..world.jobs.len() {
        about(world, which, setting, rules, next);
        if setting.again.is_some() {
            follow(world, which, rules, next);
        }
    }
    for at in 0..world.kept.len() {
        look_at_stray(world, at, rules, next);
    }
    if setting.by_hand && !world.by_hand {
        let mut after = world.clone();
        after.by_hand = true;
        let launch = after.launch(None, 0, false, world.tick);
        after.launches.push(launch);
        next.push(("somebody launches the same by hand", after));
    }
    if world.hidings < setting.hides {
        let what = if world.is_hidden() { "a right is given back" } else { "a right is taken away" };
        next.push((what, World { hidings: world.hidings + 1, ..world.clone() }));
    }
    if setting.revokes && !world.revoked {
        next.push(("what allowed the jobs is taken away", World { revoked: true, ..world.clone() }));
    }
    if let Some(again) = setting.again.filter(|_| !world.again) {
        next.push(("the controller is another installation now", become_again(world, again)));
    }
    if world.again && world.others < setting.others {
        let mut after = world.clone();
        after.others += 1;
        let launch = Launch { others: true, ..after.launch(None, 0, false, world.tick) };
        after.launches.push(launch);
        next.push(("somebody else launches", after));
    }
}

/// It loses all runs, and ids start again. What had not committed yet never does.
fn become_again(world: &World, again: Again) -> World {
    let mut after = world.clone();
    after.again = true;
    after.last_id = 0;
    after.uuid += u8::from(again != Again::Restored);
    if again == Again::Moved {
        return after;
    }
    after.launches.retain(|launch| launch.visible <= world.tick);
    for launch in &mut after.launches {
        launch.gone = true;
    }
    after
}

/// An executor follows a running job: records its end, or finds it deleted.
fn follow(world: &World, which: usize, rules: &Rules, next: &mut Vec<Next>) {
    let job = &world.jobs[which];
    let Some(run) = job.run.as_ref().filter(|_| job.state == JobState::Running) else { return };
    let bound = Bound { run: run.clone(), at: job.launched_at };
    // A row does not say which installation it is on.
    let shown = world.shown(run.id).filter(|launch| (rules.is)(&bound, &launch.as_run(&run.installation)));
    let mut after = world.clone();
    let (state, why) = match shown {
        Some(launch) => {
            after.trespassed |= launch.job != Some(which);
            (JobState::Succeeded, None)
        }
        None => (JobState::Failed, Some((reason::LOST, String::new()))),
    };
    if after.jobs[which].end(state, world.now(), why).is_ok() {
        next.push(("its run is looked at", after));
    }
}

/// An executor checks a stray run.
fn look_at_stray(world: &World, at: usize, rules: &Rules, next: &mut Vec<Next>) {
    let run = &world.kept[at].run;
    let bound = Bound { run: run.clone(), at: None };
    let shown = world.shown(run.id);
    let own = shown.filter(|launch| (rules.is)(&bound, &launch.as_run(&run.installation)));
    let under = match (shown, own) {
        (_, Some(launch)) if launch.over => UnderId::Ended("canceled"),
        (_, Some(_)) => UnderId::Itself,
        (Some(_), None) => UnderId::Another,
        (None, None) => UnderId::Nothing,
    };
    let told = (rules.tells)(under, run.installation.is_same(&installation(world.uuid, 0)));
    for sight in [told, StrayState::Untold] {
        let mut after = world.clone();
        match (rules.stray)(&mut after.kept[at], &sight, world.now()) {
            AfterLook::Stop => {
                // The cancellation may get lost, too.
                next.push(("a stray run is not stopped", after.clone()));
                after.trespassed |= own.is_some_and(|launch| !launch.is_run(run));
                let stopped = own.map(|launch| launch.made);
                let launches = after.launches.iter_mut().filter(|launch| Some(launch.made) == stopped);
                launches.for_each(|launch| launch.over = true);
            }
            AfterLook::Look => {}
            AfterLook::Settled(_) => {
                after.kept.remove(at);
            }
        }
        next.push(("a stray run is looked at", after));
    }
}

/// What others do about a job.
fn about(world: &World, which: usize, setting: &Setting, rules: &Rules, next: &mut Vec<Next>) {
    let (now, job) = (world.now(), &world.jobs[which]);
    if setting.cancels && !job.cancel_requested && !job.state.is_end() {
        let mut after = world.clone();
        if after.jobs[which].request_cancel(now).is_ok() {
            if after.jobs[which].due_at.is_some() {
                after.jobs[which].look_now();
            }
            next.push(("the caller cancels", after));
        }
    }
    if let Some(holder) = &job.lease.holder {
        // The holder is dead, or only suspended: the difference cannot be seen.
        let worker = usize::from(*holder == name(1));
        let lives = !matches!(world.workers[worker], Worker::Idle);
        if !lives || world.losses < setting.losses {
            let mut after = world.clone();
            after.losses += u8::from(lives);
            let job = &mut after.jobs[which];
            job.lease.holder = None;
            job.lease.fence += 1;
            if job.due_at.is_some() {
                job.look_now();
            }
            next.push(("a worker is presumed dead", after));
        }
    }
    let mut after = world.clone();
    if (rules.expired)(&mut after.jobs[which], world.last(which).as_ref(), now) {
        next.push(("the deadline passes", after));
    }
    let overdue = |attempt: &Attempt| attempt.is_open() && now >= patience().over_at(attempt);
    if job.state == JobState::Unknown || (setting.overdue && world.last(which).as_ref().is_some_and(overdue)) {
        decide(world, which, rules, next);
    }
}

/// An operator looks, and decides.
fn decide(world: &World, which: usize, rules: &Rules, next: &mut Vec<Next>) {
    let is_here = |launch: &Launch| launch.on == world.uuid && !launch.gone && launch.visible <= world.tick;
    let mine = |launch: &&Launch| launch.job == Some(which) && is_here(launch);
    let mine = world.launches.iter().find(mine);
    let mut said = vec![Resolution::GiveUp];
    match mine {
        Some(launch) => said.push(Resolution::Bind(launch.as_run(&installation(world.uuid, 0)))),
        None if world.launched(which) == 0 => said.push(Resolution::Retry),
        None => {}
    }
    for resolution in said {
        let mut after = world.clone();
        let Some(attempt) = after.attempts[which].last_mut() else { continue };
        if (rules.resolved)(&mut after.jobs[which], attempt, resolution, world.now()) {
            next.push(("a person decides", after));
        }
    }
}
