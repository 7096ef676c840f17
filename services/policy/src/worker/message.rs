//! What is said between the service and its workers.

use runwarden_rego::set::ModuleText;
use runwarden_rego::text::Problem;
use runwarden_rego::{Advice, Mapped, Verdict};
use serde::{Deserialize, Serialize};

/// What both sides speak; changes with every change here.
pub(super) const PROTOCOL: &str = "runwarden-policy-worker/4";

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// Compile a set and keep it under a key.
    Prepare { key: String, modules: Vec<ModuleText> },
    /// Evaluate a set that was prepared.
    Decide { key: String, input: String },
    /// Compile a set, evaluate it once, keep nothing.
    Check { modules: Vec<ModuleText>, input: String },
    /// Compile the module of a hook and keep it under a key.
    PrepareHook { key: String, module: String },
    /// Evaluate the module of a hook that was prepared.
    RunHook { key: String, input: String },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Reply {
    /// Said first, when the limits are in place.
    Hello { protocol: String },
    /// The set is ready.
    Prepared,
    /// The set cannot be used.
    Problems { problems: Vec<Problem> },
    /// No such set is prepared here.
    Missing,
    /// What the set says.
    Decided { outcome: Verdict },
    /// What the module of a hook makes of an event.
    Ran { outcome: Mapped },
    /// The set can be used, and in other processes as well if it is vetted.
    Checked { advice: Advice, vetted: bool },
}
