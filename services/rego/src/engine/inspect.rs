//! What parsed modules must be before they may run: in the right package, calling only what there
//! is, and never themselves.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead, Span};

use super::builtins::{self, Builtin};
use super::graph::Graph;
use super::names::{self, Path, problem_at, readable, reference};
use super::uses::{Call, Uses};
use crate::text::Problem;

/// The most rules a module may have.
const MAX_RULES: usize = 1000;
/// The most problems that are worth naming at once.
const MAX_PROBLEMS: usize = 20;

/// What modules are for. Those of one purpose do not see those of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Purpose {
    /// They decide what may be run.
    #[default]
    Policies,
    /// One filters and maps what is delivered to a hook.
    Hook,
}

/// Which of the rules that decide are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) package: bool,
    /// Whether a module of the package has neither `allow` nor `deny`.
    pub(super) undecided: bool,
    pub(super) allow: bool,
    pub(super) deny: bool,
    pub(super) reasons: bool,
    /// Of a hook's module.
    pub(super) accept: bool,
    pub(super) parameters: bool,
    pub(super) reference: bool,
}

/// Looks at all modules together; the answer says what decides and which rules use which, or what is
/// wrong.
pub(super) fn inspect(purpose: Purpose, modules: &[Ref<Module>]) -> Result<(Declared, Graph), Vec<Problem>> {
    let mut inspection = Inspection { purpose, ..Inspection::default() };
    for module in modules {
        inspection.check_package(module);
        inspection.declare(module);
    }
    for module in modules {
        inspection.check_rules(module);
    }
    inspection.check_cycles();
    if inspection.problems.is_empty() {
        Ok((inspection.declared, inspection.graph))
    } else {
        inspection.problems.truncate(MAX_PROBLEMS);
        Err(inspection.problems)
    }
}

#[derive(Default)]
struct Inspection<'a> {
    purpose: Purpose,
    problems: Vec<Problem>,
    declared: Declared,
    graph: Graph,
    /// Where each node was first declared.
    places: BTreeMap<usize, &'a Span>,
    /// The numbers of arguments a function is declared with.
    functions: BTreeMap<usize, BTreeSet<usize>>,
}

