//! The contents of a world, and what distinguishes it from others.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;
use std::time::Duration;

use runwarden_kit::clock::Moment;

use crate::job::{Attempt, AttemptState};
use crate::launch::judging::Facts;
use crate::launch::patience::Patience;
use runwarden_awx::{Installation, MarkerPlacement, Target};
use uuid::Uuid;

use crate::job::Stray;
use crate::job::tests::example;
use crate::job::{AT_ONCE, Bound, Job, Run};

pub(super) const TICK: u64 = 25;
/// The controller's longest request, in ticks.
pub(super) const REQUEST_TICKS: u8 = 5;
/// When patience is over, in ticks, and clocks that differ, and one more.
const LONG_AGO: u64 = 14;

/// How a controller stops being the one it was, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Its database is put back to an old backup: it forgets all runs, and their ids come again.
    Restored,
    /// It is set up again at the same address, so it is also another installation.
    SetUpAnew,
    /// Its name is pointed to another installation, and the first one keeps running.
    Moved,
}

/// What may happen in a world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// How many jobs of one template there are.
    pub(super) jobs: usize,
    /// Whether the template has room for a marker.
    pub(super) marked: bool,
    /// How far each worker's clock is ahead, in ticks.
    pub(super) clocks: [u8; 2],
    /// The tick by which jobs must start.
    pub(super) start_by: Option<u8>,
    /// How often workers die.
    pub(super) crashes: u8,
    /// How often a live worker is presumed dead.
    pub(super) losses: u8,
    /// How many attempts a job has at most.
    pub(super) attempts: u32,
    /// How many launches of each job reach the controller.
    pub(super) sends: u8,
    /// Whether the same is launched by hand, once.
    pub(super) by_hand: bool,
    /// Whether the controller may launch without the marker.
    pub(super) drops_marker: bool,
    /// Whether the caller may cancel.
    pub(super) cancels: bool,
    /// How often the right to see the template's runs is taken away or given back.
    pub(super) hides: u8,
    /// Whether a proxy may answer a launch in the controller's place.
    pub(super) in_front: bool,
    /// Whether what allowed the jobs may be taken away, once.
    pub(super) revokes: bool,
    /// What happens to the controller.
    pub(super) again: Option<Again>,
    /// How many runs of other people take ids after that.
    pub(super) others: u8,
    /// Whether each job reaches the controller by another address.
    pub(super) mapped_twice: bool,
    /// Whether time may pass between what a search shows and what is concluded from it.
    pub(super) slow_looks: bool,
    /// Whether a person may decide over a launch that was not found out about in time.
    pub(super) overdue: bool,
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
            again: None,
            others: 0,
            mapped_twice: false,
            slow_looks: false,
            overdue: false,
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
    /// A proxy redirects it to a page, and passes nothing on.
    TurnedAway,
    /// A proxy sends a page in place of an answer that came too late.
    CoveredUp,
    /// A proxy finds it too large.
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

/// A worker's position. What it has in memory is lost when it dies.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worker {
    Idle,
    /// Has claimed a job and read it and its last attempt.
    Claimed {
        which: usize,
        job: Box<Job>,
        last: Option<Attempt>,
    },
    /// Has searched for a lost launch, and has not concluded anything yet.
    Looked {
        which: usize,
        fence: i64,
        look: Box<Look>,
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
        /// What it becomes, if it becomes anything.
        launch: Option<Launch>,
    },
}

/// A look for a lost launch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) attempt: Attempt,
    /// When it began, by the worker's clock and by the controller's.
    pub(super) began: [Moment; 2],
    /// What the search showed.
    pub(super) shown: Vec<Launch>,
    pub(super) facts: Facts,
}

/// A run on the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Launch {
    pub(super) run: i64,
    /// A number that no other launch has, as the moment at which it was made: ids come again.
    pub(super) made: u8,
    /// On which installation it is.
    pub(super) on: u8,
    /// The job it belongs to; none for a launch by hand.
    pub(super) job: Option<usize>,
    /// Whether it is other people's, with an account of their own.
    pub(super) others: bool,
    pub(super) attempt: u32,
    /// Whether it carries its marker.
    pub(super) marked: bool,
    /// From which tick on it can be seen.
    pub(super) visible: u8,
    /// Whether the controller has forgotten it.
    pub(super) gone: bool,
    /// Whether it was found as a stray run.
    pub(super) stray: bool,
    /// Whether it has ended.
    pub(super) over: bool,
}

/// The installation, by how often it was set up, as a job reaches it.
pub(super) fn installation(uuid: u8, address: usize) -> Installation {
    // Made once: worlds ask for them at every step.
    static ALL: LazyLock<[[Installation; 2]; 2]> = LazyLock::new(|| {
        let target =
            |address| Target { url: format!("https://awx{address}"), api_root: String::new(), ca_pem: String::new() };
        [1, 2].map(|uuid| [0, 1].map(|address| Installation::new(Some(Uuid::from_u128(uuid)), &target(address))))
    });
    ALL[usize::from(uuid)][address].clone()
}

impl Launch {
    /// As a search shows it.
    pub(super) fn as_run(&self, installation: &Installation) -> Run {
        let created = Some(Moment::from_micros(i64::from(self.made)));
        Run { installation: installation.clone(), kind: "job".into(), id: self.run, template: Some(9), created }
    }

