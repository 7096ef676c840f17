//! Sets put together from what doubles and nests: whichever of them comes in can be evaluated.

use std::time::Instant;

use super::*;
use crate::engine::beside_opa::dice::Dice;

const SETS: u64 = 200;
/// Small, so that what is within bounds takes little; what is not does not depend on it.
const INPUT: &str = r#"{"l": ["a"], "m": {"a": "b"}}"#;
/// What binds a name to an expression.
const BINDINGS: &[&str] = &[
    "NAME := EXPR",
    "NAME = EXPR",
    "EXPR = NAME",
    "[NAME, _] := [EXPR, 1]",
    "[EXPR, 1] = [NAME, _]",
    "some NAME in [EXPR]",
];
/// What makes more of what there is.
const EXPRESSIONS: &[&str] = &[
    "X",
    "[X]",
    "[X, X]",
    "{X}",
    "[[[[X]]]]",
    "{\"a\": X}",
    "{\"a\": X, \"b\": X}",
    "[y | y := X]",
    "[X | some y in [X, 1]]",
    "[X | [1, 2, 3][_]]",
    "{y: X | some y in [1, 2]}",
    "array.concat([X], [X])",
    "object.union({\"a\": X}, {\"b\": X})",
    "f0(X)",
    "f1(X)",
    "f2(X)",
    "[f1(X), f1(X)]",
];
/// What functions are made of.
const BODIES: &[&str] = &["[X, X]", "[[[X]]]", "[X]", "{\"a\": X, \"b\": X}", "[y | some y in [X, X]]", "X"];

/// One set: the same steps twice, and a comparison of what comes of them, which goes through all of it.
fn roll(dice: &mut Dice) -> String {
    let parameter = if dice.one_in(8) { dice.pick(&["input", "data"]) } else { "x" };
    let body = dice.pick(BODIES).replace('X', parameter);
    let mut rules = format!("f0({parameter}) := {body}\n");
    for n in 1..=2 {
        let below = format!("f{}", n - 1);
        let body = dice.pick(&["F(F(x))", "F(F(F(F(F(F(x))))))", "[F(x), F(x)]", "F(x)"]).replace('F', &below);
        rules.push_str(&format!("f{n}(x) := {body}\n"));
    }
    // Longer chains of fewer kinds of steps get further into what one of them can do.
    let kinds: Vec<&str> = (0..=dice.below(3)).map(|_| dice.pick(EXPRESSIONS)).collect();
    let bindings = [dice.pick(BINDINGS), "NAME := EXPR"];
    let steps: Vec<(&str, &str)> = (0..=dice.below(32)).map(|_| (dice.pick(&kinds), dice.pick(&bindings))).collect();
    let start = dice.pick(&["input", "input.l", "1", "\"a\""]);
    let chain = |letter: &str| -> String {
        let mut lines = format!("\t{letter}0 := {start}\n");
        for (n, (expression, binding)) in steps.iter().enumerate() {
            let made = expression.replace('X', &format!("{letter}{n}"));
            let line = binding.replace("NAME", &format!("{letter}{}", n + 1)).replace("EXPR", &made);
            lines.push_str(&format!("\t{line}\n"));
        }
        lines
    };
    let last = steps.len();
    format!("{rules}allow if {{\n{}{}\tp{last} == q{last}\n}}", chain("p"), chain("q"))
}

#[test]
fn whatever_comes_in_can_be_evaluated_on_half_the_stack_there_is() {
    let (mut fit, mut unfit) = (0, 0);
    for seed in 0..SETS {
        let rules = roll(&mut Dice::new(seed));
        let modules = texts(&rules);
        let Ok(mut compiled) = compile(&modules, Duration::from_secs(20)) else { continue };
        if compiled.vet(&modules).is_err() {
            unfit += 1;
            continue;
        }
        fit += 1;
        let begun = Instant::now();
        let evaluating = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
            let compiled = compile(&modules, Duration::from_secs(20)).ok().unwrap();
            compiled.evaluate(INPUT)
        });
        let verdict = evaluating.unwrap().join().unwrap();
        assert!(!matches!(verdict, Verdict::Failed { .. }), "seed {seed}: {verdict:?}\n{rules}");
        assert!(begun.elapsed() < Duration::from_secs(20), "seed {seed}\n{rules}");
    }
    assert!(fit > 40 && unfit > 40, "{fit} came in, {unfit} did not");
}
