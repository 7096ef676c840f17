//! A waiting job's place in its queue, and when it can be expected to start.

use std::time::Duration;

use runwarden_kit::clock::Moment;

use crate::wait::limits::LimitScope;

/// Where a waiting job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 1 for the next.
    pub position: u32,
    /// When it will begin if things go on as they went lately.
    pub expected_start_at: Option<Moment>,
    /// What limit holds it back, if one does.
    pub held_by: Option<LimitScope>,
    /// Whether a launch is in flight that could not be distinguished from its own.
    pub blocked: bool,
}

/// A place in the order in which the new jobs of a template go: by rank, the highest first, and then by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The rank of the job that stands there.
    pub rank: i64,
    /// Its id.
    pub id: String,
}

impl Mark {
    /// Whether the job that stands here goes before one of this rank and id.
    #[must_use]
    pub fn is_before(&self, rank: i64, id: &str) -> bool {
        (-self.rank, self.id.as_str()) < (-rank, id)
    }
}

/// What a job waits for that is blocked.
pub const BLOCKED: &str = "waiting for another launch of this template to be settled";

/// The most that is counted of those that wait ahead.
pub const COUNTED: u32 = 10_000;
/// How many recent starts the pace of a queue is computed from.
pub const RECENT: u32 = 20;

/// The time between two starts, estimated from recent ones. `begun` are the latest starts, newest first.
#[must_use]
pub fn pace(begun: &[Moment], now: Moment) -> Option<Duration> {
    let (newest, oldest) = (begun.first()?, begun.last()?);
    let gaps = u32::try_from(begun.len()).ok()?.checked_sub(1).filter(|gaps| *gaps > 0)?;
    let average = newest.since(*oldest) / gaps;
    // A queue that has not moved for longer than usual is slower than it was.
    Some(average.max(now.since(*newest) / (gaps + 1)))
}

/// When a job at this position will begin.
#[must_use]
pub fn expected(position: u32, pace: Option<Duration>, start_at: Option<Moment>, now: Moment) -> Option<Moment> {
    let by_pace = pace.map(|pace| now.plus(pace.saturating_mul(position)));
    match (by_pace, start_at.filter(|at| *at > now)) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_micros(0).plus(Duration::from_secs(second))
    }

    #[test]
    fn the_pace_is_that_of_the_last_beginnings() {
        assert_eq!(pace(&[at(30), at(20), at(10)], at(31)), Some(Duration::from_secs(10)));
        assert_eq!(pace(&[at(30)], at(31)), None, "one beginning tells nothing");
        assert_eq!(pace(&[], at(31)), None);
    }

    #[test]
    fn a_queue_that_stands_still_is_slower_than_it_was() {
        assert_eq!(pace(&[at(30), at(20), at(10)], at(330)), Some(Duration::from_secs(100)));
    }

    #[test]
    fn nobody_is_expected_to_begin_before_they_may() {
        let pace = Some(Duration::from_secs(10));
        assert_eq!(expected(3, pace, None, at(100)), Some(at(130)));
        assert_eq!(expected(3, pace, Some(at(500)), at(100)), Some(at(500)));
        assert_eq!(expected(3, None, Some(at(500)), at(100)), Some(at(500)));
        assert_eq!(expected(3, None, Some(at(50)), at(100)), None);
    }
}
