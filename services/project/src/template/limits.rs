//! How much of a template may run, and for how long.

use runwarden_kit::{Error, Result};

/// The most jobs at once that can be asked for: more is no limit.
const MOST_CONCURRENT: i32 = 10_000;
/// The longest run that can be asked for: seven days.
const LONGEST: i64 = 7 * 24 * 3600;

/// Checks how many jobs may run at once; 0 is no limit.
pub(super) fn concurrent(given: i32) -> Result<i32> {
    if (0..=MOST_CONCURRENT).contains(&given) {
        return Ok(given);
    }
    Err(Error::invalid("/max_concurrent", format!("must be 0 (no limit) to {MOST_CONCURRENT}")))
}

/// Checks how many seconds a run may take; 0 is no limit.
pub(super) fn duration(given: i64) -> Result<i64> {
    if (0..=LONGEST).contains(&given) {
        return Ok(given);
    }
    Err(Error::invalid("/max_duration_seconds", format!("must be 0 (no limit) to {LONGEST} (seven days)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_not_negative_and_not_absurd() {
        for good in [0, 1, MOST_CONCURRENT] {
            assert_eq!(concurrent(good).unwrap(), good);
        }
        for good in [0, 1, LONGEST] {
            assert_eq!(duration(good).unwrap(), good);
        }
        concurrent(-1).unwrap_err();
        concurrent(i32::MAX).unwrap_err();
        duration(-1).unwrap_err();
        duration(LONGEST + 1).unwrap_err();
    }
}
