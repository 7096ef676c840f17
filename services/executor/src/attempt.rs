//! One try at launching a job, and what may be concluded about it when its answer was lost.
//!
//! The rules come from how the controller behaves: its launch call is not idempotent, goes on after its client has
//! gone, and may commit later with a time in the past. So "not found" proves nothing until the longest request it
//! would still work on has passed.

use std::time::Duration;

use runwarden_awx::{Installation, MarkerPlacement};
use runwarden_kit::clock::Moment;
use serde::{Deserialize, Serialize};

use crate::protocol::DELIVERED_WITHIN;

mod judging;

pub use judging::{Candidate, Facts, Inputs, Marked, Verdict, conclude};

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AttemptState {
    /// Durable before the request leaves; found after a crash it means the same as [`AttemptState::Unresolved`].
    Intent,
    /// It became this run.
    Bound {
        /// The run's id.
        run_id: i64,
    },
    /// Certainly nothing was launched.
    NotLaunched {
        /// Why not.
        why: String,
    },
    /// It may or may not have been launched, now or in a while.
    Unresolved {
        /// What happened.
        why: String,
    },
    /// No machine can know what became of it: a person must tell.
    Ambiguous {
        /// The ids of the runs that may be it.
        candidates: Vec<i64>,
    },
    /// A person gave up on finding out what became of it.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// One try at launching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job_id: String,
    /// Its number, from 1.
    pub number: u32,
    /// The installation it went to.
    pub installation: Installation,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// Our account there.
    pub account: i64,
    /// What marks the run, where a place for it was found.
    pub marker: String,
    /// Where the marker was put: see [`MarkerPlacement::as_str`].
    pub placement: String,
    /// When the intent was written, just before the request left; by the clock of the executor that wrote it.
    pub sent_at: Moment,
    /// What the controller's clock showed just before that, if it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_time: Option<Moment>,
    /// The run that the head of an answer named whose body never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<i64>,
    /// Whether the controller let the marker through, where its answer told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_took: Option<bool>,
    /// What is known of it.
    pub state: AttemptState,
}

impl Attempt {
    /// Whether it is not known yet what became of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            AttemptState::Intent | AttemptState::Unresolved { .. } | AttemptState::Ambiguous { .. } => true,
            AttemptState::Bound { .. } | AttemptState::NotLaunched { .. } | AttemptState::GivenUp { .. } => false,
        }
    }

    /// Where the marker was put.
    #[must_use]
    pub fn placement(&self) -> MarkerPlacement {
        MarkerPlacement::parse(&self.placement).unwrap_or(MarkerPlacement::None)
    }

    /// Whether the run it may have become can be told from others by a marker.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.placement() != MarkerPlacement::None
    }
}

/// How long to wait before the absence of a run proves anything.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The longest a controller works on a request (nginx cuts after 120 s by default).
    pub controller_request: Duration,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// How long to wait beyond that for what may only be hidden from our account.
    pub hidden: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            controller_request: Duration::from_secs(120),
            clock_skew: Duration::from_secs(90),
            hidden: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// From when on absence is proof, by the clock of any executor.
    #[must_use]
    pub fn over_at(&self, attempt: &Attempt) -> Moment {
        attempt.sent_at.plus(DELIVERED_WITHIN).plus(self.controller_request).plus(self.clock_skew)
    }

    /// How much time must have passed since a launch left by a clock that nobody sets, beside what the wall clocks say:
    /// the time in which it can still commit.
    #[must_use]
    pub fn at_least(&self) -> Duration {
        DELIVERED_WITHIN + self.controller_request
    }

    /// Until when to wait for a right that our account lacks, before a person is asked.
    #[must_use]
    pub fn given_up_at(&self, attempt: &Attempt) -> Moment {
        self.over_at(attempt).plus(self.hidden)
    }

    /// The earliest time a run of this attempt can carry. What the controller's clock showed counts where it told:
    /// it may be further from ours than clocks should be.
    #[must_use]
    pub fn earliest(&self, attempt: &Attempt) -> Moment {
        attempt.controller_time.map_or(attempt.sent_at, |time| time.min(attempt.sent_at)).minus(self.clock_skew)
    }

    /// The latest time a run of this attempt can carry.
    #[must_use]
    pub fn latest(&self, attempt: &Attempt) -> Moment {
        let sent = attempt.controller_time.map_or(attempt.sent_at, |time| time.max(attempt.sent_at));
        sent.plus(DELIVERED_WITHIN).plus(self.controller_request).plus(self.clock_skew)
    }

    /// Whether a run that carries this time can be an attempt's. The attempt's own marker says more than any clock.
    #[must_use]
    pub fn may_be(&self, attempt: &Attempt, marked: Marked, created: Option<Moment>) -> bool {
        marked == Marked::Mine
            || created.is_none_or(|created| self.earliest(attempt) <= created && created <= self.latest(attempt))
    }
}

#[cfg(test)]
pub(crate) mod tests;
