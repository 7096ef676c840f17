//! Places where a test can have the process die: around every durable step of a delivery. Nothing is set unless
//! `RUNWARDEN_HOOK_FAILPOINT` names one, and then all it does is what `kill -9` would.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Somewhere between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A request is verified; nothing of it is written.
    ReceiveBefore,
    /// It is durable; the sender was not answered.
    ReceiveAfter,
    /// A delivery is mapped; what it asks for is not written.
    MapBefore,
    /// That is durable; nothing was submitted.
    MapAfter,
    /// The job was accepted; that is not written.
    SubmitBefore,
    /// It is written.
    SubmitAfter,
    /// Terraform was told that a run task runs; that is not written.
    UpdateAfter,
    /// That the final result of a run task is sent is written; it has not left.
    FinalBefore,
    /// Terraform has it; that is not written.
    FinalAfter,
    /// A change was made that waits for the commit of its group.
    GroupFilling,
    /// A group of changes is committed; nobody was answered.
    GroupCommitted,
}

impl At {
    /// Each with its name.
    pub const ALL: [(&str, Self); 11] = [
        ("receive.before", Self::ReceiveBefore),
        ("receive.after", Self::ReceiveAfter),
        ("map.before", Self::MapBefore),
        ("map.after", Self::MapAfter),
        ("submit.before", Self::SubmitBefore),
        ("submit.after", Self::SubmitAfter),
        ("update.after", Self::UpdateAfter),
        ("final.before", Self::FinalBefore),
        ("final.after", Self::FinalAfter),
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
        let left = times.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| format!("{times:?} is not a count"))?;
        Ok(Self(Some(Arc::new(Armed { at, left: AtomicU32::new(left) }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_one_name_and_nothing_is_armed_unless_it_is_named() {
        for (name, at) in At::ALL {
            let parsed: Failpoint = name.parse().unwrap();
            assert_eq!(parsed.0.unwrap().at, at);
        }
        assert!("".parse::<Failpoint>().unwrap().0.is_none());
        for wrong in ["launch", "map.after:0", "map.after:x", ":"] {
            assert!(wrong.parse::<Failpoint>().is_err(), "{wrong}");
        }
    }
}
