//! How modules work together: what one of them makes void of another, and what their author should look at. It is
//! looked for when a module is stored, never when something is decided.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Module, Ref, Rule, RuleHead, Span};
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::inspect::{head, imports, meanings};
use super::names::{self, Path, problem_at, readable, reference};
use super::uses::Uses;
use crate::text::Problem;

/// The most of each that is worth naming.
const MOST: usize = 20;

/// One module makes void what others say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What does it, and where.
    pub problem: Problem,
    /// The modules it does it to.
    pub with: Vec<String>,
}

/// What there is to say about a set that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What is void.
    pub conflicts: Vec<Conflict>,
    /// What is worth a look.
    pub warnings: Vec<Problem>,
}

/// A rule with what is needed of it here.
struct Seen<'a> {
    module: &'a str,
    path: Path,
    span: &'a Span,
    rule: &'a Rule,
    node: usize,
}

impl Seen<'_> {
    /// The name, if it is one of the rules of `runwarden.authz` itself.
    fn name(&self) -> Option<&str> {
        match self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["data", "runwarden", "authz", _, ..] => self.path.get(3).map(String::as_str),
            _ => None,
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name() == Some(name)
    }
}

/// Looks at a set that was inspected and found fit.
pub(super) fn advise(modules: &[Ref<Module>]) -> Advice {
    let set = Set::of(modules);
    let mut advice = Advice { conflicts: set.unconditional_allows(), warnings: Vec::new() };
    advice.conflicts.extend(set.whole_denies());
    advice.warnings.extend(set.several_allows());
    advice.warnings.extend(set.undecided(modules));
    advice.warnings.extend(set.unused());
    advice.warnings.extend(set.shared());
    advice.conflicts.truncate(MOST);
    advice.warnings.truncate(MOST);
    advice
}

struct Set<'a> {
    rules: Vec<Seen<'a>>,
    /// What each node uses.
    uses: BTreeMap<usize, BTreeSet<usize>>,
    /// Nodes whose rules read the request themselves.
    reading: BTreeSet<usize>,
    /// Rules, by their place in `rules`, that read the request themselves.
    reading_rules: BTreeSet<usize>,
    /// What each rule uses, by its place in `rules`.
    uses_of_rules: Vec<BTreeSet<usize>>,
}

impl<'a> Set<'a> {
    fn of(modules: &'a [Ref<Module>]) -> Self {
        let mut graph = Graph::default();
        let mut rules = Vec::new();
        for module in modules {
            let package = names::package(module);
            for rule in &module.policy {
                let (refr, _) = head(rule);
                let path: Path = [package.clone(), reference(refr).path].concat();
                let node = graph.node(&path);
                let span = refr.span();
                rules.push(Seen { module: span.source.get_path(), path, span, rule, node });
            }
        }
        let mut set = Self {
            uses: BTreeMap::new(),
            reading: BTreeSet::new(),
            reading_rules: BTreeSet::new(),
            uses_of_rules: Vec::new(),
            rules,
        };
        for module in modules {
            let (package, imports) = (names::package(module), imports(module));
            for rule in &module.policy {
                set.look_at(rule, &package, &imports, &graph);
            }
        }
        set
    }

    /// Modules are looked at in the order their rules were listed in.
    fn look_at(&mut self, rule: &'a Rule, package: &Path, imports: &BTreeMap<String, Path>, graph: &Graph) {
        let place = self.uses_of_rules.len();
        let Some(node) = self.rules.get(place).map(|seen| seen.node) else { return };
        let uses = Uses::of(rule);
        let mut used = BTreeSet::new();
        let mut reads_request = false;
        for read in &uses.reads {
            let Some(root) = read.path.first().filter(|root| !uses.locals.contains(*root)) else { continue };
            let imported = imports.get(root).and_then(|target| target.first());
            reads_request |= root == "input" || imported.is_some_and(|first| first == "input");
            for path in meanings(&read.path, package, imports) {
                used.extend(graph.touched(&path));
            }
        }
        for call in &uses.calls {
            used.extend(meanings(&call.path, package, imports).iter().filter_map(|path| graph.exact(path)));
        }
        if reads_request {
            self.reading.insert(node);
            self.reading_rules.insert(place);
        }
        self.uses.entry(node).or_default().extend(&used);
        self.uses_of_rules.push(used);
    }

    /// Whether the outcome of a rule can depend on the request.
    fn depends_on_request(&self, place: usize) -> bool {
        if self.reading_rules.contains(&place) {
            return true;
        }
        let mut pending: Vec<usize> = self.uses_of_rules.get(place).into_iter().flatten().copied().collect();
        let mut seen = BTreeSet::new();
        while let Some(node) = pending.pop() {
            if self.reading.contains(&node) {
                return true;
            }
            if seen.insert(node) {
                pending.extend(self.uses.get(&node).into_iter().flatten());
            }
        }
        false
    }

