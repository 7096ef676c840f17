//! From text to an engine that is ready to decide.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, PolicyLengthConfig};

use super::advice::{Advice, advise};
use super::functions;
use super::graph::Graph;
use super::inspect::{Declared, Purpose, inspect};
use super::vet::vet;
use crate::set::ModuleText;
use crate::text::Problem;

/// Between two looks at the clock the engine does this many steps.
const STEPS_PER_LOOK: u32 = 8;
/// The guard bounds lines by bytes; the engine counts a tab as four columns.
const MOST_COLUMNS: NonZeroU32 = match NonZeroU32::new(4 * 16 * 1024 + 1) {
    Some(columns) => columns,
    None => NonZeroU32::MAX,
};

/// A set of modules that is ready to decide.
pub struct Compiled {
    pub(super) engine: Engine,
    pub(super) declared: Declared,
    uses: Graph,
    /// The size of the text it came from: what it costs to keep.
    pub(super) bytes: usize,
}

impl Compiled {
    /// How its modules work together.
    pub fn advice(&mut self) -> Advice {
        advise(self.engine.get_modules())
    }

    /// Whether it may be evaluated where others depend on it, over inputs of at most [`super::MAX_INPUT_BYTES`].
    ///
    /// # Errors
    /// Why it is left to a worker process. That is nothing its author need change.
    pub fn vet(&mut self, texts: &[ModuleText]) -> Result<(), Problem> {
        vet(texts, self.engine.get_modules(), &self.uses)
    }
}

/// Parses, inspects and prepares `modules` as one set. No evaluation of theirs may take longer
/// than `limit`, as far as the engine looks at its clock.
///
/// # Errors
/// What keeps the set from being used, each with its place.
pub fn compile(modules: &[ModuleText], limit: Duration) -> Result<Compiled, Vec<Problem>> {
    compile_for(Purpose::Policies, modules, limit)
}

