//! For how long absence proves nothing.

use std::time::Duration;

use runwarden_kit::clock::Moment;

use crate::job::Attempt;
use crate::launch::judging::Marked;
use crate::launch::protocol::DELIVERED_WITHIN;

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

    /// How much time must have passed since a launch left by a monotonic clock, besides what the wall clocks say: the
    /// time in which it can still commit.
    #[must_use]
    pub fn at_least(&self) -> Duration {
        DELIVERED_WITHIN + self.controller_request
    }

    /// Until when to wait for a right that our account lacks, before a person is asked.
    #[must_use]
    pub fn given_up_at(&self, attempt: &Attempt) -> Moment {
        self.over_at(attempt).plus(self.hidden)
    }

    /// The earliest time a run of this attempt can carry. The controller's own time counts, if it was reported: it may
    /// be further from ours than clocks should be.
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
