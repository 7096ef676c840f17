//! The module of a hook: whether it wants an event, and which parameters it makes of it.

use std::time::Duration;

use regorus::{LimitError, Value};
use serde::{Deserialize, Serialize};

use super::compile::{Compiled, compile_for};
use super::functions::{json, regex};
use super::inspect::Purpose;
use crate::set::ModuleText;
use crate::text::Problem;

const ACCEPT: &str = "data.runwarden.hook.accept";
const PARAMETERS: &str = "data.runwarden.hook.parameters";
const REFERENCE: &str = "data.runwarden.hook.reference";

/// What the module is called in problems.
const NAME: &str = "hook";
/// The longest reference, in characters.
const MAX_REFERENCE: usize = 200;
/// The largest parameters, in bytes of JSON.
const MAX_PARAMETERS: usize = 512 * 1024;

/// What the module of a hook makes of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Mapped {
    /// It is wanted.
    Accepted {
        /// The parameters, a JSON object.
        parameters: String,
        /// What the sender calls it; empty if the module does not say.
        reference: String,
    },
    /// It is not.
    Unwanted,
    /// The module cannot be evaluated over it.
    Failed {
        /// Why, for the module's author.
        problem: Problem,
    },
}

/// Compiles the module of a hook, of package `runwarden.hook`.
///
/// # Errors
/// What keeps it from being used, each with its place.
pub fn compile_hook(rego: &str, limit: Duration) -> Result<Compiled, Vec<Problem>> {
    let compiled = compile_for(Purpose::Hook, &[ModuleText { name: NAME.to_owned(), rego: rego.to_owned() }], limit)?;
    let declared = compiled.declared;
    if !declared.accept && !declared.parameters && !declared.reference {
        // A misspelled rule would let everything through, with no parameters.
        return Err(vec![Problem::of_set("the module has none of `accept`, `parameters` and `reference`")]);
    }
    Ok(compiled)
}

impl Compiled {
    /// Evaluates the module of a hook over an event, a JSON text. A module without `accept` accepts everything; one that
    /// has it accepts only what makes it `true`.
    #[must_use]
    pub fn map(&self, input: &str) -> Mapped {
        self.try_map(input).unwrap_or_else(|error| {
            let problem = if error.downcast_ref::<LimitError>().is_some() {
                Problem::of_set("evaluating it takes too long")
            } else {
                Problem::from_engine(&error.to_string(), |_| None)
            };
            Mapped::Failed { problem }
        })
    }

    fn try_map(&self, input: &str) -> anyhow::Result<Mapped> {
        let failed = |detail: &str| Ok(Mapped::Failed { problem: Problem::of_set(detail) });
        regex::forget();
        let mut engine = self.engine.clone();
        engine.set_input(json::read(input)?);
        let mut value = |declared: bool, rule: &str| {
            if declared { engine.eval_rule(rule.to_owned()) } else { Ok(Value::Undefined) }
        };
        match value(self.declared.accept, ACCEPT)? {
            Value::Undefined if !self.declared.accept => {}
            Value::Bool(true) => {}
            Value::Bool(false) | Value::Undefined => return Ok(Mapped::Unwanted),
            _ => return failed("`accept` is neither true nor false"),
        }
        let parameters = match value(self.declared.parameters, PARAMETERS)? {
            Value::Undefined if !self.declared.parameters => "{}".to_owned(),
            Value::Undefined => return failed("`parameters` is undefined for this event"),
            object @ Value::Object(_) => serde_json::to_string(&object)?,
            _ => return failed("`parameters` is not an object"),
        };
        if parameters.len() > MAX_PARAMETERS {
            return failed("the parameters are larger than 512 KiB");
        }
        let reference = match value(self.declared.reference, REFERENCE)? {
            Value::Undefined => String::new(),
            Value::String(text) => text.to_string(),
            number @ Value::Number(_) => serde_json::to_string(&number)?,
            _ => return failed("`reference` is neither a string nor a number"),
        };
        if reference.chars().count() > MAX_REFERENCE || reference.chars().any(char::is_control) {
            return failed("`reference` is longer than 200 characters, or has control characters");
        }
        Ok(Mapped::Accepted { parameters, reference })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rego: &str, input: &str) -> Mapped {
        let module = format!("package runwarden.hook\n{rego}\n");
        compile_hook(&module, Duration::from_secs(5))
            .unwrap_or_else(|problems| panic!("{rego}: {problems:?}"))
            .map(input)
    }

    fn accepted(parameters: &str, reference: &str) -> Mapped {
        Mapped::Accepted { parameters: parameters.to_owned(), reference: reference.to_owned() }
    }

    #[test]
    fn an_event_is_wanted_if_accept_says_so_or_is_not_there() {
        let branch = "accept if input.body.ref == \"refs/heads/main\"\nparameters := {\"sha\": input.body.after}\nreference := input.body.after";
        let push = r#"{"body": {"ref": "refs/heads/main", "after": "abc"}}"#;
        assert_eq!(map(branch, push), accepted(r#"{"sha":"abc"}"#, "abc"));
        assert_eq!(map(branch, r#"{"body": {"ref": "refs/heads/dev", "after": "abc"}}"#), Mapped::Unwanted);
        assert_eq!(map(branch, "{}"), Mapped::Unwanted);
        assert_eq!(map("parameters := {\"n\": 1}", "{}"), accepted(r#"{"n":1}"#, ""));
        assert_eq!(map("reference := input.n", r#"{"n": 7}"#), accepted("{}", "7"));
        assert_eq!(map("accept := true", "{}"), accepted("{}", ""));
    }

    #[test]
    fn what_is_no_plain_answer_is_a_failure_never_a_yes() {
        for (rego, input) in [
            ("accept := \"true\"", "{}"),
            ("accept := 1", "{}"),
            ("accept := true\naccept := false if input.x", r#"{"x": true}"#),
            ("parameters := [1]", "{}"),
            ("parameters := {\"a\": input.missing}", "{}"),
            ("reference := {\"a\": 1}", "{}"),
            ("reference := sprintf(\"%200d!\", [1])", "{}"),
            ("accept := to_number(input.x) > 1", r#"{"x": "word"}"#),
            ("accept := true", "{"),
        ] {
            assert!(matches!(map(rego, input), Mapped::Failed { .. }), "{rego}: {:?}", map(rego, input));
        }
    }

    #[test]
    fn a_module_is_of_its_package_and_says_something() {
        for (module, words) in [
            ("package runwarden.authz\naccept := true\n", "runwarden.hook"),
            ("package hook\naccept := true\n", "runwarden.hook"),
            ("package runwarden.hook\nacept := true\n", "none of"),
            ("package runwarden.hook\naccept if http.send({}).x\n", "reaches nothing"),
            ("package runwarden.hook\naccept if accept\n", "themselves"),
        ] {
            let problems = compile_hook(module, Duration::from_secs(5)).err().unwrap();
            assert!(problems[0].detail.contains(words), "{module}: {problems:?}");
        }
    }
}
