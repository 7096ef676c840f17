//! How often to look at a controller's runs: quicker when something happens, slower when nothing does, and never so
//! often that looking is most of what is done.

use std::time::{Duration, Instant};

/// How soon to look again when something happens.
pub(super) const BUSY: Duration = Duration::from_millis(700);
/// How late to look again at what fails.
const FAILING: Duration = Duration::from_secs(5);
/// How much longer a pause is at least than the look before it took. Ten thousand runs take seconds to look at.
const SHARE: u32 = 10;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    pub(super) next: Instant,
    /// Before this, nothing makes it look again: looking would be most of what is done.
    earliest: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: BUSY, next: Instant::now(), earliest: Instant::now() }
    }
}

impl Pace {
    /// After a look that took so long; `quiet` is how late to look again when nothing happens.
    pub(super) fn after(&mut self, changed: bool, took: Duration, quiet: Duration) {
        self.pause = if changed { BUSY.min(quiet) } else { self.pause.mul_f32(1.3).min(quiet) };
        self.again_after(self.pause, took);
    }

    /// After a look that took so long, at a controller that says by itself when something happens.
    pub(super) fn hinted(&mut self, took: Duration, pause: Duration) {
        // Where it goes on from, should hints fail.
        self.pause = BUSY.min(pause);
        self.again_after(pause, took);
    }

    fn again_after(&mut self, pause: Duration, took: Duration) {
        let share = took.saturating_mul(SHARE).min(LONGEST);
        self.earliest = Instant::now() + share;
        self.again_in(share.max(pause));
    }

    /// Something is expected to happen.
    pub(super) fn no_later_than_busy(&mut self) {
        self.next = self.next.min((Instant::now() + BUSY).max(self.earliest));
    }

    /// After a look at the few runs that callers wait for.
    pub(super) fn soon(&mut self) {
        self.pause = BUSY;
        self.again_in(BUSY);
    }

    /// After a look that failed: less and less often while that continues.
    pub(super) fn failed(&mut self) {
        self.again_in(self.pause);
        self.pause = (self.pause * 2).min(FAILING);
    }

    /// Whatever was found, again after this.
    pub(super) fn again_in(&mut self, pause: Duration) {
        self.next = Instant::now() + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(pace: &Pace) -> Duration {
        pace.next.saturating_duration_since(Instant::now())
    }

    const QUIET: Duration = Duration::from_secs(5);

    #[test]
    fn the_pace_follows_what_happens() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.after(false, Duration::ZERO, QUIET);
        }
        assert_eq!(pace.pause, QUIET);
        pace.after(true, Duration::ZERO, QUIET);
        assert_eq!(pace.pause, BUSY);
        assert!(left(&pace) <= BUSY);
    }

    #[test]
    fn where_hints_are_reliable_the_pause_is_the_one_that_was_set_and_ends_when_they_fail() {
        let mut pace = Pace::default();
        let pause = Duration::from_secs(60);
        pace.hinted(Duration::ZERO, pause);
        assert!(left(&pace) > pause - BUSY && left(&pace) <= pause);
        pace.no_later_than_busy();
        assert!(left(&pace) <= BUSY);
        pace.after(false, Duration::ZERO, QUIET);
        assert!(left(&pace) <= BUSY * 2);
    }

    #[test]
    fn what_fails_is_tried_less_and_less_often() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.failed();
        }
        assert!(left(&pace) > FAILING - BUSY && left(&pace) <= FAILING);
        pace.soon();
        assert!(left(&pace) <= BUSY);
    }

    #[test]
    fn looking_is_never_most_of_what_is_done() {
        let mut pace = Pace::default();
        pace.after(true, Duration::from_secs(2), QUIET);
        assert!(left(&pace) > Duration::from_secs(15));
        // Whatever is expected to happen.
        pace.no_later_than_busy();
        assert!(left(&pace) > Duration::from_secs(15));
        pace.after(true, Duration::from_secs(200), QUIET);
        assert!(left(&pace) <= LONGEST);
    }
}