/// As [`compile`], for one of the purposes that modules have.
pub(super) fn compile_for(purpose: Purpose, modules: &[ModuleText], limit: Duration) -> Result<Compiled, Vec<Problem>> {
    let text_of = |name: &str| modules.iter().find(|module| module.name == name).map(|module| module.rego.as_str());
    let mut engine = Engine::new();
    engine.set_rego_v0(false);
    engine.set_policy_length_config(PolicyLengthConfig { max_col: MOST_COLUMNS, ..PolicyLengthConfig::default() });
    engine.set_gather_prints(true);
    // A function that fails is an error, hence a no. Undefined would let a `deny` rule pass.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit,
        check_interval: NonZeroU32::new(STEPS_PER_LOOK).unwrap_or(NonZeroU32::MIN),
    });

    functions::install(&mut engine).map_err(|error| vec![Problem::of_set(error.to_string())])?;

    let mut problems = Vec::new();
    for module in modules {
        if let Err(error) = engine.add_policy(module.name.clone(), module.rego.clone()) {
            problems.push(Problem::from_engine(&error.to_string(), text_of));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let (declared, uses) = inspect(purpose, engine.get_modules())?;
    // The engine analyses its modules at the first query, whichever it is.
    engine
        .eval_query("true".to_owned(), false)
        .map_err(|error| vec![Problem::from_engine(&error.to_string(), text_of)])?;
    Ok(Compiled { engine, declared, uses, bytes: modules.iter().map(|module| module.rego.len()).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile_texts(texts: &[(&str, &str)]) -> Result<Compiled, Vec<Problem>> {
        let modules: Vec<_> = texts
            .iter()
            .map(|(name, rego)| ModuleText { name: (*name).to_owned(), rego: (*rego).to_owned() })
            .collect();
        compile(&modules, Duration::from_secs(5))
    }

    fn problems(texts: &[(&str, &str)]) -> Vec<Problem> {
        compile_texts(texts).err().unwrap()
    }

    #[track_caller]
    fn refused(rego: &str, line: u32, column: u32, words: &str) {
        let problem = problems(&[("m", rego)]).remove(0);
        assert_eq!((problem.line, problem.column), (line, column), "{problem:?}");
        assert!(problem.detail.contains(words), "{problem:?}");
    }

    #[test]
    fn what_does_not_parse_is_named_with_line_and_column() {
        refused("package runwarden.authz\n\nallow := if true\n", 3, 10, "keyword `if`");
        refused("package runwarden.authz\n\tallow := [1,, 2]\n", 2, 14, "expression");
        refused("allow := true\n", 1, 1, "package");
    }

    #[test]
    fn only_our_packages_are_taken() {
        for package in ["authz", "runwarden", "runwarden.lib", "runwarden.authz.x", "system"] {
            refused(&format!("package {package}\nx := 1\n"), 1, 1, "runwarden.lib.");
        }
        compile_texts(&[("m", "package runwarden.lib.names.more\nx := 1\n")]).unwrap();
    }

    #[test]
    fn unknown_and_dangerous_functions_are_refused_where_they_are_called() {
        let head = "package runwarden.authz\nallow if {\n\t";
        refused(&format!("{head}crypt.x(1)\n}}\n"), 3, 2, "no function `crypt.x`");
        refused(&format!("{head}http.send({{}}).x\n}}\n"), 3, 2, "reaches nothing");
        refused(&format!("{head}http[\"send\"]({{}})\n}}\n"), 3, 2, "`http.send`");
        refused(&format!("{head}x := time.now_ns()\n}}\n"), 3, 7, "input.time");
        refused(&format!("{head}count(1, 2, 3)\n}}\n"), 3, 2, "takes 1 argument");
        refused(&format!("{head}true with http.send as 1\n}}\n"), 3, 7, "`with`");
        refused("package runwarden.authz\nf(x) := x\nallow if f(1, 2, 3)\n", 3, 10, "takes 1");
    }

    #[test]
    fn an_undefined_variable_is_refused() {
        refused("package runwarden.authz\nallow if ghost == 1\n", 2, 10, "ghost");
    }

    #[test]
    fn recursion_is_refused_however_it_is_written() {
        for rego in [
            "f(x) := f(x)",
            "f(x) := g(x)\ng(x) := f(x)",
            "f(x) := data.runwarden.authz.f(x)",
            "f(x) := y if { y := [z | z := f(x)][0] }",
            "f(x) := 1 if { f(x) == 1 } else := 2",
            "f(x) := x if x == 1 else := f(x - 1)",
            "f(f) := f(1)",
            "a if b\nb if a",
            "a if not a",
            "a contains x if some x in a",
            "a := count(data.runwarden.authz)",
            "a[x] := 1 if { x := a.b }",
            "a if { input.x == 1 with input.y as a }",
            "a := data.runwarden[input.x].b",
        ] {
            let problem = problems(&[("m", &format!("package runwarden.authz\n{rego}\n"))]).remove(0);
            assert!(problem.detail.contains("themselves"), "{rego}: {problem:?}");
            assert!(problem.line >= 2, "{rego}: {problem:?}");
        }
    }

    #[test]
    fn recursion_across_modules_is_seen() {
        let found = problems(&[
            ("a", "package runwarden.authz\nimport data.runwarden.lib.b as bee\nf(x) := bee.g(x)\n"),
            ("b", "package runwarden.lib.b\ng(x) := data.runwarden.authz.f(x)\n"),
        ]);
        assert!(found[0].detail.contains("authz.f → lib.b.g"), "{found:?}");
    }

    #[test]
    fn what_only_looks_like_recursion_passes() {
        for rego in [
            "role := \"x\"\nf(role) := role\nallow if f(role) == role",
            "a.b := 1\na.c := a.b",
            "roles := {r | some r in input.principal.roles}\nallow if { roles := roles_of(input)\nroles }\nroles_of(x) := x.roles",
            "allow if input.allow\ndeny contains \"no\" if not allow",
            "x := y if { y := 1 }\ny := 2",
        ] {
            compile_texts(&[("m", &format!("package runwarden.authz\n{rego}\n"))])
                .unwrap_or_else(|problems| panic!("{rego}: {problems:?}"));
        }
    }

    #[test]
    fn all_problems_of_a_set_are_named() {
        let found =
            problems(&[("a", "package runwarden.authz\nallow iff\n"), ("b", "package runwarden.lib.b\nx := \n")]);
        let modules: Vec<_> = found.iter().map(|problem| problem.module.as_str()).collect();
        assert_eq!(modules, ["a", "b"]);
    }
}
