//! Places where a test can have the process die: around every durable step of a service. Nothing is set unless a
//! setting names a place, and then all it does is what `kill -9` would.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The places of a service, each somewhere between two steps.
pub trait Place: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// Each with its name.
    const ALL: &'static [(&'static str, Self)];
}

/// Where the process is to die, if anywhere.
#[derive(Clone, Debug)]
pub struct Failpoint<P>(Option<Arc<Armed<P>>>);

#[derive(Debug)]
struct Armed<P> {
    at: P,
    left: AtomicU32,
}

impl<P> Default for Failpoint<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Place> Failpoint<P> {
    /// Passes a place; does not come back if it is the one.
    pub fn pass(&self, at: P) {
        if self.is_reached(at) {
            die();
        }
    }

    fn is_reached(&self, at: P) -> bool {
        self.0.as_ref().is_some_and(|armed| armed.at == at && armed.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }
}

fn die() {
    use rustix::process::{Signal, getpid, kill_process};
    // The process ends inside the call: nothing is closed, flushed or reported.
    let _ended = kill_process(getpid(), Signal::KILL);
}

impl<P: Place> FromStr for Failpoint<P> {
    type Err = String;

    /// `NAME` or `NAME:N` for the N-th time.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let found = P::ALL.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
        let at = found.ok_or_else(|| format!("there is no failpoint {name:?}"))?;
        let left = times.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| format!("{times:?} is not a count"))?;
        Ok(Self(Some(Arc::new(Armed { at, left: AtomicU32::new(left) }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum At {
        Before,
        After,
    }

    impl Place for At {
        const ALL: &'static [(&'static str, Self)] = &[("write.before", Self::Before), ("write.after", Self::After)];
    }

    #[test]
    fn every_place_has_one_name() {
        for (name, at) in At::ALL {
            let parsed: Failpoint<At> = name.parse().unwrap();
            assert_eq!(parsed.0.unwrap().at, *at);
        }
    }

    #[test]
    fn nothing_is_armed_unless_it_is_named() {
        assert!("".parse::<Failpoint<At>>().unwrap().0.is_none());
        for wrong in ["write", "write.after:0", "write.after:x", ":"] {
            assert!(wrong.parse::<Failpoint<At>>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_reached_the_named_number_of_times_and_then_never_again() {
        let second: Failpoint<At> = "write.after:2".parse().unwrap();
        let reached: Vec<_> =
            [At::After, At::Before, At::After, At::After].iter().map(|at| second.is_reached(*at)).collect();
        assert_eq!(reached, [false, false, true, false]);
        assert!(!Failpoint::<At>::default().is_reached(At::Before));
    }
}
