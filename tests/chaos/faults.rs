//! What goes wrong between Runwarden and its controller.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::kinds::{KINDS, Kind};

/// The longest the controller works on a launch after its request arrived, milliseconds: less than the patience that
/// the round's settings give it, which is the one thing that launching once rests on.
pub(crate) const LONGEST_REQUEST_MS: u64 = 3000;

/// A fault as it is ordered.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// What it is aimed at, for people.
    pub(crate) at: String,
    /// For the sandbox's control API.
    pub(crate) order: Value,
    /// Whether the controller refuses the credential.
    pub(crate) refuses: bool,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = &self.order["fault"];
        write!(f, "{}: {}", self.at, what["kind"].as_str().unwrap_or_default())?;
        for (name, value) in what.as_object().into_iter().flatten().filter(|(name, _)| *name != "kind") {
            write!(f, " {name}={value}")?;
        }
        match self.order["times"].as_u64() {
            Some(times) if times > 1 => write!(f, " ×{times}"),
            _ => Ok(()),
        }
    }
}

/// A launch that takes effect and whose answer is lost.
fn lost_after(dice: &mut Dice) -> Value {
    if dice.chance(30) {
        return json!({"kind": "lose_after", "after_ms": dice.between(0, 800)});
    }
    // Most are told of a broken connection and look long before it commits; others give up about when it does.
    let commit = dice.between(300, LONGEST_REQUEST_MS);
    let hang = if dice.chance(75) { dice.between(0, commit / 2) } else { 8000 };
    json!({"kind": "delay_commit", "commit_after_ms": commit, "hang_ms": hang})
}

impl Fault {
    /// Any fault on launches of a template.
    pub(crate) fn at_launch(dice: &mut Dice) -> Self {
        // Those without room for a marker are few, and the hardest.
        let weight = |kind: &Kind| if kind.marked { kind.weight } else { kind.weight * 2 };
        let weights: Vec<(u64, &Kind)> = KINDS.iter().map(|kind| (weight(kind), kind)).collect();
        let kind = *dice.weighted(&weights);
        let what = match dice.below(100) {
            0..55 => lost_after(dice),
            55..70 => json!({"kind": "lose_before", "after_ms": dice.between(0, 1500)}),
            70..85 => json!({"kind": "status", "status": *dice.pick(&[500, 502, 503, 504])}),
            85..97 => json!({"kind": "slow", "ms": dice.between(100, 2500)}),
            _ => json!({"kind": "unauthorized"}),
        };
        // A storm takes several in a row; without a marker each costs all others the whole wait.
        let most = if kind.marked { 4 } else { 2 };
        let times = if dice.chance(35) { dice.between(2, most) } else { 1 };
        Self::on(kind.name, "POST", &kind.launch_path(), what, times)
    }

    /// A launch of this template takes effect and its answer is lost.
    pub(crate) fn loses_answer_of(kind: &Kind, dice: &mut Dice) -> Self {
        Self::on(kind.name, "POST", &kind.launch_path(), lost_after(dice), 1)
    }

    /// Any fault on what is only read.
    pub(crate) fn at_reading(dice: &mut Dice) -> Self {
        let path = *dice.pick(&["/unified_jobs/", "/unified_jobs/", "/stdout/", "/jobs/", "_templates/"]);
        let what = match dice.below(100) {
            0..30 => json!({"kind": "lose_before", "after_ms": dice.between(0, 1000)}),
            30..55 => json!({"kind": "status", "status": *dice.pick(&[500, 502, 503])}),
            55..85 => json!({"kind": "slow", "ms": dice.between(100, 2500)}),
            85..90 => json!({"kind": "unauthorized"}),
            _ => json!({"kind": "backwards"}),
        };
        Self::on(path, "GET", path, what, dice.between(1, 3))
    }

    fn on(at: &str, method: &str, path: &str, what: Value, times: u64) -> Self {
        let refuses = what["kind"] == "unauthorized";
        let order = json!({"method": method, "path": path, "times": times, "fault": what});
        Self { at: format!("{method} {at}"), order, refuses }
    }
}
