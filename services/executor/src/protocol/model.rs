//! Explores every order in which a small world can unfold: two workers, crashes, a paused worker, a controller that
//! answers, refuses, loses answers and commits late, a caller who cancels. After each step the promises are checked.
//!
//! Time moves in ticks of 25 seconds. The world is small on purpose: two launches and two crashes already show every
//! kind of interleaving, and the whole of it is visited.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use runwarden_kit::clock::Moment;

use super::{Answer, Around, Beginning, SEND_WITHIN, Step, Stop, Written};
use crate::attempt::{Attempt, AttemptState, Candidate, Patience, Verdict, judge};
use crate::awx::MarkerPlacement;
use crate::job::tests::example;
use crate::job::{Job, JobState, Run, reason};

const TICK: u64 = 25;
/// Claims end within a tick, as if no renewal ever came in time.
const LEASE_TICKS: u8 = 1;
/// The controller's longest request and the clocks' difference, in ticks: patience is their sum and a little.
const REQUEST_TICKS: u8 = 5;
/// When patience is over, in ticks, and one more.
const LONG_AGO: u64 = 10;

/// The parts of the protocol that a mutant can replace.
#[derive(Clone, Copy)]
struct Rules {
    next_step: fn(&Job, Option<&Attempt>) -> Step,
    begin: fn(&mut Job, Option<&Attempt>, &Attempt, u64) -> Beginning,
    may_send: fn(&Attempt, Moment) -> bool,
    judge: fn(&Attempt, &Patience, Moment, &[Candidate]) -> Verdict,
    answered: fn(&mut Job, &mut Attempt, Answer, Moment) -> Written,
    stopped: fn(&mut Job, Option<&Attempt>, u64, Stop, Moment) -> Written,
}

const REAL: Rules = Rules {
    next_step: super::next_step,
    begin: |job, last, attempt, fence| {
        super::begin(job, last, attempt, fence, &Around::default()).expect("a legal transition")
    },
    may_send: super::may_send,
    judge,
    answered: |job, attempt, answer, now| super::answered(job, attempt, answer, now).expect("a legal transition"),
    stopped: |job, last, fence, stop, now| super::stopped(job, last, fence, stop, now).expect("a legal transition"),
};

/// What the controller does with a launch that reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Answered,
    Refused,
    LostBeforeCommit,
    LostAfterCommit,
    LostAndLate,
}

const FATES: [Fate; 5] =
    [Fate::Answered, Fate::Refused, Fate::LostBeforeCommit, Fate::LostAfterCommit, Fate::LostAndLate];

/// Where a worker is. What it holds in memory is gone when it crashes.
#[derive(Clone, Debug, PartialEq)]
enum Worker {
    Idle,
    /// Has claimed the job and read it and its last attempt.
    Claimed {
        job: Box<Job>,
        last: Option<Attempt>,
    },
    /// The intent is durable; the launch has not left yet.
    Begun {
        attempt: Attempt,
    },
    /// The launch has left.
    Sent {
        attempt: Attempt,
        fate: Fate,
        run: i64,
    },
}

#[derive(Clone, Debug)]
struct World {
    tick: u8,
    job: Job,
    attempts: Vec<Attempt>,
    workers: [Worker; 2],
    /// Runs of this job on the controller: id, attempt, tick at which it becomes visible.
    runs: Vec<(i64, u32, u8)>,
    crashes: u8,
    sends: u8,
}

impl World {
    fn new(marked: bool) -> (Self, MarkerPlacement) {
        let mut job = example();
        job.id = "job_1".into();
        job.due_at = Some(at(0));
        let placement = if marked { MarkerPlacement::ExtraVar } else { MarkerPlacement::None };
        let workers = [Worker::Idle, Worker::Idle];
        (Self { tick: 0, job, attempts: Vec::new(), workers, runs: Vec::new(), crashes: 0, sends: 0 }, placement)
    }

