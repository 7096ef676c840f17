//! One try at launching a job, and what may be concluded about it when its answer was lost.
//!
//! The rules come from how the controller behaves: its launch call is not idempotent, goes on after its client has
//! gone, and may commit later with a time in the past. So "not found" proves nothing until the longest request it
//! would still work on has passed.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use serde::{Deserialize, Serialize};

use crate::awx::MarkerPlacement;
use crate::protocol::SEND_WITHIN;

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
    /// More than one run may be it: a person must tell.
    Ambiguous {
        /// The runs' ids.
        candidates: Vec<i64>,
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
    pub installation: String,
    /// The id of the controller's template.
    pub controller_template: i64,
    /// Our account there.
    pub account: i64,
    /// What marks the run, where a place for it was found.
    pub marker: String,
    /// Where the marker was put: see [`MarkerPlacement::as_str`].
    pub placement: String,
    /// When the intent was written, just before the request left.
    pub sent_at: Moment,
    /// What is known of it.
    pub state: AttemptState,
}

impl Attempt {
    /// Whether it is not known yet what became of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            AttemptState::Intent | AttemptState::Unresolved { .. } | AttemptState::Ambiguous { .. } => true,
            AttemptState::Bound { .. } | AttemptState::NotLaunched { .. } => false,
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
}

impl Default for Patience {
    fn default() -> Self {
        Self { controller_request: Duration::from_secs(120), clock_skew: Duration::from_secs(90) }
    }
}

impl Patience {
    /// From when on absence is proof.
    #[must_use]
    pub fn over_at(&self, attempt: &Attempt) -> Moment {
        attempt.sent_at.plus(SEND_WITHIN).plus(self.controller_request).plus(self.clock_skew)
    }

    /// The earliest time a run of this attempt can carry.
    #[must_use]
    pub fn earliest(&self, attempt: &Attempt) -> Moment {
        attempt.sent_at.minus(self.clock_skew)
    }
}

/// A run that may be an attempt's, as far as judging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub run_id: i64,
    /// Whether it carries the attempt's marker.
    pub has_marker: bool,
    /// Whether its inputs are the attempt's.
    pub inputs_match: bool,
    /// Whether it is bound to another job already.
    pub bound: bool,
}

/// What a search says about an open attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It became this run.
    Adopt(i64),
    /// Nothing can be said before this moment.
    Wait(Moment),
    /// It did not happen.
    Absent,
    /// It may be any of these.
    Ambiguous(Vec<i64>),
}

/// Judges an open attempt by what a search found. Pure: the same facts always give the same verdict.
#[must_use]
pub fn judge(attempt: &Attempt, patience: &Patience, now: Moment, found: &[Candidate]) -> Verdict {
    let free = found.iter().filter(|c| !c.bound);
    let mine: Vec<i64> = if attempt.is_marked() {
        free.filter(|c| c.has_marker).map(|c| c.run_id).collect()
    } else {
        free.filter(|c| c.inputs_match).map(|c| c.run_id).collect()
    };
    let over = now >= patience.over_at(attempt);
    match mine.as_slice() {
        // A marker is ours alone. Without one, what looks like ours may be somebody else's, and ours may still
        // commit: wait until all that can come has come.
        [run] if attempt.is_marked() || over => Verdict::Adopt(*run),
        [] if over => Verdict::Absent,
        [] | [_] => Verdict::Wait(patience.over_at(attempt)),
        _ if over => Verdict::Ambiguous(mine),
        _ => Verdict::Wait(patience.over_at(attempt)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempt(marked: bool) -> Attempt {
        Attempt {
            job_id: "job_1".into(),
            number: 1,
            installation: "https://awx".into(),
            controller_template: 9,
            account: 1,
            marker: "rw_1".into(),
            placement: if marked { MarkerPlacement::ExtraVar } else { MarkerPlacement::None }.as_str().into(),
            sent_at: Moment::from_micros(1_000_000_000),
            state: AttemptState::Unresolved { why: "no answer".into() },
        }
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..5).prop_map(|flags| {
            (1..)
                .zip(flags)
                .map(|(run_id, (has_marker, inputs_match, bound))| Candidate {
                    run_id,
                    has_marker,
                    inputs_match,
                    bound,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn absence_is_never_concluded_before_the_longest_request_has_passed(
            marked: bool, found in candidates(), elapsed in 0u64..400,
        ) {
            let (attempt, patience) = (attempt(marked), Patience::default());
            let now = attempt.sent_at.plus(Duration::from_secs(elapsed));
            if judge(&attempt, &patience, now, &found) == Verdict::Absent {
                prop_assert!(elapsed >= 215);
                let any = found.iter().any(|c| !c.bound && if marked { c.has_marker } else { c.inputs_match });
                prop_assert!(!any);
            }
        }

        #[test]
        fn a_run_is_adopted_only_when_it_is_the_only_one_that_fits_and_free(
            marked: bool, found in candidates(), elapsed in 0u64..400,
        ) {
            let (attempt, patience) = (attempt(marked), Patience::default());
            let now = attempt.sent_at.plus(Duration::from_secs(elapsed));
            if let Verdict::Adopt(run) = judge(&attempt, &patience, now, &found) {
                let fits: Vec<_> = found
                    .iter()
                    .filter(|c| !c.bound && if marked { c.has_marker } else { c.inputs_match })
                    .collect();
                prop_assert_eq!(fits.len(), 1);
                prop_assert_eq!(fits[0].run_id, run);
                prop_assert!(marked || elapsed >= 215);
            }
        }

        #[test]
        fn once_patience_is_over_there_is_always_a_verdict(marked: bool, found in candidates()) {
            let (attempt, patience) = (attempt(marked), Patience::default());
            let now = patience.over_at(&attempt);
            prop_assert!(!matches!(judge(&attempt, &patience, now, &found), Verdict::Wait(_)));
        }
    }
}
