//! Everything that can happen next in a world.

use std::time::Duration;

use runwarden_awx::Proof;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use crate::job::Stray;
use crate::job::{AT_ONCE, Job, JobState, Run, reason};
use crate::job::{Attempt, AttemptState};
use crate::launch::judging::{Candidate, Facts, Inputs, Marked, Verdict};
use crate::launch::protocol::{Answer, Around, Beginning, Finding, Step, Stop, Written};

use super::Rules;
use super::outside::outside;
use super::world::{Again, Fate, Launch, Look, REQUEST_TICKS, Setting, Worker, World, installation, patience};

/// What happened, and what the world is then.
pub(super) type Next = (&'static str, World);

pub(super) fn successors(world: &World, setting: &Setting, rules: &Rules) -> Vec<Next> {
    let mut next = Vec::new();
    // A tick that changes nothing leads to a world that was visited; no interleaving needs more than a few hundred.
    if world.tick < 240 {
        next.push(("time passes", World { tick: world.tick + 1, ..world.clone() }));
    }
    outside(world, setting, rules, &mut next);
    for worker in 0..2 {
        work(world, worker, setting, rules, &mut next);
        if world.workers[worker] != Worker::Idle && world.crashes < setting.crashes {
            let mut after = world.clone();
            after.crashes += 1;
            after.workers[worker] = Worker::Idle;
            next.push(("a worker dies", after));
        }
    }
    next
}

pub(super) fn name(worker: usize) -> String {
    format!("exe_{worker}")
}

fn work(world: &World, worker: usize, setting: &Setting, rules: &Rules, next: &mut Vec<Next>) {
    let now = world.now_of(setting, worker);
    match world.workers[worker].clone() {
        Worker::Idle => {
            for which in 0..world.jobs.len() {
                let job = &world.jobs[which];
                if job.lease.holder.is_none() && job.due_at.is_some_and(|due| due <= now) {
                    let mut after = world.clone();
                    let job = &mut after.jobs[which];
                    job.lease.fence += 1;
                    job.lease.holder = Some(name(worker));
                    let job = Box::new(job.clone());
                    after.workers[worker] = Worker::Claimed { which, job, last: world.last(which) };
                    next.push(("a worker claims", after));
                }
            }
        }
        Worker::Claimed { which, job, last } => step(world, worker, which, &job, last.as_ref(), setting, rules, next),
        Worker::Looked { which, fence, look } => {
            let mut after = world.clone();
            after.workers[worker] = Worker::Idle;
            conclude(&mut after, which, fence, &look, now, rules);
            next.push(("a search is concluded", after));
        }
        Worker::Begun { which, attempt, fence } => {
            if !(rules.may_send)(&attempt, now) {
                let mut after = world.clone();
                let answer = Answer::NotLaunched { why: String::new(), then: Stop::Later(String::new()) };
                settle(&mut after, which, attempt.number, fence, answer, rules);
                after.workers[worker] = Worker::Idle;
                next.push(("a worker comes too late to send", after));
                return;
            }
            if world.launched(which) >= usize::from(setting.sends) {
                return;
            }
            for fate in fates(setting) {
                next.push(("a launch leaves", sent(world, worker, which, &attempt, fence, fate, setting)));
            }
        }
        Worker::Sent { which, attempt, fence, fate, launch } => {
            let mut after = world.clone();
            let unresolved = |named| Answer::Unresolved { why: String::new(), named };
            let answer = match (fate, fate.answer()) {
                (_, Some((status, own))) => match (rules.proof)(status, own) {
                    Proof::Refused => Answer::NotLaunched {
                        why: String::new(),
                        then: Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, String::new()),
                    },
                    Proof::NotLaunched => Answer::NotLaunched { why: String::new(), then: Stop::Later(String::new()) },
                    Proof::None => unresolved(None),
                },
                (Fate::Answered, None) => Answer::Launched {
                    run: launch.expect("what is answered was launched").as_run(&attempt.installation),
                    condemned: None,
                    marker_took: setting.marked,
                },
                (Fate::Named, None) => unresolved(launch.map(|launch| launch.run)),
                (_, None) => unresolved(None),
            };
            settle(&mut after, which, attempt.number, fence, answer, rules);
            after.workers[worker] = Worker::Idle;
            next.push(("an answer is written down", after));
        }
    }
}