    /// Whether it is the run of this identity.
    pub(super) fn is_run(&self, run: &Run) -> bool {
        run.created == Some(Moment::from_micros(i64::from(self.made)))
    }
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
    /// Stray runs that are stored until they have stopped.
    pub(super) kept: Vec<Stray>,
    /// The last id that the controller gave.
    pub(super) last_id: i64,
    /// How many runs there ever were.
    pub(super) made: u8,
    /// How often it was set up.
    pub(super) uuid: u8,
    /// Whether it became another, or forgot.
    pub(super) again: bool,
    /// How many runs of other people there are.
    pub(super) others: u8,
    /// Whether a foreign run was changed, or taken for a job's.
    pub(super) trespassed: bool,
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
            kept: Vec::new(),
            // Long ago there was a job, whose run had the first id.
            last_id: 1,
            made: 1,
            uuid: 0,
            again: false,
            others: 0,
            trespassed: false,
        }
    }

    /// Whether our account may not see any run.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidings % 2 == 1
    }

    /// What the store has of runs that are bound: those of other jobs than this one, and that of the job of long ago.
    pub(super) fn bound(&self, other_than: usize) -> Vec<Bound> {
        let others = self.jobs.iter().enumerate().filter(|(which, _)| *which != other_than);
        let mut bound: Vec<Bound> =
            others.filter_map(|(_, job)| Some(Bound { run: job.run.clone()?, at: job.launched_at })).collect();
        bound.push(Bound { run: self.of_long_ago(), at: Some(at(0)) });
        bound
    }

    /// The run of the job of long ago.
    pub(super) fn of_long_ago(&self) -> Run {
        let created = Some(Moment::from_micros(1));
        Run { installation: installation(0, 0), kind: "job".into(), id: 1, template: Some(9), created }
    }

    /// The run that the controller has under an id now.
    pub(super) fn shown(&self, id: i64) -> Option<&Launch> {
        let is_shown = |launch: &&Launch| launch.run == id && launch.on == self.uuid && !launch.gone;
        self.launches.iter().find(|launch| is_shown(launch) && launch.visible <= self.tick)
    }

    /// Puts a new run on the controller's books; answers it as an answer would name it.
    pub(super) fn launch(&mut self, job: Option<usize>, attempt: u32, marked: bool, visible: u8) -> Launch {
        self.last_id += 1;
        self.made += 1;
        let (run, made) = (self.last_id, self.made);
        let (on, gone) = (self.uuid, false);
        Launch { run, made, on, job, others: false, attempt, marked, visible, gone, stray: false, over: false }
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

    /// What distinguishes this world from others: everything that a transition reads. Texts for people, and fences
    /// beyond being current or not, do not.
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
            // When a settled one was sent no longer matters.
            let sent = || (ago(a.sent_at), a.controller_time.map(ago), a.installation.key());
            (a.number, a.is_open().then(sent), state, a.named)
        };
        let launches: Vec<_> = self
            .launches
            .iter()
            .map(|l| {
                let seen = (l.run, l.made, l.job, l.others, l.attempt, l.marked, l.visible.saturating_sub(self.tick));
                (seen, l.on, l.gone, l.stray, l.over)
            })
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
            Worker::Looked { which, fence, look } => (
                2,
                *which,
                look.attempt.number,
                *fence == self.jobs[*which].lease.fence,
                look.shown.iter().fold(1, |all, launch| all * 31 + i64::from(launch.made)),
                Some(attempt(&look.attempt)),
                look.facts.blind.is_some(),
                None,
            ),
            Worker::Begun { which, attempt: a, fence } => {
                (3, *which, a.number, *fence == self.jobs[*which].lease.fence, 0, Some(attempt(a)), false, None)
            }
            Worker::Sent { which, attempt: a, fence, fate, launch } => (
                4 + *fate as u8,
                *which,
                a.number,
                *fence == self.jobs[*which].lease.fence,
                launch.map_or(0, |launch| i64::from(launch.made)),
                Some(attempt(a)),
                false,
                None,
            ),
        };
        let mut hasher = DefaultHasher::new();
        for (job, attempts) in self.jobs.iter().zip(&self.attempts) {
            (job.state, due(job.due_at), job.cancel_requested, job.attempts, &job.lease.holder).hash(&mut hasher);
            (job.run.as_ref().map(|run| (run.id, run.created)), due(job.start_by)).hash(&mut hasher);
            attempts.iter().map(attempt).collect::<Vec<_>>().hash(&mut hasher);
        }
        (self.crashes, self.losses, self.by_hand, self.strays, launches).hash(&mut hasher);
        (self.hidings, self.refused, self.revoked).hash(&mut hasher);
        let kept: Vec<_> = self.kept.iter().map(|stray| (stray.run.created, stray.looks.min(6))).collect();
        (kept, self.last_id, self.made, self.uuid, self.again, self.others, self.trespassed).hash(&mut hasher);
        (worker(&self.workers[0]), worker(&self.workers[1])).hash(&mut hasher);
        // How long a look has taken so far; no longer than everything that could come meanwhile.
        let began = |worker: &Worker| match worker {
            Worker::Looked { look, .. } => Some(ago(look.began[1])),
            Worker::Idle | Worker::Claimed { .. } | Worker::Begun { .. } | Worker::Sent { .. } => None,
        };
        (began(&self.workers[0]), began(&self.workers[1])).hash(&mut hasher);
        hasher.finish()
    }
}
