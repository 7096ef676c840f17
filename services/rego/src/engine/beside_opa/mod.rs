//! Beside the Open Policy Agent: every function a policy may call is called here and there with the same arguments,
//! and must say the same: a value, nothing, or an error.
//!
//! `opa` is looked for where tests/tools/backends puts it, and on the PATH; without one the test says so and stands
//! aside. The seed is fixed, so that a change is judged
//! by what it changed; `./tests/run --long opa` looks further, with other seeds.

pub(super) mod dice;
mod functions;
mod kinds;
mod opa;
mod term;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use regorus::Value;

use self::dice::Dice;
use self::functions::{FUNCTIONS, Written};
use self::term::Term;
use super::builtins::{self, Builtin};
use super::compile;
use super::functions::json;
use crate::set::ModuleText;
use crate::text::guard;

/// Cases in a module; a module may have 1000 rules.
const CASES_IN_A_MODULE: usize = 900;
/// Differences of one function that are worth printing.
const PRINTED: usize = 6;

/// What came of a call.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Value(Value),
    Undefined,
    Error(String),
    /// The engine's, which would take the worker with it.
    Panic,
}

struct Case {
    function: &'static str,
    arguments: Vec<Term>,
}

impl Case {
    fn roll(written: Written, kinds: &[kinds::Kind], dice: &mut Dice) -> (Written, Self) {
        let arguments = kinds.iter().map(|kind| kind.roll(dice)).collect();
        let (Written::Call(function) | Written::Between(function)) = written else {
            return (written, Self { function: "walk", arguments });
        };
        (written, Self { function, arguments })
    }

    /// The expression for the case whose arguments are `input[place]`.
    fn rego(&self, written: Written, place: usize) -> String {
        let arguments: Vec<_> = self
            .arguments
            .iter()
            .enumerate()
            .map(|(index, argument)| {
                let expression = argument.rego(&format!("input[{place}][{index}]"));
                // Hides its type, which OPA would complain about before it evaluates anything.
                if argument.is_json() { expression } else { format!("object.get({{}}, 0, {expression})") }
            })
            .collect();
        match written {
            Written::Call(name) => format!("{name}({})", arguments.join(", ")),
            Written::Between(operator) => arguments.join(&format!(" {operator} ")),
            Written::Walk => format!("{{[path, value] | walk({}, [path, value])}}", arguments.join(", ")),
        }
    }
}

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect(name))
}

#[test]
fn every_function_is_called() {
    let called = |name: &str| {
        FUNCTIONS.iter().any(|(written, _)| match written {
            Written::Call(function) => *function == name,
            Written::Walk => name == "walk",
            Written::Between(_) => false,
        })
    };
    let names = regorus::unstable::BUILTINS.keys().copied().chain(functions_of_ours());
    let allowed = |name: &str| matches!(builtins::find(name), Builtin::Allowed(_) | Builtin::WithoutResult(_));
    for name in names.filter(|name| allowed(name)) {
        // What is traced is not looked at, and always true.
        assert!(called(name) || name == "trace", "{name} may be called, and is not compared");
    }
    for (written, _) in FUNCTIONS {
        if let Written::Call(name) = written {
            assert!(allowed(name), "{name} is refused");
        }
    }
}

fn functions_of_ours() -> impl Iterator<Item = &'static str> {
    super::functions::FUNCTIONS.iter().map(|function| function.name)
}

#[test]
fn every_function_answers_as_opa_does() {
    let Some(opa) = opa::find() else {
        println!("skipped: no opa on this machine; tests/tools/backends opa builds one where Go is installed");
        return;
    };
    let seed = setting("RUNWARDEN_OPA_SEED", 1);
    let cases = usize::try_from(setting("RUNWARDEN_OPA_CASES", 40)).unwrap();
    println!("RUNWARDEN_OPA_SEED={seed} RUNWARDEN_OPA_CASES={cases}, beside {}", opa.version());
    let only = std::env::var("RUNWARDEN_OPA_FUNCTION").ok();

    let mut dice = Dice::new(seed);
    let mut rolled = Vec::new();
    for (written, kinds) in FUNCTIONS {
        for _ in 0..cases {
            let (written, case) = Case::roll(*written, kinds, &mut dice);
            if only.as_ref().is_none_or(|only| only == case.function) {
                rolled.push((written, case));
            }
        }
    }
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for chunk in rolled.chunks(CASES_IN_A_MODULE) {
        compare(&opa, chunk, &mut differences);
    }
    let mut said = String::new();
    for (function, found) in &differences {
        said += &format!("\n{function}: {} of {cases}\n", found.len());
        for difference in found.iter().take(PRINTED) {
            said += &format!("    {difference}\n");
        }
    }
    assert!(differences.is_empty(), "seed {seed}: {} functions differ{said}", differences.len());
}