impl<'a> Inspection<'a> {
    fn refuse(&mut self, span: &Span, detail: impl AsRef<str>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem_at(span, detail));
        }
    }

    fn check_package(&mut self, module: &'a Module) {
        let package = names::package(module);
        let parts: Vec<&str> = package.iter().map(String::as_str).collect();
        match (self.purpose, parts.as_slice()) {
            (Purpose::Policies, ["data", "runwarden", "authz"]) | (Purpose::Hook, ["data", "runwarden", "hook"]) => {
                self.declared.package = true;
            }
            (Purpose::Policies, ["data", "runwarden", "lib", _, ..]) => {}
            (Purpose::Hook, _) => self.refuse(&module.package.span, "the package must be `runwarden.hook`"),
            (Purpose::Policies, _) => self.refuse(
                &module.package.span,
                "the package must be `runwarden.authz`, where `allow` and `deny` decide, or begin with `runwarden.lib.`",
            ),
        }
        if let Some(rule) = module.policy.get(MAX_RULES) {
            self.refuse(rule.span(), format!("the module has more than {MAX_RULES} rules"));
        }
    }

    fn declare(&mut self, module: &'a Module) {
        let package = names::package(module);
        let mut decides = false;
        for rule in &module.policy {
            let (refr, arguments) = head(rule);
            let mut path = package.clone();
            path.extend(reference(refr).path);
            let node = self.graph.node(&path);
            self.places.entry(node).or_insert(refr.span());
            if let Some(arguments) = arguments {
                self.functions.entry(node).or_default().insert(arguments);
            }
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            if let ["data", "runwarden", "authz", name, ..] = parts.as_slice() {
                match *name {
                    "allow" => (self.declared.allow, decides) = (true, true),
                    "deny" => (self.declared.deny, decides) = (true, true),
                    "reasons" => self.declared.reasons = true,
                    _ => {}
                }
            }
            if let ["data", "runwarden", "hook", name, ..] = parts.as_slice() {
                match *name {
                    "accept" => self.declared.accept = true,
                    "parameters" => self.declared.parameters = true,
                    "reference" => self.declared.reference = true,
                    _ => {}
                }
            }
        }
        if !decides && package == ["data", "runwarden", "authz"] {
            self.declared.undecided = true;
        }
    }

    fn check_rules(&mut self, module: &'a Module) {
        let package = names::package(module);
        let imports = imports(module);
        for rule in &module.policy {
            let (refr, _) = head(rule);
            let mut path = package.clone();
            path.extend(reference(refr).path);
            let user = self.graph.node(&path);
            let uses = Uses::of(rule);
            for read in &uses.replaced {
                if !matches!(read.path.first().map(String::as_str), Some("input" | "data")) {
                    self.refuse(read.span, "`with` may replace parts of `input` or `data` only");
                }
            }
            for read in &uses.reads {
                let local = read.path.first().is_some_and(|name| uses.locals.contains(name));
                if local {
                    continue;
                }
                for path in meanings(&read.path, &package, &imports) {
                    for used in self.graph.touched(&path) {
                        self.graph.add_use(user, used);
                    }
                }
            }
            for call in &uses.calls {
                self.check_call(call, user, &package, &imports);
            }
        }
    }

    fn check_call(&mut self, call: &Call<'_>, user: usize, package: &Path, imports: &BTreeMap<String, Path>) {
        if !call.named {
            self.refuse(call.span, "a function must be called by its name");
            return;
        }
        let mut own = false;
        for path in meanings(&call.path, package, imports) {
            let Some(node) = self.graph.exact(&path) else {
                continue;
            };
            self.graph.add_use(user, node);
            if let Some(arities) = self.functions.get(&node) {
                own = true;
                // One more than declared is the old way to name a variable for the result.
                let fits = arities.iter().any(|arity| call.arguments == *arity || call.arguments == arity + 1);
                if !fits {
                    let wanted: Vec<_> = arities.iter().map(usize::to_string).collect();
                    self.refuse(
                        call.span,
                        format!(
                            "`{}` takes {} argument(s), not {}",
                            readable(&path),
                            wanted.join(" or "),
                            call.arguments
                        ),
                    );
                }
            }
        }
        if own {
            return;
        }
        let name = call.path.join(".");
        match builtins::find(&name) {
            Builtin::Variadic => {}
            Builtin::Allowed(arity) => {
                if call.arguments != arity && call.arguments != arity.saturating_add(1) {
                    self.refuse(call.span, format!("`{name}` takes {arity} argument(s), not {}", call.arguments));
                }
            }
            Builtin::WithoutResult(arity) => {
                if call.arguments != arity {
                    let detail = if call.arguments == arity + 1 {
                        format!("name the result before the call: `x := {name}(…)`")
                    } else {
                        format!("`{name}` takes {arity} argument(s), not {}", call.arguments)
                    };
                    self.refuse(call.span, detail);
                }
            }
            Builtin::Refused(why) => {
                self.refuse(call.span, format!("`{name}` cannot be used: {why}"));
            }
            Builtin::Unknown => self.refuse(call.span, format!("there is no function `{name}`")),
        }
    }

    fn check_cycles(&mut self) {
        let Some(cycle) = self.graph.cycle() else {
            return;
        };
        let way: Vec<String> = cycle.iter().chain(cycle.first()).map(|node| readable(self.graph.path(*node))).collect();
        let span = cycle.first().and_then(|node| self.places.get(node)).copied();
        let detail = format!("rules must not depend on themselves: {}", way.join(" → "));
        match span {
            Some(span) => self.refuse(span, detail),
            None => self.problems.push(Problem::of_set(detail)),
        }
    }
}

/// The name of a rule and, for a function, how many arguments it takes.
pub(super) fn head(rule: &Rule) -> (&Expr, Option<usize>) {
    match rule {
        Rule::Default { refr, args, .. } => (refr.as_ref(), (!args.is_empty()).then_some(args.len())),
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } => (refr.as_ref(), None),
            RuleHead::Func { refr, args, .. } => (refr.as_ref(), Some(args.len())),
        },
    }
}

/// The names a module imports, with the path each stands for.
pub(super) fn imports(module: &Module) -> BTreeMap<String, Path> {
    module
        .imports
        .iter()
        .filter_map(|import| {
            let path = reference(import.refr.as_ref()).path;
            let name = match &import.r#as {
                Some(alias) => alias.text().to_owned(),
                None => path.last()?.clone(),
            };
            Some((name, path))
        })
        .collect()
}

/// The paths from `data` on that a name may stand for where it is written.
pub(super) fn meanings(path: &[String], package: &Path, imports: &BTreeMap<String, Path>) -> Vec<Path> {
    let Some((root, rest)) = path.split_first() else {
        return Vec::new();
    };
    match root.as_str() {
        "input" => Vec::new(),
        "data" => vec![path.to_vec()],
        _ => {
            let imported = imports
                .get(root)
                .filter(|target| target.first().is_some_and(|first| first == "data"))
                .map(|target| [target.as_slice(), rest].concat());
            let own = [package.as_slice(), path].concat();
            imported.into_iter().chain([own]).collect()
        }
    }
}
