//! What goes wrong between Runwarden and its controller.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::kinds::{KINDS, Kind};

/// The longest the controller works on a launch after its request arrived, milliseconds: no longer than the round's
/// settings say, which is the one thing that launching once rests on.
const LONGEST_REQUEST_MS: u64 = 2900;
/// More than is taken of an answer.
const TOO_LARGE: u64 = 17_000_000;
/// Where a log-in page is.
const ELSEWHERE: &str = "https://elsewhere.example/api/v2/";

/// A fault as it is ordered.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// What it is aimed at, for people.
    at: String,
    /// The template whose launches it strikes, if it strikes launches.
    pub(crate) launches_of: Option<&'static Kind>,
    /// For the sandbox's control API.
    pub(crate) order: Value,
}

impl Fault {
    /// Any fault on launches of a template.
    pub(crate) fn at_launch(dice: &mut Dice) -> Self {
        // Those without room for a marker are few, and the hardest.
        let weight = |kind: &Kind| if kind.marked { kind.weight } else { kind.weight * 2 };
        let weights: Vec<(u64, &'static Kind)> = KINDS.iter().map(|kind| (weight(kind), kind)).collect();
        let kind = *dice.weighted(&weights);
        let what = match dice.below(100) {
            0..55 => lost_after(dice),
            55..68 => json!({"kind": "lose_before", "after_ms": dice.between(0, 1500)}),
            68..78 => json!({"kind": "status", "status": *dice.pick(&[500, 502, 503, 504])}),
            78..86 => json!({"kind": "slow", "ms": dice.between(100, 2500)}),
            86..89 => json!({"kind": "migrating"}),
            89..91 => firewall(),
            91..94 => json!({"kind": "unauthorized"}),
            94..95 => json!({"kind": "redirect", "location": ELSEWHERE}),
            95..96 => json!({"kind": "redirect", "location": ELSEWHERE, "after": true}),
            _ if kind.can_drop => json!({"kind": "drop_marker", "lose": dice.chance(60)}),
            _ => lost_after(dice),
        };
        // A storm takes several in a row; without a marker each costs all others the whole wait.
        let most = if kind.marked { 4 } else { 2 };
        let single = matches!(what["kind"].as_str(), Some("redirect" | "drop_marker"));
        let times = if !single && dice.chance(35) { dice.between(2, most) } else { 1 };
        Self::on_launches(kind, what, times)
    }

    /// The answer to a launch of this template is lost, whether it arrives and takes effect or not.
    pub(crate) fn loses_answer_of(kind: &'static Kind, arrives: bool, dice: &mut Dice) -> Self {
        let what = if arrives { lost_after(dice) } else { json!({"kind": "lose_before"}) };
        Self::on_launches(kind, what, 1)
    }

    /// Any fault on what is only read.
    pub(crate) fn at_reading(dice: &mut Dice) -> Self {
        let path = *dice.pick(&["/unified_jobs/", "/unified_jobs/", "/stdout/", "/jobs/", "_templates/"]);
        let what = match dice.below(100) {
            0..20 => json!({"kind": "lose_before", "after_ms": dice.between(0, 1000)}),
            20..40 => json!({"kind": "status", "status": *dice.pick(&[500, 502, 503])}),
            40..60 => json!({"kind": "slow", "ms": dice.between(100, 2500)}),
            60..70 => json!({"kind": "cut", "after_bytes": dice.between(0, 2000)}),
            70..80 => json!({"kind": "garbage", "body": *dice.pick(&["html", "json"])}),
            80..85 => json!({"kind": "migrating"}),
            85..88 => json!({"kind": "unauthorized"}),
            88..89 => firewall(),
            89..90 => json!({"kind": "redirect", "location": ELSEWHERE}),
            90..92 => json!({"kind": "huge", "bytes": TOO_LARGE}),
            _ => json!({"kind": "backwards"}),
        };
        let order = json!({"method": "GET", "path": path, "times": dice.between(1, 3), "fault": what});
        Self { at: format!("GET {path}"), launches_of: None, order }
    }

    fn on_launches(kind: &'static Kind, what: Value, times: u64) -> Self {
        let order = json!({"method": "POST", "path": kind.launch_path(), "times": times, "fault": what});
        Self { at: format!("launch of {}", kind.name), launches_of: Some(kind), order }
    }

    /// What it does, in the sandbox's words.
    pub(crate) fn name(&self) -> &str {
        self.order["fault"]["kind"].as_str().unwrap_or_default()
    }

    /// Whether it takes away the marker of a run: if the answer that would tell so is lost, here or because whoever
    /// was to hear it is killed, nobody can know whose it is.
    pub(crate) fn hides_a_run(&self) -> bool {
        self.name() == "drop_marker"
    }
}

/// What a firewall in front of the controller says in its place.
fn firewall() -> Value {
    json!({"kind": "status", "status": 403, "json": {"message": "forbidden"}})
}

/// A launch that takes effect and whose answer is lost.
fn lost_after(dice: &mut Dice) -> Value {
    match dice.below(100) {
        0..15 => json!({"kind": "lose_after", "after_ms": dice.between(0, 800)}),
        15..25 => json!({"kind": "status", "status": *dice.pick(&[500, 502, 504]), "after": true}),
        25..33 => json!({"kind": "cut", "after_bytes": dice.between(0, 2000)}),
        33..41 => json!({"kind": "garbage", "body": *dice.pick(&["html", "json"])}),
        41..42 => json!({"kind": "huge", "bytes": TOO_LARGE}),
        _ => {
            // Most are told of a broken connection and look long before it commits; others give up about when it does.
            let commit = dice.between(300, LONGEST_REQUEST_MS);
            let hang = if dice.chance(75) { dice.between(0, commit / 2) } else { 8000 };
            json!({"kind": "delay_commit", "commit_after_ms": commit, "hang_ms": hang})
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.name())?;
        for (name, value) in self.order["fault"].as_object().into_iter().flatten().filter(|(name, _)| *name != "kind") {
            write!(f, " {name}={value}")?;
        }
        match self.order["times"].as_u64() {
            Some(times) if times > 1 => write!(f, " ×{times}"),
            _ => Ok(()),
        }
    }
}