    fn now(&self) -> Moment {
        at(self.tick)
    }

    fn last(&self) -> Option<Attempt> {
        self.attempts.last().cloned()
    }

    /// What tells this world from others: everything that a transition looks at. Texts for people, and fences beyond
    /// being current or not, do not.
    fn key(&self) -> u64 {
        // Times are told from now on, and what is long past is past: then worlds that differ only in when they are
        // come together, and all of time is visited.
        let due =
            |moment: Option<Moment>| moment.map(|m| m.since(self.now()).as_millis().div_ceil(u128::from(TICK) * 1000));
        let ago = |moment: Moment| (self.now().since(moment).as_secs() / TICK).min(LONG_AGO);
        let attempt = |a: &Attempt| (a.number, ago(a.sent_at), std::mem::discriminant(&a.state));
        let runs: Vec<_> =
            self.runs.iter().map(|(run, attempt, visible)| (run, attempt, visible.saturating_sub(self.tick))).collect();
        let worker = |worker: &Worker| match worker {
            Worker::Idle => (0, 0, false, 0, None, false, None),
            Worker::Claimed { job, last } => (
                1,
                job.attempts,
                job.lease.fence == self.job.lease.fence,
                0,
                last.as_ref().map(attempt),
                job.cancel_requested,
                Some(job.state),
            ),
            Worker::Begun { attempt: a } => (2, a.number, false, 0, Some(attempt(a)), false, None),
            Worker::Sent { attempt: a, fate, run } => {
                (3 + *fate as u8, a.number, false, *run, Some(attempt(a)), false, None)
            }
        };
        let mut workers = [worker(&self.workers[0]), worker(&self.workers[1])];
        // Which of the two workers it is makes no difference.
        workers.sort_by_key(|w| (w.0, w.1, w.2, w.3, w.5));
        let mut hasher = DefaultHasher::new();
        (self.job.state, due(self.job.due_at), self.job.cancel_requested, self.job.attempts).hash(&mut hasher);
        (self.job.run.as_ref().map(|run| run.id), self.crashes, self.sends, runs, workers).hash(&mut hasher);
        self.attempts.iter().map(attempt).collect::<Vec<_>>().hash(&mut hasher);
        hasher.finish()
    }
}

fn at(tick: u8) -> Moment {
    Moment::from_micros(1_000_000_000).plus(Duration::from_secs(u64::from(tick) * TICK))
}

fn patience() -> Patience {
    Patience {
        controller_request: Duration::from_secs(u64::from(REQUEST_TICKS) * TICK),
        clock_skew: Duration::from_secs(90),
    }
}

/// Everything that can happen next.
fn successors(world: &World, placement: MarkerPlacement, rules: &Rules) -> Vec<(&'static str, World)> {
    let mut next = Vec::new();
    // A tick that changes nothing leads to a world that was visited; no interleaving needs more than a few hundred.
    if world.tick < u8::MAX - LEASE_TICKS {
        next.push(("time passes", World { tick: world.tick + 1, ..world.clone() }));
    }
    if !world.job.cancel_requested && !world.job.state.is_end() {
        let mut after = world.clone();
        if after.job.request_cancel(world.now()).is_ok() {
            if !after.job.state.is_end() && after.job.due_at.is_some() {
                after.job.due_at = Some(world.now());
            }
            next.push(("the caller cancels", after));
        }
    }
    for which in 0..2 {
        work(world, which, placement, rules, &mut next);
        if world.workers[which] != Worker::Idle && world.crashes < 2 {
            let mut after = world.clone();
            after.crashes += 1;
            after.workers[which] = Worker::Idle;
            next.push(("a worker dies", after));
        }
    }
    next
}

