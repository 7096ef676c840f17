//! How much of a template may run, how long, and how many of its jobs may wait.

use runwarden_kit::Result;
use runwarden_kit::contract::Rate;
use runwarden_kit::limits::LONGEST_RUN_SECONDS;
use serde::{Deserialize, Serialize};

use crate::limits::{Checks, GivenRate, MOST_CONCURRENT, MOST_QUEUED};

/// The longest wait that can be asked for: thirty days, in seconds.
const LONGEST_WAIT: i64 = 30 * 24 * 3600;

/// A template's limits. They are not part of the launch digest: waiting jobs stay launchable when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// Templates that were stored before there was one of the limits do not have it.
#[serde(default)]
pub struct TemplateLimits {
    /// How many jobs of it may be launching or running at once; 0 for no limit.
    pub max_concurrent: i32,
    /// How many seconds a run may take; 0 for no limit.
    pub max_duration_seconds: i64,
    /// How many of its jobs may be started in a period.
    pub rate: Option<Rate>,
    /// How many jobs of it may wait at once; 0 for no limit of its own.
    pub max_queued: i32,
    /// How many seconds its jobs may wait; 0 for no limit.
    pub max_wait_seconds: i64,
}

/// What shall be set; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TemplateLimitsUpdate {
    /// How many jobs of it at once.
    pub max_concurrent: Option<i32>,
    /// How many seconds a run may take.
    pub max_duration_seconds: Option<i64>,
    /// How many of its jobs may be started in a period.
    pub rate: Option<GivenRate>,
    /// How many jobs of it may wait at once.
    pub max_queued: Option<i32>,
    /// How many seconds a job of it may wait to be begun.
    pub max_wait_seconds: Option<i64>,
}

impl TemplateLimits {
    /// Sets what is given, or says all that is wrong with it.
    pub(super) fn set(&mut self, update: &TemplateLimitsUpdate) -> Result<()> {
        let mut checks = Checks::default();
        let none = Some("no limit");
        checks.number(&mut self.max_concurrent, update.max_concurrent, "/max_concurrent", &(0..=MOST_CONCURRENT), none);
        checks.number(
            &mut self.max_duration_seconds,
            update.max_duration_seconds,
            "/max_duration_seconds",
            &(0..=LONGEST_RUN_SECONDS),
            none,
        );
        checks.rate(&mut self.rate, update.rate, "/rate");
        checks.number(&mut self.max_queued, update.max_queued, "/max_queued", &(0..=MOST_QUEUED), none);
        checks.number(
            &mut self.max_wait_seconds,
            update.max_wait_seconds,
            "/max_wait_seconds",
            &(0..=LONGEST_WAIT),
            none,
        );
        checks.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_not_negative_and_not_absurd() {
        let set = |update: TemplateLimitsUpdate| {
            let mut limits = TemplateLimits::default();
            limits.set(&update).map(|()| limits)
        };
        let both = |max_concurrent, max_duration_seconds, max_queued, max_wait_seconds| TemplateLimitsUpdate {
            max_concurrent: Some(max_concurrent),
            max_duration_seconds: Some(max_duration_seconds),
            max_queued: Some(max_queued),
            max_wait_seconds: Some(max_wait_seconds),
            rate: None,
        };
        for good in
            [both(0, 0, 0, 0), both(1, 1, 1, 1), both(MOST_CONCURRENT, LONGEST_RUN_SECONDS, MOST_QUEUED, LONGEST_WAIT)]
        {
            let limits = set(good.clone()).unwrap();
            assert_eq!((Some(limits.max_concurrent), Some(limits.max_queued)), (good.max_concurrent, good.max_queued));
            assert_eq!(Some(limits.max_duration_seconds), good.max_duration_seconds);
            assert_eq!(Some(limits.max_wait_seconds), good.max_wait_seconds);
        }
        for bad in [
            both(-1, -1, -1, -1),
            both(MOST_CONCURRENT + 1, LONGEST_RUN_SECONDS + 1, MOST_QUEUED + 1, LONGEST_WAIT + 1),
            both(i32::MAX, i64::MAX, i32::MAX, i64::MAX),
        ] {
            let refused = set(bad).unwrap_err();
            let pointers: Vec<_> = refused.fields().iter().map(|field| field.pointer.as_str()).collect();
            assert_eq!(pointers, ["/max_concurrent", "/max_duration_seconds", "/max_queued", "/max_wait_seconds"]);
        }
    }
}
