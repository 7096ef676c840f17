//! Faults on order: what goes wrong, for which requests, how often. Set through the control API. What each does to a
//! request is in `http/strike.rs`.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Kind {
    /// Nothing: it only uses up its turn in a sequence of faults.
    None,
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
    /// The connection closes first, and the request is acted upon later, with its arrival as the date.
    DelayCommit {
        commit_after_ms: u64,
        #[serde(default)]
        hang_ms: u64,
    },
    /// Somebody in front answers instead: a proxy's page, or this JSON of a gateway or firewall. Nothing is acted upon,
    /// unless `after` says that it was.
    Status {
        status: u16,
        #[serde(default)]
        after: bool,
        #[serde(default)]
        json: Option<Value>,
        /// A `Retry-After` in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// The request is acted upon, and the connection breaks within the answer: its head and the beginning of its body
    /// arrive.
    Cut {
        #[serde(default)]
        after_bytes: u64,
    },
    /// The request is acted upon, and the answer is right and very large.
    Huge {
        #[serde(default = "fifty_megabytes")]
        bytes: u64,
    },
    /// The request is acted upon, and a good status comes with a body that says nothing of it.
    Garbage {
        #[serde(default)]
        body: Garbage,
        /// This instead of JSON that is made up.
        #[serde(default)]
        json: Option<Value>,
        /// This instead of the status that the true answer has.
        #[serde(default)]
        status: Option<u16>,
    },
    /// The controller is being upgraded: whatever is asked for is elsewhere; nothing is acted upon.
    Migrating,
    /// The answer is said to be elsewhere, as by a log-in page; nothing is acted upon, unless `after` says that it was.
    Redirect {
        location: String,
        #[serde(default = "found")]
        status: u16,
        #[serde(default)]
        after: bool,
    },
    /// The answer is right, and late.
    Slow { ms: u64 },
    /// The controller itself refuses, in its own words; nothing is acted upon.
    Refused { status: u16, json: Value },
    /// The credential is suddenly not good enough.
    Unauthorized,
    /// The next run to start goes back to pending once before it really runs.
    Backwards,
    /// Strikes launches only: somebody has just switched off the prompts for variables and skip tags. With `lose` the
    /// answer that would tell so is lost.
    DropMarker {
        #[serde(default)]
        lose: bool,
    },
}

impl Kind {
    /// Whether it can strike such a request at all.
    fn fits(&self, method: &str, path: &str) -> bool {
        match self {
            Self::Backwards => false,
            Self::DropMarker { .. } => method == "POST" && path.trim_end_matches('/').ends_with("/launch"),
            Self::None
            | Self::LoseBefore { .. }
            | Self::LoseAfter { .. }
            | Self::DelayCommit { .. }
            | Self::Status { .. }
            | Self::Cut { .. }
            | Self::Huge { .. }
            | Self::Garbage { .. }
            | Self::Migrating
            | Self::Redirect { .. }
            | Self::Slow { .. }
            | Self::Refused { .. }
            | Self::Unauthorized => true,
        }
    }
}

/// What comes instead of an answer that says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Garbage {
    /// A page.
    #[default]
    Html,
    /// JSON of another shape.
    Json,
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

fn fifty_megabytes() -> u64 {
    50_000_000
}

fn found() -> u16 {
    StatusCode::FOUND.as_u16()
}

impl Fault {
    /// Why it could not strike as it says.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if let Kind::Redirect { status, location, .. } = &self.fault {
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Some("A redirect's status is 301, 302, 303, 307 or 308.");
            }
            if HeaderValue::from_str(location).is_err() {
                return Some("That location cannot be written into a header.");
            }
        }
        if let Kind::Garbage { status: Some(status), .. } = self.fault
            && !(200..300).contains(&status)
        {
            return Some("Garbage comes with a good status, 200 to 299.");
        }
        if let Kind::Refused { status, .. } = self.fault
            && !(400..500).contains(&status)
        {
            return Some("A refusal's status is 400 to 499.");
        }
        if let Kind::Status { status, .. } = self.fault
            && !(200..1000).contains(&status)
        {
            return Some("A status is a number from 200 to 999.");
        }
        None
    }

    fn strikes(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && self.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|p| path.contains(p))
            && self.fault.fits(method, path)
    }
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

    /// The first fault that strikes this request, used up by one.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Option<Kind> {
        self.take(|fault| fault.strikes(method, path))
    }

    /// Whether the run that starts now goes backwards.
    pub(crate) fn backwards(&mut self) -> bool {
        self.take(|fault| fault.times > 0 && fault.fault == Kind::Backwards).is_some()
    }

    fn take(&mut self, strikes: impl Fn(&Fault) -> bool) -> Option<Kind> {
        let at = self.due.iter().position(strikes)?;
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