fn work(world: &World, which: usize, placement: MarkerPlacement, rules: &Rules, next: &mut Vec<(&'static str, World)>) {
    let now = world.now();
    let mut after = world.clone();
    match world.workers[which].clone() {
        Worker::Idle => {
            if world.job.due_at.is_some_and(|due| due <= now) {
                after.job.lease.fence += 1;
                after.job.lease.until = Some(at(world.tick + LEASE_TICKS));
                after.job.due_at = after.job.lease.until;
                after.workers[which] = Worker::Claimed { job: Box::new(after.job.clone()), last: world.last() };
                next.push(("a worker claims", after));
            }
        }
        Worker::Claimed { job, last } => {
            after.workers[which] = Worker::Idle;
            match (rules.next_step)(&job, last.as_ref()) {
                Step::Nothing => {}
                Step::Cancel => {
                    let stop = Stop::End(JobState::Canceled, reason::CANCELED_BY_CALLER, String::new());
                    (rules.stopped)(&mut after.job, world.last().as_ref(), job.lease.fence, stop, now);
                }
                Step::Reconcile => reconcile(&mut after, last.as_ref(), rules),
                Step::Launch => {
                    // A check before the launch may also say no.
                    let mut refused = after.clone();
                    let stop = Stop::End(JobState::Error, reason::TEMPLATE_UNSUITABLE, String::new());
                    (rules.stopped)(&mut refused.job, world.last().as_ref(), job.lease.fence, stop, now);
                    next.push(("a check refuses", refused));
                    if job.attempts >= 2 {
                        // More attempts show nothing that two do not: each begins where the one before was settled.
                        return;
                    }
                    let attempt = intent(&job, placement, now);
                    let begun = (rules.begin)(&mut after.job, world.last().as_ref(), &attempt, job.lease.fence);
                    if begun == Beginning::Begun {
                        after.attempts.push(attempt.clone());
                        after.workers[which] = Worker::Begun { attempt };
                    }
                }
            }
            next.push(("a worker takes its step", after));
        }
        Worker::Begun { attempt } => {
            if !(rules.may_send)(&attempt, now) {
                settle(
                    &mut after,
                    attempt.number,
                    Answer::NotLaunched { why: String::new(), then: Stop::Soon(String::new()) },
                    rules,
                );
                after.workers[which] = Worker::Idle;
                next.push(("a worker comes too late to send", after));
                return;
            }
            if world.sends >= 2 {
                return;
            }
            for fate in FATES {
                let mut after = world.clone();
                after.sends += 1;
                let run = i64::from(after.sends);
                match fate {
                    Fate::Answered | Fate::LostAfterCommit => after.runs.push((run, attempt.number, world.tick)),
                    Fate::LostAndLate => after.runs.push((run, attempt.number, world.tick + REQUEST_TICKS)),
                    Fate::Refused | Fate::LostBeforeCommit => {}
                }
                after.workers[which] = Worker::Sent { attempt: attempt.clone(), fate, run };
                next.push(("a launch leaves", after));
            }
        }
        Worker::Sent { attempt, fate, run } => {
            let answer = match fate {
                Fate::Answered => Answer::Launched {
                    run: Run { installation: "awx".into(), kind: "job".into(), id: run },
                    condemned: None,
                },
                Fate::Refused => Answer::NotLaunched {
                    why: String::new(),
                    then: Stop::End(JobState::Error, reason::CONTROLLER_REFUSED, String::new()),
                },
                Fate::LostBeforeCommit | Fate::LostAfterCommit | Fate::LostAndLate => {
                    Answer::Unresolved { why: String::new() }
                }
            };
            settle(&mut after, attempt.number, answer, rules);
            after.workers[which] = Worker::Idle;
            next.push(("an answer is written down", after));
        }
    }
}

fn intent(job: &Job, placement: MarkerPlacement, now: Moment) -> Attempt {
    Attempt {
        job_id: job.id.clone(),
        number: job.attempts + 1,
        installation: "awx".into(),
        controller_template: 9,
        account: 1,
        marker: format!("rw_{}", job.attempts + 1),
        placement: placement.as_str().into(),
        sent_at: now,
        state: AttemptState::Intent,
    }
}

/// As the store does it: the transition sees the last attempt, and only if it is the one that is meant.
fn settle(world: &mut World, number: u32, answer: Answer, rules: &Rules) {
    let now = world.now();
    let Some(last) = world.attempts.last_mut().filter(|last| last.number == number) else { return };
    let mut attempt = last.clone();
    let mut job = world.job.clone();
    match (rules.answered)(&mut job, &mut attempt, answer, now) {
        Written::Nothing => {}
        Written::Quietly => world.job = job,
        Written::Aloud => {
            *last = attempt;
            world.job = job;
        }
    }
}

fn reconcile(world: &mut World, seen: Option<&Attempt>, rules: &Rules) {
    let Some(seen) = seen else { return };
    let now = world.now();
    let found: Vec<Candidate> = world
        .runs
        .iter()
        .filter(|(_, _, visible)| *visible <= world.tick)
        .map(|(run_id, attempt, _)| Candidate {
            run_id: *run_id,
            has_marker: *attempt == seen.number,
            inputs_match: true,
            bound: world.job.run.as_ref().is_some_and(|run| run.id == *run_id),
        })
        .collect();
    let verdict = (rules.judge)(seen, &patience(), now, &found);
    let Some(last) = world.attempts.last_mut().filter(|last| last.number == seen.number) else { return };
    let (mut attempt, mut job) = (last.clone(), world.job.clone());
    match super::judged(&mut job, &mut attempt, verdict, "job", now).expect("a legal transition") {
        Written::Nothing => {}
        Written::Quietly => world.job = job,
        Written::Aloud => {
            *last = attempt;
            world.job = job;
        }
    }
}

/// What must hold in every world, and between a world and what came before it.
fn broken_promise(before: &World, world: &World) -> Option<&'static str> {
    if world.runs.len() > 1 {
        return Some("it was launched twice");
    }
    if before.job.state != world.job.state && !before.job.state.may_become(world.job.state) {
        return Some("a state was taken back");
    }
    if before.job.state.is_end() && before.job != world.job {
        return Some("an end was contradicted");
    }
    let launched = !world.runs.is_empty();
    let over_unlaunched = matches!(world.job.state, JobState::Canceled | JobState::Error);
    if over_unlaunched && launched {
        return Some("a job that was launched is told as never launched");
    }
    if let Some(run) = &world.job.run
        && !world.runs.iter().any(|(id, _, _)| *id == run.id)
    {
        return Some("a job is bound to a run that does not exist");
    }
    let waits = matches!(world.job.state, JobState::New | JobState::Launching);
    if waits && world.job.due_at.is_none() {
        return Some("a job is lost: nobody will ever look at it again");
    }
    if world.job.state == JobState::Unknown {
        return Some("a job is a person's to decide although a machine could know");
    }
    let open = world.attempts.iter().filter(|attempt| attempt.is_open()).count();
    if open > 1 {
        return Some("two attempts are open at once");
    }
    None
}

