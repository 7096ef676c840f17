//! What there is in a world, and what tells it from others.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use runwarden_kit::clock::Moment;

use crate::attempt::{Attempt, AttemptState, Patience};
use crate::awx::MarkerPlacement;
use crate::job::tests::example;
use crate::job::{AT_ONCE, Job};

pub(super) const TICK: u64 = 25;
/// The controller's longest request, in ticks.
pub(super) const REQUEST_TICKS: u8 = 5;
/// When patience is over, in ticks, and clocks that differ, and one more.
const LONG_AGO: u64 = 14;

/// What may happen in a world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// How many jobs of one template there are.
    pub(super) jobs: usize,
    /// Whether the template has room for a marker.
    pub(super) marked: bool,
    /// How far each worker's clock is ahead, in ticks.
    pub(super) clocks: [u8; 2],
    /// By which tick jobs must be begun.
    pub(super) start_by: Option<u8>,
    /// How often workers die.
    pub(super) crashes: u8,
    /// How often a worker that lives is taken for gone.
    pub(super) losses: u8,
    /// How many attempts a job has at most.
    pub(super) attempts: u32,
    /// How many launches of each job reach the controller.
    pub(super) sends: u8,
    /// Whether somebody launches the same by hand, once.
    pub(super) by_hand: bool,
    /// Whether the controller may launch without the marker.
    pub(super) drops_marker: bool,
    /// Whether the caller may cancel.
    pub(super) cancels: bool,
    /// How often the right to see the template's runs is taken away or given back.
    pub(super) hides: u8,
    /// Whether somebody in front of the controller may answer a launch in its place.
    pub(super) in_front: bool,
    /// Whether what allowed the jobs may be taken away, once.
    pub(super) revokes: bool,
}

impl Setting {
    pub(super) fn marked() -> Self {
        Self {
            jobs: 1,
            marked: true,
            clocks: [0, 0],
            start_by: None,
            crashes: 2,
            losses: 1,
            attempts: 2,
            sends: 2,
            by_hand: false,
            drops_marker: false,
            cancels: true,
            hides: 0,
            in_front: false,
            revokes: false,
        }
    }

    pub(super) fn unmarked() -> Self {
        Self { marked: false, ..Self::marked() }
    }

    pub(super) fn placement(&self) -> MarkerPlacement {
        if self.marked { MarkerPlacement::ExtraVar } else { MarkerPlacement::None }
    }
}

/// What the controller does with a launch that reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Answered,
    Refused,
    LostBeforeCommit,
    LostAfterCommit,
    LostAndLate,
    /// The answer's head named the run; its body never came.
    Named,
    /// It runs without its marker, and the answer is lost.
    MarkerDropped,
    /// Somebody in front redirects it to a page, and passes nothing on.
    TurnedAway,
    /// Somebody in front puts a page in the place of an answer that came too late.
    CoveredUp,
    /// Somebody in front finds it too large.
    TooLarge,
}

impl Fate {
    /// The status of an answer that is not a success, and whether it is AWX's own.
    pub(super) fn answer(self) -> Option<(u16, bool)> {
        match self {
            Self::Refused => Some((403, true)),
            Self::TurnedAway => Some((302, false)),
            Self::CoveredUp => Some((404, false)),
            Self::TooLarge => Some((413, false)),
            Self::Answered
            | Self::LostBeforeCommit
            | Self::LostAfterCommit
            | Self::LostAndLate
            | Self::Named
            | Self::MarkerDropped => None,
        }
    }
}

/// Where a worker is. What it holds in memory is gone when it dies.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worker {
    Idle,
    /// Has claimed a job and read it and its last attempt.
    Claimed {
        which: usize,
        job: Box<Job>,
        last: Option<Attempt>,
    },
    /// The intent is durable; the launch has not left yet.
    Begun {
        which: usize,
        attempt: Attempt,
        fence: i64,
    },
    /// The launch has left.
    Sent {
        which: usize,
        attempt: Attempt,
        fence: i64,
        fate: Fate,
        run: i64,
    },
}

/// A run on the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Launch {
    pub(super) run: i64,
    /// Whose it is; none for one by hand.
    pub(super) job: Option<usize>,
    pub(super) attempt: u32,
    /// Whether it carries its marker.
    pub(super) marked: bool,
    /// From which tick on it can be seen.
    pub(super) visible: u8,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tick: u8,
    pub(super) jobs: Vec<Job>,
    pub(super) attempts: Vec<Vec<Attempt>>,
    pub(super) workers: [Worker; 2],
    pub(super) launches: Vec<Launch>,
    pub(super) crashes: u8,
    pub(super) losses: u8,
    pub(super) by_hand: bool,
    pub(super) strays: u8,
    /// How often the right to see runs was taken away or given back: it is away after an odd number.
    pub(super) hidings: u8,
    /// Whether the controller itself refused a launch.
    pub(super) refused: bool,
    /// Whether what allowed the jobs was taken away.
    pub(super) revoked: bool,
}