fn compare(opa: &opa::Opa, cases: &[(Written, Case)], differences: &mut BTreeMap<&'static str, Vec<String>>) {
    let mut input = Vec::new();
    let mut rules = Vec::new();
    for (written, case) in cases {
        let rule = format!("c{} := {}", rules.len(), case.rego(*written, rules.len()));
        rules.push(if rule.len() > guard::MAX_LINE_BYTES { format!("c{} := \"too long\"", rules.len()) } else { rule });
        let arguments: Vec<_> = case.arguments.iter().map(Term::json).collect();
        input.push(format!("[{}]", arguments.join(",")));
    }
    let module = format!("package runwarden.authz\n{}\n", rules.join("\n"));
    let input = format!("[{}]", input.join(",\n"));
    let theirs = opa.answers(&module, &input, rules.len());
    for (((_, case), rule), (ours, theirs)) in
        cases.iter().zip(&rules).zip(answers(&module, &input, rules.len()).iter().zip(&theirs))
    {
        if !same(ours, theirs, case) {
            let arguments: Vec<_> = case.arguments.iter().map(Term::json).collect();
            let (_, rule) = rule.split_once(" := ").unwrap();
            let shape = if rule.contains('{') { format!("  as {rule}") } else { String::new() };
            differences.entry(case.function).or_default().push(format!(
                "({}){shape}\n        here  {}\n        opa   {}",
                arguments.join(", "),
                shown(ours),
                shown(&theirs.answer)
            ));
        }
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Value(Value::Number(number)) => number.format_decimal(),
        Answer::Value(value) => value.to_string(),
        Answer::Undefined => "undefined".to_owned(),
        Answer::Panic => "panic".to_owned(),
        Answer::Error(why) => format!("error {}", why.lines().last().unwrap_or_default()),
    }
}

/// What is said here.
fn answers(module: &str, input: &str, rules: usize) -> Vec<Answer> {
    let module = ModuleText { name: "m".to_owned(), rego: module.to_owned() };
    let compiled = compile(&[module], Duration::from_secs(60)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut engine = compiled.engine.clone();
    engine.set_input(json::read(input).unwrap());
    (0..rules)
        .map(|rule| {
            let rule = format!("data.runwarden.authz.c{rule}");
            match std::panic::catch_unwind(AssertUnwindSafe(|| engine.eval_rule(rule))) {
                Ok(Ok(Value::Undefined)) => Answer::Undefined,
                Ok(Ok(value)) => Answer::Value(value),
                Ok(Err(error)) => Answer::Error(error.to_string()),
                Err(_) => Answer::Panic,
            }
        })
        .collect()
}

/// What fails here by intention, as docs/policies.md says.
const LIMITS: &[&str] = &[
    "what is decoded is not text",
    "the empty text cannot be replaced",
    "cannot be used for a number",
    "cannot be used in a format",
];

fn same(ours: &Answer, theirs: &opa::Said, case: &Case) -> bool {
    match (ours, &theirs.answer) {
        (Answer::Value(ours), Answer::Value(value)) => {
            matches!(ours, Value::Set(_)) == theirs.set && (alike(ours, value) || close(ours, value, case))
        }
        (Answer::Undefined, Answer::Undefined) | (Answer::Error(_), Answer::Error(_)) => true,
        (Answer::Error(why), Answer::Value(_)) => LIMITS.iter().any(|limit| why.contains(limit)),
        _ => false,
    }
}

/// OPA counts with decimal fractions, the engine with binary ones: their last digits differ.
fn close(ours: &Value, theirs: &Value, case: &Case) -> bool {
    fn largest(term: &Term) -> f64 {
        match term {
            Term::Number(number) => number.parse::<f64>().unwrap().abs(),
            Term::Array(items) | Term::Set(items) => items.iter().map(largest).fold(0.0, f64::max),
            _ => 0.0,
        }
    }
    let counts = ["+", "-", "*", "/", "sum", "product", "round", "floor", "ceil"].contains(&case.function);
    let number = |value: &Value| value.as_number().ok()?.format_decimal().parse::<f64>().ok();
    let (true, Some(ours), Some(theirs)) = (counts, number(ours), number(theirs)) else { return false };
    let scale = case.arguments.iter().map(largest).fold(theirs.abs(), f64::max);
    (ours - theirs).abs() <= scale * 1e-12
}

/// Whether a value is what JSON makes of the other one: an array of a set, text of a key.
fn alike(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Set(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().all(|item| theirs.iter().any(|other| alike(item, other)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs.iter()).all(|(item, other)| alike(item, other))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| {
                    let key = if matches!(key, Value::String(_)) { key.clone() } else { Value::from(key.to_string()) };
                    theirs.get(&key).is_some_and(|other| alike(value, other))
                })
        }
        _ => ours == theirs,
    }
}
