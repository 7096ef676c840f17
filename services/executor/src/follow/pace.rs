//! How often to look at a controller's runs: quicker when something happens, slower when nothing does, and never so
//! often that looking is most of what is done.

use std::time::{Duration, Instant};

/// How soon to look again when something happens.
pub(super) const BUSY: Duration = Duration::from_millis(700);
/// How late to look again when nothing does.
const QUIET: Duration = Duration::from_secs(5);
/// How much longer a pause is at least than the look before it took. Ten thousand runs take seconds to look at.
const SHARE: u32 = 10;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    pub(super) next: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: BUSY, next: Instant::now() }
    }
}

impl Pace {
    /// After a look that took so long.
    pub(super) fn after(&mut self, changed: bool, took: Duration) {
        self.pause = if changed { BUSY } else { self.pause.mul_f32(1.3).min(QUIET) };
        self.again_in(self.pause.max(took.saturating_mul(SHARE)).min(LONGEST));
    }

    /// After a look at the few runs that callers wait for.
    pub(super) fn soon(&mut self) {
        self.pause = BUSY;
        self.again_in(BUSY);
    }

    /// After a look that failed: less and less often while that continues.
    pub(super) fn failed(&mut self) {
        self.again_in(self.pause);
        self.pause = (self.pause * 2).min(QUIET);
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

    #[test]
    fn the_pace_follows_what_happens() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.after(false, Duration::ZERO);
        }
        assert_eq!(pace.pause, QUIET);
        pace.after(true, Duration::ZERO);
        assert_eq!(pace.pause, BUSY);
        assert!(left(&pace) <= BUSY);
    }

    #[test]
    fn what_fails_is_tried_less_and_less_often() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.failed();
        }
        assert!(left(&pace) > QUIET - BUSY && left(&pace) <= QUIET);
        pace.soon();
        assert!(left(&pace) <= BUSY);
    }

    #[test]
    fn looking_is_never_most_of_what_is_done() {
        let mut pace = Pace::default();
        pace.after(true, Duration::from_secs(2));
        assert!(left(&pace) > Duration::from_secs(15));
        pace.after(true, Duration::from_secs(200));
        assert!(left(&pace) <= LONGEST);
    }
}