    /// The modules that declare a rule of this name, in order, each once.
    fn declaring(&self, name: &str) -> Vec<&'a str> {
        let modules: BTreeSet<&str> = self.rules.iter().filter(|seen| seen.is(name)).map(|seen| seen.module).collect();
        modules.into_iter().collect()
    }

    fn others(&self, name: &str, but: &str) -> Vec<String> {
        self.declaring(name).into_iter().filter(|module| *module != but).map(str::to_owned).collect()
    }

    fn unconditional_allows(&self) -> Vec<Conflict> {
        let voids = |(place, seen): (usize, &Seen<'_>)| {
            let with = self.others("allow", seen.module);
            if with.is_empty() || !says_yes(seen.rule) || self.depends_on_request(place) {
                return None;
            }
            let detail = format!(
                "this `allow` does not depend on the request, so it makes the conditions of `allow` in {} void. A module that only denies needs no `allow`: remove it",
                listed(&with)
            );
            Some(Conflict { problem: problem_at(seen.span, detail), with })
        };
        self.rules.iter().enumerate().filter(|(_, seen)| seen.is("allow")).filter_map(voids).collect()
    }

    /// `deny` as one value, where other modules deny too.
    fn whole_denies(&self) -> Vec<Conflict> {
        let whole =
            |seen: &&Seen<'_>| seen.is("deny") && !matches!(seen.rule, Rule::Spec { head: RuleHead::Set { .. }, .. });
        let voids = |seen: &Seen<'_>| {
            let with = self.others("deny", seen.module);
            let detail = format!(
                "write `deny contains …`: a single value for `deny` would replace what is denied in {}",
                listed(&with)
            );
            (!with.is_empty()).then(|| Conflict { problem: problem_at(seen.span, detail), with })
        };
        self.rules.iter().filter(whole).filter_map(voids).collect()
    }

    fn several_allows(&self) -> Vec<Problem> {
        let mut told = BTreeSet::new();
        let mut warnings = Vec::new();
        for seen in self.rules.iter().filter(|seen| seen.is("allow")) {
            let others = self.others("allow", seen.module);
            if !others.is_empty() && told.insert(seen.module) {
                let detail = format!(
                    "`allow` is also defined in {}: whatever either of them allows is allowed. Put what must never happen into `deny`",
                    listed(&others)
                );
                warnings.push(problem_at(seen.span, detail));
            }
        }
        warnings
    }

    /// Modules that decide nothing. While no module allows anything they also keep the others from doing so.
    fn undecided(&self, modules: &'a [Ref<Module>]) -> Vec<Problem> {
        let deciding: BTreeSet<&str> =
            self.rules.iter().filter(|seen| seen.is("allow") || seen.is("deny")).map(|seen| seen.module).collect();
        let decides_nothing = |module: &&Ref<Module>| {
            let package = names::package(module);
            package == ["data", "runwarden", "authz"]
                && !deciding.contains(module.package.span.source.get_path().as_str())
        };
        let closed = if self.declaring("allow").is_empty() { ", so nothing is allowed at all" } else { "" };
        let detail = format!(
            "the module defines neither `allow` nor `deny`{closed}. Shared rules belong in a package below `runwarden.lib`"
        );
        modules.iter().filter(decides_nothing).map(|module| problem_at(&module.package.span, &detail)).collect()
    }

    /// Rules of `runwarden.authz` that nothing looks at: most are misspelled.
    fn unused(&self) -> Vec<Problem> {
        let used: BTreeSet<usize> = self.uses_of_rules.iter().flatten().copied().collect();
        let mut told = BTreeSet::new();
        self.rules
            .iter()
            .filter(|seen| seen.name().is_some_and(|name| !["allow", "deny", "reasons"].contains(&name)))
            .filter(|seen| !used.contains(&seen.node) && told.insert(seen.node))
            .map(|seen| problem_at(seen.span, format!("nothing uses `{}`", readable(&seen.path))))
            .collect()
    }

    /// Rules that several modules make together, but for those that are meant to be.
    fn shared(&self) -> Vec<Problem> {
        let mut modules: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
        for seen in &self.rules {
            modules.entry(&seen.path).or_default().insert(seen.module);
        }
        let mut told = BTreeSet::new();
        let mut warnings = Vec::new();
        for seen in &self.rules {
            if seen.name().is_some_and(|name| ["allow", "deny", "reasons"].contains(&name)) {
                continue;
            }
            let others: Vec<String> = modules
                .get(&seen.path)
                .into_iter()
                .flatten()
                .filter(|module| **module != seen.module)
                .map(|module| (*module).to_owned())
                .collect();
            if !others.is_empty() && told.insert((seen.module, seen.node)) {
                let detail = format!(
                    "`{}` is also defined in {}: each module can change what the other decides",
                    readable(&seen.path),
                    listed(&others)
                );
                warnings.push(problem_at(seen.span, detail));
            }
        }
        warnings
    }
}

/// Whether a rule that depends on nothing makes `allow` true.
fn says_yes(rule: &Rule) -> bool {
    match rule {
        Rule::Default { value, .. } => is_bool(value.as_ref(), "true"),
        Rule::Spec { head: RuleHead::Compr { assign, .. }, bodies, .. } => {
            let value = assign.as_ref().map(|assign| assign.value.as_ref());
            let never = bodies.first().is_some_and(|body| {
                body.query.stmts.iter().any(|statement| match &statement.literal {
                    Literal::Expr { expr, .. } => is_bool(expr.as_ref(), "false"),
                    _ => false,
                })
            });
            !never && value.is_none_or(|value| !is_bool(value, "false"))
        }
        Rule::Spec { .. } => false,
    }
}

fn is_bool(expr: &Expr, text: &str) -> bool {
    matches!(expr, Expr::Bool { span, .. } if span.text() == text)
}

/// "module `a`", "modules `a` and `b`".
fn listed(modules: &[String]) -> String {
    let names: Vec<String> = modules.iter().map(|module| format!("`{module}`")).collect();
    match names.split_last() {
        Some((last, [])) => format!("module {last}"),
        Some((last, others)) => format!("modules {} and {last}", others.join(", ")),
        None => String::new(),
    }
}