/// Visits every world. The first broken promise, with how it came about.
fn explore(marked: bool, rules: &Rules) -> Result<usize, String> {
    let (start, placement) = World::new(marked);
    let mut seen = HashSet::from([start.key()]);
    // Each visited world, what led to it, and from which one.
    let mut visited = vec![(start, "the job is accepted", 0)];
    let mut next = 0;
    while next < visited.len() {
        let world = visited[next].0.clone();
        for (what, after) in successors(&world, placement, rules) {
            if let Some(promise) = broken_promise(&world, &after) {
                return Err(format!("{promise}: {}", told(&visited, next, what)));
            }
            if seen.insert(after.key()) {
                visited.push((after, what, next));
            }
        }
        next += 1;
    }
    Ok(visited.len())
}

fn told(visited: &[(World, &'static str, usize)], mut at: usize, last: &str) -> String {
    let mut way = vec![last.to_owned()];
    while at != 0 {
        way.push(visited[at].1.to_owned());
        at = visited[at].2;
    }
    way.reverse();
    way.join(", ")
}

#[test]
fn no_interleaving_launches_twice_loses_a_job_or_contradicts_an_end() {
    for marked in [true, false] {
        match explore(marked, &REAL) {
            Ok(worlds) => assert!(worlds > 5_000, "only {worlds} worlds were visited"),
            Err(how) => panic!("marked: {marked}: {how}"),
        }
    }
}

/// How a mutant breaks a promise about launches.
fn caught(mutant: &Rules) -> String {
    [true, false].into_iter().find_map(|marked| explore(marked, mutant).err()).expect("the mutant was not caught")
}

fn is_caught(mutant: &Rules) {
    let how = caught(mutant);
    let about = [
        "it was launched twice",
        "a job that was launched is told as never launched",
        "two attempts are open at once",
        "a job is a person's to decide",
    ];
    assert!(about.iter().any(|promise| how.starts_with(promise)), "{how}");
}

#[test]
fn a_mutant_that_does_not_wait_out_late_commits_is_caught() {
    let impatient: fn(&Attempt, &Patience, Moment, &[Candidate]) -> Verdict =
        |attempt, patience, now, found| match judge(attempt, patience, now, found) {
            Verdict::Wait(_) if found.is_empty() => Verdict::Absent,
            verdict => verdict,
        };
    is_caught(&Rules { judge: impatient, ..REAL });
}

#[test]
fn a_mutant_that_launches_again_after_a_crash_is_caught() {
    let forgetful: fn(&Job, Option<&Attempt>) -> Step = |job, last| match super::next_step(job, last) {
        Step::Reconcile => Step::Launch,
        step => step,
    };
    let careless: fn(&mut Job, Option<&Attempt>, &Attempt, u64) -> Beginning =
        |job, _, attempt, fence| super::begin(job, None, attempt, fence, &Around::default()).expect("legal");
    is_caught(&Rules { next_step: forgetful, begin: careless, ..REAL });
}

#[test]
fn a_mutant_that_lets_a_paused_worker_send_late_is_caught() {
    is_caught(&Rules { may_send: |_, _| true, ..REAL });
}

#[test]
fn a_mutant_that_ignores_the_fence_and_open_attempts_is_caught() {
    let unfenced: fn(&mut Job, Option<&Attempt>, &Attempt, u64) -> Beginning = |job, _, attempt, _| {
        let fence = job.lease.fence;
        let attempt = Attempt { number: job.attempts + 1, ..attempt.clone() };
        super::begin(job, None, &attempt, fence, &Around::default()).expect("legal")
    };
    is_caught(&Rules { begin: unfenced, ..REAL });
}

#[test]
fn a_mutant_that_takes_a_lost_answer_for_a_no_is_caught() {
    let hasty: fn(&mut Job, &mut Attempt, Answer, Moment) -> Written = |job, attempt, answer, now| {
        let answer = match answer {
            Answer::Unresolved { why } => Answer::NotLaunched { why, then: Stop::Soon(String::new()) },
            answer => answer,
        };
        super::answered(job, attempt, answer, now).expect("legal")
    };
    is_caught(&Rules { answered: hasty, ..REAL });
}

#[test]
fn a_mutant_that_ends_a_job_while_a_launch_is_out_is_caught() {
    let rash: fn(&mut Job, Option<&Attempt>, u64, Stop, Moment) -> Written =
        |job, _, _, stop, now| super::stopped(job, None, job.lease.fence, stop, now).expect("legal");
    is_caught(&Rules { stopped: rash, ..REAL });
}

#[test]
fn sending_is_bounded_by_what_patience_counts_on() {
    assert!(
        SEND_WITHIN + patience().controller_request
            < patience().over_at(&intent(&example(), MarkerPlacement::None, at(0))).since(at(0))
    );
}