fn fates(setting: &Setting) -> Vec<Fate> {
    let mut fates = vec![Fate::Answered, Fate::LostBeforeCommit, Fate::LostAfterCommit, Fate::LostAndLate];
    if setting.jobs == 1 {
        // With another job beside it these show nothing that they do not show alone.
        fates.extend([Fate::Refused, Fate::Named]);
    }
    if setting.marked && setting.drops_marker {
        fates.push(Fate::MarkerDropped);
    }
    if setting.in_front {
        fates.extend([Fate::TurnedAway, Fate::CoveredUp, Fate::TooLarge]);
    }
    fates
}

fn sent(
    world: &World,
    worker: usize,
    which: usize,
    attempt: &Attempt,
    fence: i64,
    fate: Fate,
    setting: &Setting,
) -> World {
    let mut after = world.clone();
    let visible = match fate {
        Fate::Answered | Fate::LostAfterCommit | Fate::Named | Fate::MarkerDropped | Fate::CoveredUp => {
            Some(world.tick)
        }
        Fate::LostAndLate => Some(world.tick + REQUEST_TICKS),
        Fate::Refused | Fate::LostBeforeCommit | Fate::TurnedAway | Fate::TooLarge => None,
    };
    after.refused |= fate == Fate::Refused;
    let marked = attempt.is_marked() && fate != Fate::MarkerDropped;
    let mut launch = visible.map(|visible| after.launch(Some(which), attempt.number, marked, visible));
    // A launch goes where it was made ready for, though the name leads elsewhere by now.
    let went = (0..=world.uuid).find(|uuid| attempt.installation.is_same(&installation(*uuid, 0)));
    if let (Some(launch), Some(went)) = (&mut launch, went.filter(|_| setting.again == Some(Again::Moved))) {
        launch.on = went;
    }
    after.launches.extend(launch);
    after.workers[worker] = Worker::Sent { which, attempt: attempt.clone(), fence, fate, launch };
    after
}

#[expect(clippy::too_many_arguments, reason = "all of what a worker has in hand")]
fn step(
    world: &World,
    worker: usize,
    which: usize,
    job: &Job,
    last: Option<&Attempt>,
    setting: &Setting,
    rules: &Rules,
    next: &mut Vec<Next>,
) {
    let now = world.now_of(setting, worker);
    let mut after = world.clone();
    after.workers[worker] = Worker::Idle;
    let fence = job.lease.fence;
    let end = |state, reason| Stop::End(state, reason, String::new());
    match (rules.next_step)(job, last, now) {
        Step::Nothing => {
            after.jobs[which].lease.release(fence);
        }
        Step::Cancel => stop(&mut after, which, fence, end(JobState::Canceled, reason::CANCELED_BY_CALLER), now, rules),
        Step::Expire => stop(&mut after, which, fence, end(JobState::Error, reason::EXPIRED), now, rules),
        Step::Reconcile => reconcile(&mut after, worker, which, fence, last, setting, rules),
        Step::Launch => {
            // A check before the launch may also say no.
            let mut refused = after.clone();
            stop(&mut refused, which, fence, end(JobState::Error, reason::TEMPLATE_UNSUITABLE), now, rules);
            next.push(("a check refuses", refused));
            if setting.revokes {
                let mut unasked = after.clone();
                stop(&mut unasked, which, fence, Stop::Later(String::new()), now, rules);
                next.push(("there is no service to ask whether it may begin", unasked));
                if world.revoked && (rules.asks)(job) {
                    stop(&mut after, which, fence, end(JobState::Error, reason::AUTHORITY_REVOKED), now, rules);
                    next.push(("it may not begin any more", after));
                    return;
                }
            }
            if job.attempts >= setting.attempts {
                // More attempts show nothing that two do not: each begins where the one before was settled.
                return;
            }
            let attempt = intent(world, which, job, setting, now);
            let around = Around { blocked: is_blocked(world, which, &attempt, rules), full: None };
            let last = world.last(which);
            match (rules.begin)(&mut after.jobs[which], last.as_ref(), &attempt, fence, &around, now) {
                Beginning::Begun => {
                    after.attempts[which].push(attempt.clone());
                    after.workers[worker] = Worker::Begun { which, attempt, fence };
                }
                Beginning::Blocked => stop(&mut after, which, fence, Stop::Yield(String::new()), now, rules),
                Beginning::Full(..) | Beginning::Lost => {
                    after.jobs[which].lease.release(fence);
                }
            }
        }
    }
    next.push(("a worker takes its step", after));
}