pub(super) fn at(tick: u8) -> Moment {
    Moment::from_micros(1_000_000_000).plus(Duration::from_secs(u64::from(tick) * TICK))
}

pub(super) fn patience() -> Patience {
    Patience {
        controller_request: Duration::from_secs(u64::from(REQUEST_TICKS) * TICK),
        clock_skew: Duration::from_secs(90),
        hidden: Duration::from_secs(TICK),
    }
}

impl World {
    pub(super) fn new(setting: &Setting) -> Self {
        let job = |n: usize| Job {
            id: format!("job_{n}"),
            due_at: Some(AT_ONCE),
            start_by: setting.start_by.map(at),
            ..example()
        };
        Self {
            tick: 0,
            jobs: (0..setting.jobs).map(job).collect(),
            attempts: vec![Vec::new(); setting.jobs],
            workers: [Worker::Idle, Worker::Idle],
            launches: Vec::new(),
            crashes: 0,
            losses: 0,
            by_hand: false,
            strays: 0,
            hidings: 0,
            refused: false,
            revoked: false,
        }
    }

    /// Whether our account may not see any run.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidings % 2 == 1
    }

    pub(super) fn now(&self) -> Moment {
        at(self.tick)
    }

    /// What a worker's clock shows.
    pub(super) fn now_of(&self, setting: &Setting, worker: usize) -> Moment {
        at(self.tick + setting.clocks[worker])
    }

    pub(super) fn last(&self, job: usize) -> Option<Attempt> {
        self.attempts[job].last().cloned()
    }

    /// How often a job was launched.
    pub(super) fn launched(&self, job: usize) -> usize {
        self.launches.iter().filter(|launch| launch.job == Some(job)).count()
    }

    /// What tells this world from others: everything that a transition looks at. Texts for people, and fences beyond
    /// being current or not, do not.
    pub(super) fn key(&self) -> u64 {
        // Times are told from now on, and what is long past is past: then worlds that differ only in when they are
        // come together, and all of time is visited.
        let due =
            |moment: Option<Moment>| moment.map(|m| m.since(self.now()).as_millis().div_ceil(u128::from(TICK) * 1000));
        let ago = |moment: Moment| {
            let past = (self.now().since(moment).as_secs() / TICK).min(LONG_AGO);
            (past, moment.since(self.now()).as_secs() / TICK)
        };
        let attempt = |a: &Attempt| {
            let state = match a.state {
                AttemptState::Intent => 0,
                AttemptState::Bound { .. } => 1,
                AttemptState::NotLaunched { .. } => 2,
                AttemptState::Unresolved { .. } => 3,
                AttemptState::Ambiguous { .. } => 4,
                AttemptState::GivenUp { .. } => 5,
            };
            // When a settled one was sent concerns nobody any more.
            (a.number, a.is_open().then(|| ago(a.sent_at)), state, a.named)
        };
        let launches: Vec<_> = self
            .launches
            .iter()
            .map(|l| (l.run, l.job, l.attempt, l.marked, l.visible.saturating_sub(self.tick)))
            .collect();
        let worker = |worker: &Worker| match worker {
            Worker::Idle => (0, 0, 0, false, 0, None, false, None),
            Worker::Claimed { which, job, last } => (
                1,
                *which,
                job.attempts,
                job.lease.fence == self.jobs[*which].lease.fence,
                0,
                last.as_ref().map(attempt),
                job.cancel_requested,
                Some(job.state),
            ),
            Worker::Begun { which, attempt: a, fence } => {
                (2, *which, a.number, *fence == self.jobs[*which].lease.fence, 0, Some(attempt(a)), false, None)
            }
            Worker::Sent { which, attempt: a, fence, fate, run } => (
                3 + *fate as u8,
                *which,
                a.number,
                *fence == self.jobs[*which].lease.fence,
                *run,
                Some(attempt(a)),
                false,
                None,
            ),
        };
        let mut hasher = DefaultHasher::new();
        for (job, attempts) in self.jobs.iter().zip(&self.attempts) {
            (job.state, due(job.due_at), job.cancel_requested, job.attempts, &job.lease.holder).hash(&mut hasher);
            (job.run.as_ref().map(|run| run.id), due(job.start_by)).hash(&mut hasher);
            attempts.iter().map(attempt).collect::<Vec<_>>().hash(&mut hasher);
        }
        (self.crashes, self.losses, self.by_hand, self.strays, launches).hash(&mut hasher);
        (self.hidings, self.refused, self.revoked).hash(&mut hasher);
        (worker(&self.workers[0]), worker(&self.workers[1])).hash(&mut hasher);
        hasher.finish()
    }
}
