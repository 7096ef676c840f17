//! What a set of modules says about one input.

use regorus::{LimitError, Value};
use serde::{Deserialize, Serialize};

use super::compile::Compiled;
use super::functions::{json, regex};
use crate::text::Problem;

const ALLOW: &str = "data.runwarden.authz.allow";
const DENY: &str = "data.runwarden.authz.deny";
const REASONS: &str = "data.runwarden.authz.reasons";

/// The most reasons that are passed on.
pub(crate) const MAX_REASONS: usize = 16;
/// The longest reason, in characters.
pub(crate) const MAX_REASON_CHARS: usize = 256;
/// Said when modules exist but none of them decides.
pub(crate) const NO_PACKAGE: &str = "no module of package runwarden.authz";

/// What came of evaluating a set of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Verdict {
    /// `deny` is empty, and `allow` is true or all modules only deny.
    Allowed,
    /// Anything else that was evaluated to its end; the reasons are the policy's and may be none.
    Denied {
        /// Why, in the policy's words.
        reasons: Vec<String>,
    },
    /// The engine gave up.
    Failed {
        /// Why, for the policy's author and the log, never for a caller.
        problem: Problem,
    },
}

impl Compiled {
    /// Evaluates the set over `input`, a JSON text.
    #[must_use]
    pub fn evaluate(&self, input: &str) -> Verdict {
        self.try_evaluate(input).unwrap_or_else(|error| {
            let problem = if error.downcast_ref::<LimitError>().is_some() {
                Problem::of_set("evaluating it takes too long")
            } else {
                Problem::from_engine(&error.to_string(), |_| None)
            };
            Verdict::Failed { problem }
        })
    }

    fn try_evaluate(&self, input: &str) -> anyhow::Result<Verdict> {
        if !self.declared.package {
            return Ok(denied(vec![NO_PACKAGE.to_owned()]));
        }
        // A copy each time: nothing of one decision is there in the next.
        regex::forget();
        let mut engine = self.engine.clone();
        engine.set_input(json::read(input)?);
        let mut value = |declared: bool, rule: &str| {
            if declared { engine.eval_rule(rule.to_owned()) } else { Ok(Value::Undefined) }
        };

        let allow = value(self.declared.allow, ALLOW)?;
        let mut reasons = Vec::new();
        let denies = match value(self.declared.deny, DENY)? {
            Value::Undefined => false,
            Value::Set(items) => {
                reasons.extend(items.iter().map(reason));
                !items.is_empty()
            }
            Value::Array(items) => {
                reasons.extend(items.iter().map(reason));
                !items.is_empty()
            }
            _ => {
                reasons.push("the policy's `deny` is not a set of reasons".to_owned());
                true
            }
        };
        // A set that only denies allows the rest. One module that says neither, by a misspelled `allow` perhaps, is
        // enough for it not to be one.
        let only_denies = !self.declared.allow && self.declared.deny && !self.declared.undecided;
        match allow {
            Value::Bool(true) if !denies => return Ok(Verdict::Allowed),
            Value::Undefined if only_denies && !denies => return Ok(Verdict::Allowed),
            Value::Bool(_) | Value::Undefined => {}
            _ => reasons.push("the policy's `allow` is neither true nor false".to_owned()),
        }
        match value(self.declared.reasons, REASONS)? {
            Value::Set(items) => reasons.extend(items.iter().map(reason)),
            Value::Array(items) => reasons.extend(items.iter().map(reason)),
            text @ Value::String(_) => reasons.push(reason(&text)),
            _ => {}
        }
        Ok(denied(reasons))
    }
}

/// Cuts what a policy says to what may be passed on: a few short lines, none twice.
fn denied(said: Vec<String>) -> Verdict {
    let mut reasons: Vec<String> = Vec::new();
    for reason in said {
        if !reason.is_empty() && !reasons.contains(&reason) {
            reasons.push(reason);
        }
        if reasons.len() == MAX_REASONS {
            break;
        }
    }
    Verdict::Denied { reasons }
}