fn intent(world: &World, which: usize, job: &Job, setting: &Setting, now: Moment) -> Attempt {
    Attempt {
        job_id: job.id.clone(),
        number: job.attempts + 1,
        installation: installation(world.uuid, if setting.mapped_twice { which } else { 0 }),
        controller_template: 9,
        account: 1,
        marker: format!("rw_{}-{}", job.id, job.attempts + 1),
        placement: setting.placement().as_str().into(),
        sent_at: now,
        // The controller's clock is right.
        controller_time: Some(world.now()),
        named: None,
        marker_took: None,
        told: crate::job::Told::default(),
        state: AttemptState::Intent,
    }
}

/// As the store has it: a launch with a marker is blocked only by launches without one, a launch without a marker by
/// any.
fn is_blocked(world: &World, which: usize, attempt: &Attempt, rules: &Rules) -> bool {
    let others = world.attempts.iter().enumerate().filter(|(other, _)| *other != which);
    let here =
        others.flat_map(|(_, attempts)| attempts).filter(|a| (rules.same)(&a.installation, &attempt.installation));
    here.into_iter().any(|a| a.is_open() && !(a.is_marked() && attempt.is_marked()))
}

fn stop(world: &mut World, which: usize, fence: i64, stop: Stop, now: Moment, rules: &Rules) {
    let last = world.last(which);
    (rules.stopped)(&mut world.jobs[which], last.as_ref(), fence, stop, now);
    world.jobs[which].lease.release(fence);
}

/// As the launcher does it: the transition sees the last attempt, if it is the one that is meant.
fn settle(world: &mut World, which: usize, number: u32, fence: i64, answer: Answer, rules: &Rules) {
    let now = world.now();
    let mut attempt = world.last(which).filter(|last| last.number == number);
    let mut job = world.jobs[which].clone();
    let run = match &answer {
        Answer::Launched { run, .. } => Some(run.clone()),
        Answer::NotLaunched { .. } | Answer::Unresolved { .. } => None,
    };
    let held = run.as_ref().is_some_and(|run| world.bound(which).iter().any(|bound| (rules.is)(bound, run)));
    match (rules.answered)(&mut job, attempt.as_mut(), answer, held, now) {
        Written::Nothing => {}
        Written::Stray => come_to_light(world, which, number, run, rules),
        Written::Quietly => world.jobs[which] = job,
        Written::Aloud => {
            world.jobs[which] = job;
            if let (Some(attempt), Some(last)) = (attempt, world.attempts[which].last_mut()) {
                *last = attempt;
            }
        }
    }
    world.jobs[which].lease.release(fence);
}

