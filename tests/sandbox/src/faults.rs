//! Faults on order: what goes wrong, for which requests, how often. Set through the control API.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Kind {
    /// The request is never acted upon; the connection closes without an answer after a while.
    LoseBefore {
        #[serde(default)]
        after_ms: u64,
    },
    /// The request is acted upon, and the connection closes without an answer.
    LoseAfter {
        #[serde(default)]
        after_ms: u64,
    },
    /// The connection closes first, and the request is acted upon later, dated back to its arrival.
    DelayCommit {
        commit_after_ms: u64,
        #[serde(default)]
        hang_ms: u64,
    },
    /// A proxy's error page instead of an answer; nothing is acted upon.
    Status { status: u16 },
    /// The answer is right, and late.
    Slow { ms: u64 },
    /// The credential is suddenly not good enough.
    Unauthorized,
    /// The next run to start goes back to pending once before it really runs.
    Backwards,
}

/// An ordered fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) id: u64,
    /// Only this method; any if absent.
    #[serde(default)]
    pub(crate) method: Option<String>,
    /// Only paths that contain this; any if absent.
    #[serde(default)]
    pub(crate) path: Option<String>,
    /// How many more requests it strikes.
    #[serde(default = "once")]
    pub(crate) times: u32,
    pub(crate) fault: Kind,
}

fn once() -> u32 {
    1
}

/// The faults that are due.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last: u64,
    due: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, mut fault: Fault) -> Fault {
        self.last += 1;
        fault.id = self.last;
        self.due.push(fault.clone());
        fault
    }

    pub(crate) fn clear(&mut self) {
        self.due.clear();
    }

    pub(crate) fn due(&self) -> &[Fault] {
        &self.due
    }

    /// The fault that strikes this request, used up by one.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Option<Kind> {
        self.take(|fault| {
            fault.fault != Kind::Backwards
                && fault.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
                && fault.path.as_deref().is_none_or(|p| path.contains(p))
        })
    }

    /// Whether the run that starts now goes backwards.
    pub(crate) fn backwards(&mut self) -> bool {
        self.take(|fault| fault.fault == Kind::Backwards).is_some()
    }

    fn take(&mut self, matches: impl Fn(&Fault) -> bool) -> Option<Kind> {
        let at = self.due.iter().position(|fault| fault.times > 0 && matches(fault))?;
        let fault = self.due.get_mut(at)?;
        fault.times -= 1;
        let kind = fault.fault.clone();
        if fault.times == 0 {
            self.due.remove(at);
        }
        Some(kind)
    }
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms.min(600_000))
}
