//! One try at launching a job, and what may be concluded about it when its answer was lost.
//!
//! The rules come from how the controller behaves: its launch call is not idempotent, goes on after its client has
//! gone, and may commit later with a time in the past. So "not found" proves nothing until the longest request it
//! would still work on has passed.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use serde::{Deserialize, Serialize};

use crate::awx::{Installation, MarkerPlacement};
use crate::protocol::DELIVERED_WITHIN;

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
}

/// Whose marker a run carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The attempt's.
    Mine,
    /// That of another attempt: it is certainly not this one's.
    Other,
    /// None.
    No,
}

/// How a run's inputs compare with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Nothing that can be compared differs.
    Match,
    /// Something differs.
    Differ,
    /// What was sent is not known any more.
    Unknown,
}

/// A run that may be an attempt's, as far as judging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub run_id: i64,
    /// Whose marker it carries.
    pub marked: Marked,
    /// Whether its inputs are the attempt's.
    pub inputs: Inputs,
    /// Whether another job has it already: the very run, not one that had its id before.
    pub bound: bool,
}

/// What a search says about an open attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It became this run.
    Adopt(i64),
    /// Nothing can be said before this moment.
    Wait(Moment),
    /// Nothing can be said while our account may not see what there is. It is looked at again until this moment.
    Blind(Moment, String),
    /// It did not happen.
    Absent,
    /// It may be any of these, or none.
    Ambiguous(Vec<i64>),
    /// Nobody can be asked about it any more.
    Untraceable(String),
}

/// Judges an open attempt by what a search found. Pure: the same facts always give the same verdict.
///
/// A run that is free and carries nobody's marker is doubtful: it may be this attempt's even if it lacks the marker or
/// an input, for the template may have been changed between the look at it and the launch. Absence is proven only when
/// there is none of these either, and no run that is surely this attempt's and that another job has.
#[must_use]
pub fn judge(attempt: &Attempt, patience: &Patience, now: Moment, found: &[Candidate]) -> Verdict {
    let ids = |fits: &dyn Fn(&Candidate) -> bool| -> Vec<i64> {
        found.iter().filter(|c| !c.bound && fits(c)).map(|c| c.run_id).collect()
    };
    // The controller itself said that it became this one. It may have been restored since, and given the id again.
    if let Some(named) = attempt.named
        && !ids(&|c| c.run_id == named && c.marked != Marked::Other).is_empty()
    {
        return Verdict::Adopt(named);
    }
    let mine = if attempt.is_marked() {
        ids(&|c| c.marked == Marked::Mine)
    } else {
        ids(&|c| c.marked == Marked::No && c.inputs == Inputs::Match)
    };
    // It happened, and somebody gave its run to another job: nothing that comes later can change that.
    let taken = |c: &&Candidate| c.bound && c.marked == Marked::Mine;
    if mine.is_empty()
        && let Some(taken) = found.iter().find(taken)
    {
        return Verdict::Ambiguous(vec![taken.run_id]);
    }
    // A marker is ours alone. Without one, what looks like ours may be somebody else's, and ours may still commit:
    // wait until all that can come has come.
    let over = now >= patience.over_at(attempt);
    match mine.as_slice() {
        [run] if attempt.is_marked() || over => Verdict::Adopt(*run),
        _ if !over => Verdict::Wait(patience.over_at(attempt)),
        [] => {
            let mut doubtful = ids(&|c| c.marked == Marked::No);
            doubtful.extend(attempt.named);
            if doubtful.is_empty() { Verdict::Absent } else { Verdict::Ambiguous(doubtful) }
        }
        _ => Verdict::Ambiguous(mine),
    }
}

/// Whether our account can be counted on to see the runs of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is the account that launched, and may read the template now.
    Clear,
    /// It may not see all there is: lists leave out what their reader may not see, and answer as if it were not there.
    Blind(String),
}

/// What a verdict is worth in this sight. That nothing was found is no proof where something may be hidden: it is
/// waited for, and then a person must tell.
#[must_use]
pub fn in_sight(verdict: Verdict, sight: Sight, attempt: &Attempt, patience: &Patience, now: Moment) -> Verdict {
    match (verdict, sight) {
        (Verdict::Absent, Sight::Blind(why)) => match patience.given_up_at(attempt) {
            until if now < until => Verdict::Blind(until, why),
            _ => Verdict::Untraceable(format!(
                "The controller's answer was lost, and that no run of it is found proves nothing: {why}."
            )),
        },
        (verdict, _) => verdict,
    }
}

/// What a verdict is worth where the controller itself is in doubt, such as one that lacks what it had before the
/// attempt: that it has no run of it does not say that nothing happened.
#[must_use]
pub fn doubted(verdict: Verdict, doubt: Option<String>) -> Verdict {
    match (verdict, doubt) {
        (Verdict::Absent, Some(why)) => Verdict::Untraceable(why),
        (verdict, _) => verdict,
    }
}

#[cfg(test)]
mod tests;