fn reconcile(
    world: &mut World,
    worker: usize,
    which: usize,
    fence: i64,
    seen: Option<&Attempt>,
    setting: &Setting,
    rules: &Rules,
) {
    let Some(seen) = seen else { return };
    let now = world.now_of(setting, worker);
    let here = installation(world.uuid, 0);
    if !(rules.same)(&seen.installation, &here) {
        if now < patience().over_at(seen) {
            stop(world, which, fence, Stop::Later(String::new()), now, rules);
            return;
        }
        let finding = Finding { verdict: UNTRACEABLE, run: None, dropped: Vec::new(), partial: false };
        learn(world, which, fence, seen, finding, now, rules);
        return;
    }
    let bound = world.bound(which);
    let is_here = |launch: &Launch| launch.on == world.uuid && !launch.gone && !launch.others;
    let in_time = |launch: &&Launch| launch.visible <= world.tick && !world.is_hidden() && is_here(launch);
    let shown: Vec<Launch> = world.launches.iter().filter(in_time).copied().collect();
    let found: Vec<Candidate> = shown
        .iter()
        .map(|launch| Candidate {
            run_id: launch.run,
            marked: match (launch.marked, launch.job == Some(which) && launch.attempt == seen.number) {
                (true, true) => Marked::Mine,
                (true, false) => Marked::Other,
                (false, _) => Marked::No,
            },
            inputs: Inputs::Match,
            bound: bound.iter().any(|bound| (rules.is)(bound, &launch.as_run(&seen.installation))),
        })
        .collect();
    let facts = Facts { found, blind: world.is_hidden().then(String::new), ..Facts::default() };
    let look = Look { attempt: seen.clone(), began: [now, world.now()], shown, facts };
    if setting.slow_looks {
        world.workers[worker] = Worker::Looked { which, fence, look: Box::new(look) };
    } else {
        conclude(world, which, fence, &look, now, rules);
    }
}

/// Asks what only matters where nothing was found, and concludes.
fn conclude(world: &mut World, which: usize, fence: i64, look: &Look, now: Moment, rules: &Rules) {
    let seen = &look.attempt;
    let mut facts = look.facts.clone();
    if world.is_hidden() {
        facts.blind.get_or_insert_default();
    }
    // The run of long ago is what that installation must still know.
    let forgot = world.again && seen.installation.is_same(&world.of_long_ago().installation);
    facts.doubt = forgot.then(String::new);
    let judged_at = (rules.judged_at)(look.began[1], world.now());
    facts.passed = seen.controller_time.map_or(Duration::ZERO, |then| judged_at.since(then));
    let verdict = (rules.conclude)(seen, &patience(), (rules.judged_at)(look.began[0], now), &facts);
    let run = match verdict {
        Verdict::Adopt(id) => look.shown.iter().find(|launch| launch.run == id).map(|l| l.as_run(&seen.installation)),
        _ => None,
    };
    learn(world, which, fence, seen, Finding { verdict, run, dropped: Vec::new(), partial: false }, now, rules);
}

const UNTRACEABLE: Verdict = Verdict::Untraceable(String::new());

fn learn(world: &mut World, which: usize, fence: i64, seen: &Attempt, finding: Finding, now: Moment, rules: &Rules) {
    let mut job = world.jobs[which].clone();
    let held = finding.run.as_ref().is_some_and(|run| world.bound(which).iter().any(|bound| (rules.is)(bound, run)));
    if let Some(mut attempt) = world.last(which).filter(|last| last.number == seen.number) {
        match (rules.judged)(&mut job, &mut attempt, finding, held, now) {
            Written::Nothing | Written::Stray => {}
            Written::Quietly => world.jobs[which] = job,
            Written::Aloud => {
                world.jobs[which] = job;
                if let Some(last) = world.attempts[which].last_mut() {
                    *last = attempt;
                }
            }
        }
    }
    world.jobs[which].lease.release(fence);
}

/// A stray run was found.
fn come_to_light(world: &mut World, which: usize, attempt: u32, run: Option<Run>, rules: &Rules) {
    world.strays += 1;
    let Some(run) = run else { return };
    if let Some(launch) = world.launches.iter_mut().find(|launch| launch.is_run(&run)) {
        launch.stray = true;
    }
    if rules.keeps_strays {
        world.kept.push(Stray {
            tenant: TenantId::trusted("acme"),
            job: world.jobs[which].id.clone(),
            attempt,
            controller: "awx".into(),
            run,
            found_at: world.now(),
            due_at: AT_ONCE,
            looks: 0,
        });
    }
}