fn reason(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    text.trim()
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MAX_REASON_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::compile;
    use crate::set::ModuleText;

    fn outcome_of_package(package: &str, rego: &str, input: &str) -> Verdict {
        let module = ModuleText { name: "m".to_owned(), rego: format!("package runwarden.{package}\n{rego}\n") };
        let Ok(compiled) = compile(&[module], Duration::from_secs(5)) else {
            panic!("{rego} does not compile");
        };
        compiled.evaluate(input)
    }

    fn outcome(rego: &str) -> Verdict {
        outcome_of_package("authz", rego, "{\"n\": \"word\", \"yes\": true}")
    }

    fn reasons(rego: &str) -> Vec<String> {
        match outcome(rego) {
            Verdict::Denied { reasons } => reasons,
            other => panic!("{rego}: {other:?}"),
        }
    }

    #[test]
    fn patterns_of_one_decision_take_no_room_in_the_next() {
        let many =
            "allow if { every n in numbers.range(1, 9) { regex.match(sprintf(\"^%d$\", [n]), sprintf(\"%d\", [n])) } }";
        assert_eq!(outcome(many), Verdict::Allowed);
        assert_eq!(regex::patterns_kept(), 9);
        assert_eq!(outcome("allow if regex.match(\"^w\", input.n)"), Verdict::Allowed);
        assert_eq!(regex::patterns_kept(), 1);
    }

    #[test]
    fn only_a_plain_yes_is_a_yes() {
        assert_eq!(outcome("allow := true"), Verdict::Allowed);
        assert_eq!(outcome("allow if input.yes"), Verdict::Allowed);
        assert_eq!(outcome("allow := true\ndeny contains \"x\" if input.no"), Verdict::Allowed);
        for no in [
            "allow := false",
            "allow if input.no",
            "x := 1",
            "allow := \"true\"",
            "allow := 1",
            "allow := {true}",
            "allow.x := true",
            "allow contains true",
            "allow := true\ndeny contains \"x\"",
            "allow := true\ndeny := true",
            "allow := true\ndeny := false",
            "allow := true\ndeny := {\"a\": 1}",
            "allow := true\ndeny := [\"x\"]",
        ] {
            assert!(matches!(outcome(no), Verdict::Denied { .. } | Verdict::Failed { .. }), "{no}");
        }
    }

    #[test]
    fn an_engine_error_is_a_failure_never_a_yes() {
        for rego in [
            "allow := true\nallow := false if input.yes",
            "allow := true\ndeny contains \"big\" if to_number(input.n) > 5",
            "allow := to_number(input.n) > 5",
        ] {
            assert!(matches!(outcome(rego), Verdict::Failed { .. }), "{rego}");
        }
    }

    #[test]
    fn reasons_come_from_deny_and_reasons() {
        assert_eq!(reasons("deny contains \"b\"\nreasons contains \"a\"\nreasons contains \"b\""), ["b", "a"]);
        assert_eq!(reasons("reasons := \"only one\""), ["only one"]);
        assert_eq!(reasons("deny contains {\"code\": 1}"), ["{\"code\":1}"]);
        assert!(reasons("allow := false").is_empty());
    }

    #[test]
    fn reasons_are_few_and_short() {
        let said = reasons(
            "deny contains sprintf(\"%d %s\", [x, replace(\"##########\", \"#\", \"long reason\\nlong reason long reason \")]) if some x in numbers.range(1, 100)",
        );
        assert_eq!(said.len(), MAX_REASONS);
        assert!(said.iter().all(|reason| reason.chars().count() <= MAX_REASON_CHARS));
        assert!(!said.concat().contains('\n'));
    }

    #[test]
    fn libraries_alone_decide_nothing() {
        assert_eq!(
            outcome_of_package("lib.x", "allow := true", "{}"),
            Verdict::Denied { reasons: vec![NO_PACKAGE.to_owned()] }
        );
    }

    #[test]
    fn input_that_is_no_json_is_a_failure() {
        for input in ["", "{", "\"\u{0}", &"[".repeat(100_000)] {
            assert!(matches!(outcome_of_package("authz", "allow := true", input), Verdict::Failed { .. }));
        }
    }
}
