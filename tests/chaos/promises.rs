//! What is promised, and what was seen that breaks it.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// A promise of Runwarden's, each of which a round keeps or breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    Ended,
    Once,
    Nothing,
    Known,
    Answers,
    States,
    Events,
    Record,
    Proof,
    Processes,
    /// Not of Runwarden's but of the round's: that it was one.
    Trouble,
}

impl Promise {
    pub(crate) const ALL: &[Self] = &[
        Self::Ended,
        Self::Once,
        Self::Nothing,
        Self::Known,
        Self::Answers,
        Self::States,
        Self::Events,
        Self::Record,
        Self::Proof,
        Self::Processes,
        Self::Trouble,
    ];

    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Ended => "every accepted job has ended, for a reason that was given",
            Self::Once => "every job that was launched was launched exactly once, by the controller's ledger",
            Self::Nothing => "nothing was launched that was not accepted, or that ended before its launch",
            Self::Known => "only what no machine could know was left to a person, who could resolve it",
            Self::Answers => "every answer ever given is still true",
            Self::States => "no state went back and no end changed",
            Self::Events => "events came without gaps and without repeats",
            Self::Record => "every job is on record: one submit, one bind if it was launched, one finish",
            Self::Proof => "the audit log verifies",
            Self::Processes => "no process failed by itself",
            Self::Trouble => "there was trouble worth the name",
        }
    }
}

/// What was seen that breaks promises.
#[derive(Default)]
pub(crate) struct Broken(Mutex<BTreeMap<Promise, Vec<String>>>);

impl Broken {
    /// Notes it.
    pub(crate) fn note(&self, promise: Promise, what: impl Into<String>) {
        self.0.lock().unwrap().entry(promise).or_default().push(what.into());
    }

    /// Notes it if it does not hold.
    pub(crate) fn unless(&self, holds: bool, promise: Promise, what: impl FnOnce() -> String) {
        if !holds {
            self.note(promise, what());
        }
    }

    /// What breaks one of them.
    pub(crate) fn of(&self, promise: Promise) -> Vec<String> {
        self.0.lock().unwrap().get(&promise).cloned().unwrap_or_default()
    }

    /// How much there is in all.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }
}
