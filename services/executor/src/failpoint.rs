//! Places where a test can have the process die: around every durable step of a job's life. Nothing is set unless
//! `RUNWARDEN_EXECUTOR_FAILPOINT` names one, and then all it does is what `kill -9` would.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Somewhere between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A job is about to be accepted.
    SubmitBeforeCommit,
    /// It is accepted; the answer was not sent.
    SubmitAfterCommit,
    /// A job is claimed.
    ClaimAfter,
    /// All is checked; the intent is not written.
    BeginBefore,
    /// The intent is durable; nothing was sent.
    BeginAfter,
    /// The launch was answered; the answer is not written.
    SendAfter,
    /// What was learned of an attempt is about to be written.
    LearnBefore,
    /// It is written.
    LearnAfter,
    /// A lost launch is about to be looked for.
    ReconcileBefore,
    /// It was looked for; the verdict is not written.
    ReconcileAfter,
    /// A run is over; the job's end is not written.
    WatchBeforeEnd,
    /// It is written.
    WatchAfterEnd,
    /// A run was asked to stop.
    CancelAfter,
    /// What an operator said is about to be written.
    ResolveBefore,
    /// It is written; nothing was signalled.
    ResolveAfter,
    /// A change was made that waits for the commit of its group, with or without others.
    GroupFilling,
    /// A group of changes is committed; nobody was answered.
    GroupCommitted,
}

impl At {
    /// Each with its name.
    pub const ALL: [(&str, Self); 17] = [
        ("submit.before_commit", Self::SubmitBeforeCommit),
        ("submit.after_commit", Self::SubmitAfterCommit),
        ("claim.after", Self::ClaimAfter),
        ("begin.before", Self::BeginBefore),
        ("begin.after", Self::BeginAfter),
        ("send.after", Self::SendAfter),
        ("learn.before", Self::LearnBefore),
        ("learn.after", Self::LearnAfter),
        ("reconcile.before", Self::ReconcileBefore),
        ("reconcile.after", Self::ReconcileAfter),
        ("watch.before_end", Self::WatchBeforeEnd),
        ("watch.after_end", Self::WatchAfterEnd),
        ("cancel.after", Self::CancelAfter),
        ("resolve.before", Self::ResolveBefore),
        ("resolve.after", Self::ResolveAfter),
        ("group.filling", Self::GroupFilling),
        ("group.committed", Self::GroupCommitted),
    ];
}

/// Where the process is to die, if anywhere.
#[derive(Clone, Debug, Default)]
pub struct Failpoint(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    at: At,
    left: AtomicU32,
}

impl Failpoint {
    /// Passes a place; does not come back if it is the one.
    pub fn pass(&self, at: At) {
        if let Some(armed) = &self.0
            && armed.at == at
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            die();
        }
    }
}

fn die() {
    use rustix::process::{Signal, getpid, kill_process};
    // The process ends inside the call: nothing is closed, flushed or reported.
    let _ended = kill_process(getpid(), Signal::KILL);
}

impl FromStr for Failpoint {
    type Err = String;

    /// `NAME` or `NAME:N` for the N-th time.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let found = At::ALL.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
        let at = found.ok_or_else(|| format!("there is no failpoint {name:?}"))?;
        let left = times.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| format!("{times:?} is no count"))?;
        Ok(Self(Some(Arc::new(Armed { at, left: AtomicU32::new(left) }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_one_name() {
        for (name, at) in At::ALL {
            let parsed: Failpoint = name.parse().unwrap();
            assert_eq!(parsed.0.unwrap().at, at);
        }
    }

    #[test]
    fn nothing_is_armed_unless_it_is_named() {
        assert!("".parse::<Failpoint>().unwrap().0.is_none());
        for wrong in ["launch", "begin.after:0", "begin.after:x", ":"] {
            assert!(wrong.parse::<Failpoint>().is_err(), "{wrong}");
        }
        let third: Failpoint = "begin.after:3".parse().unwrap();
        third.pass(At::BeginAfter);
        third.pass(At::BeginBefore);
        third.pass(At::BeginAfter);
        assert_eq!(third.0.unwrap().left.load(Ordering::Relaxed), 1);
    }
}
