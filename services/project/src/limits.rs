//! Limits that several nouns have, and how they are checked: everything wrong in a request is reported at once.

use std::ops::RangeInclusive;

use runwarden_kit::contract::Rate;
use runwarden_kit::{Error, ErrorReason, FieldError, Result};

/// The most jobs at once that can be asked for: more is no limit.
pub(crate) const MOST_CONCURRENT: i32 = 10_000;
/// The most waiting jobs that can be asked for.
pub(crate) const MOST_QUEUED: i32 = 1_000_000;
/// A rate as somebody asks for it, unchecked; 0 jobs is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenRate {
    /// How many.
    pub jobs: i32,
    /// How long the period is, seconds; means nothing without jobs.
    pub period_seconds: i64,
}

/// Takes over the limits that are given, as far as they make sense, and keeps what is wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    wrong: Vec<FieldError>,
}

impl Checks {
    /// A number that must lie within a range. `zero` says in words what 0 means, where it means something.
    pub(crate) fn number<N>(
        &mut self,
        limit: &mut N,
        given: Option<N>,
        pointer: &str,
        range: &RangeInclusive<N>,
        zero: Option<&str>,
    ) where
        N: Copy + PartialOrd + std::fmt::Display,
    {
        let Some(given) = given else { return };
        if range.contains(&given) {
            *limit = given;
            return;
        }
        let (from, to) = (range.start(), range.end());
        let zero = zero.map(|meaning| format!(" ({meaning})")).unwrap_or_default();
        self.wrong(pointer, format!("must be {from}{zero} to {to}"));
    }

    /// A rate.
    pub(crate) fn rate(&mut self, limit: &mut Option<Rate>, given: Option<GivenRate>, pointer: &str) {
        let Some(GivenRate { jobs, period_seconds }) = given else { return };
        let most = Rate::MOST_JOBS;
        let jobs = u32::try_from(jobs).ok().filter(|jobs| *jobs <= most);
        if jobs.is_none() {
            self.wrong(&format!("{pointer}/jobs"), format!("must be 0 (no limit) to {most}"));
        }
        // Without jobs the period says nothing; it may be left out, and nonsense is refused all the same.
        let (shortest, longest) = (u32::from(jobs != Some(0)), Rate::LONGEST_PERIOD);
        let period = u32::try_from(period_seconds).ok().filter(|seconds| (shortest..=longest).contains(seconds));
        if period.is_none() {
            self.wrong(&format!("{pointer}/period_seconds"), format!("must be 1 to {longest} (seven days)"));
        }
        if let (Some(jobs), Some(period_seconds)) = (jobs, period) {
            *limit = (jobs > 0).then_some(Rate { jobs, period_seconds });
        }
    }

    /// Refuses the request if anything was wrong.
    pub(crate) fn done(self) -> Result<()> {
        let detail = match self.wrong.as_slice() {
            [] => return Ok(()),
            [one] => one.detail.clone(),
            several => format!("{} fields are wrong; `errors` names them.", several.len()),
        };
        Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(self.wrong))
    }

    fn wrong(&mut self, pointer: &str, detail: String) {
        self.wrong.push(FieldError { pointer: pointer.to_owned(), detail });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_proto::project::v1 as wire;

    const MOST_JOBS: i32 = 1_000_000;
    const LONGEST_PERIOD: i64 = 7 * 24 * 3600;

    fn rate(jobs: i32, period_seconds: i64) -> Result<Option<Rate>, Vec<String>> {
        let (mut checks, mut limit) = (Checks::default(), Some(Rate { jobs: 7, period_seconds: 7 }));
        checks.rate(&mut limit, Some(GivenRate { jobs, period_seconds }), "/rate");
        let pointers = |error: Error| error.fields().iter().map(|field| field.pointer.clone()).collect();
        checks.done().map(|()| limit).map_err(pointers)
    }

    #[test]
    fn a_rate_has_jobs_and_a_period_and_no_jobs_are_no_limit() {
        for (jobs, period_seconds) in [(1, 1), (10, 3600), (MOST_JOBS, LONGEST_PERIOD)] {
            let kept = rate(jobs, period_seconds).map(|rate| rate.map(wire::StartRate::from));
            assert_eq!(kept, Ok(Some(wire::StartRate { jobs, period_seconds })));
        }
        for period in [0, 1, LONGEST_PERIOD] {
            assert_eq!(rate(0, period), Ok(None));
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        assert_eq!(rate(-1, 0), Err(vec!["/rate/jobs".to_owned(), "/rate/period_seconds".to_owned()]));
        assert_eq!(rate(MOST_JOBS + 1, 60), Err(vec!["/rate/jobs".to_owned()]));
        for (jobs, period) in [(1, 0), (1, LONGEST_PERIOD + 1), (0, -1), (0, i64::MAX)] {
            assert_eq!(rate(jobs, period), Err(vec!["/rate/period_seconds".to_owned()]));
        }
        let (mut checks, mut one, mut two) = (Checks::default(), 3, 4_i64);
        checks.number(&mut one, Some(101), "/one", &(1..=100), None);
        checks.number(&mut two, Some(-1), "/two", &(0..=9), Some("no limit"));
        let refused = checks.done().unwrap_err();
        let told: Vec<_> =
            refused.fields().iter().map(|field| (field.pointer.as_str(), field.detail.as_str())).collect();
        assert_eq!(told, [("/one", "must be 1 to 100"), ("/two", "must be 0 (no limit) to 9")]);
        assert_eq!((one, two), (3, 4));
    }

    #[test]
    fn what_is_not_given_stays() {
        let (mut checks, mut number, mut limit) = (Checks::default(), 3, Some(Rate { jobs: 7, period_seconds: 7 }));
        checks.number(&mut number, None, "/number", &(0..=1), None);
        checks.rate(&mut limit, None, "/rate");
        checks.done().unwrap();
        assert_eq!((number, limit), (3, Some(Rate { jobs: 7, period_seconds: 7 })));
    }
}
