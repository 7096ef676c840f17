//! How large and how deep what a set makes can become.
//!
//! The size of a value is what it takes written out: parts that are shared count each time, since comparing or printing
//! the value goes through all of them. What a query makes of the elements of a collection is bounded by what it makes of
//! an element of size one, times the size of the collection, and once what it makes of an element as large as all of
//! it: exact enough for whatever grows evenly, and never too little for what grows faster.
//!
//! The depth of a value is bounded beside its size: comparing, printing and dropping it take a part of the stack for each
//! level.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleHead};

use super::super::inspect::{head, imports, meanings};
use super::super::names::{Path, package, problem_at, reference};
use super::MAX_INPUT_BYTES;
use super::calls::{MAX_DIGITS, builtin};
use super::extent::{Extent, MAX_SIZE, Size, length};
use super::scope::{Bound, Loop, Scope};
use super::shape::parts;
use crate::text::Problem;

/// How deep an input nests: what reads it takes no more.
const INPUT_DEPTH: usize = 128;
/// Names that always stand for the same here, so nothing else may have them.
const RESERVED: [&str; 2] = ["input", "data"];
/// The most loops in one query.
const MAX_LOOPS: usize = 3;
/// How many parts are looked at, some of them several times.
const MAX_LOOKS: u32 = 200_000;

/// A rule, and what its names mean.
struct Definition<'a> {
    rule: &'a Rule,
    package: Path,
    imports: BTreeMap<String, Path>,
    scope: Scope<'a>,
}

/// Where an expression is looked at.
struct Frame<'f, 'a> {
    of: &'f Definition<'a>,
    arguments: Vec<Extent>,
    /// The size of all that was assigned, which is there at the same time.
    assigned: f64,
    /// The loops whose elements count as one.
    small: BTreeSet<Loop>,
    /// The variables that are being looked up.
    looking: Vec<&'a str>,
}

struct Sizes<'d, 'a> {
    rules: &'d BTreeMap<Path, Vec<Definition<'a>>>,
    known: BTreeMap<Path, Extent>,
    looks: u32,
}

/// Whether everything these modules make is bounded.
pub(super) fn check(modules: &[Ref<Module>]) -> Result<(), Problem> {
    let mut rules: BTreeMap<Path, Vec<Definition<'_>>> = BTreeMap::new();
    for module in modules {
        for rule in &module.policy {
            let package = package(module);
            let own = reference(head(rule).0).path;
            let definition = Definition { rule, package, imports: imports(module), scope: Scope::of(rule) };
            check_names(&definition, &own)?;
            let path = [definition.package.clone(), own].concat();
            rules.entry(path).or_default().push(definition);
        }
    }
    let mut sizes = Sizes { rules: &rules, known: BTreeMap::new(), looks: 0 };
    for path in rules.keys() {
        sizes.rule(path)?;
    }
    Ok(())
}

/// Refuses what gives another meaning to a name that is taken to stand for what a request says, or for all rules.
fn check_names(definition: &Definition<'_>, own: &[String]) -> Result<(), Problem> {
    let is_bound = |name: &str| {
        own.first().is_some_and(|own| own == name)
            || definition.scope.variables.contains_key(name)
            || definition.imports.contains_key(name)
    };
    match RESERVED.into_iter().find(|name| is_bound(name)) {
        Some(name) => Err(problem_at(definition.rule.span(), format!("`{name}` is given another meaning"))),
        None => Ok(()),
    }
}

impl<'d, 'a> Sizes<'d, 'a> {
    /// The value of a rule, all its definitions together. A function has one only where it is called.
    fn rule(&mut self, path: &Path) -> Size {
        if let Some(size) = self.known.get(path) {
            return Ok(*size);
        }
        let mut size = Extent::default();
        for definition in self.rules.get(path).into_iter().flatten() {
            if head(definition.rule).1.is_none() {
                size = size.and(self.value(definition, Vec::new())?);
            }
        }
        self.known.insert(path.clone(), size);
        Ok(size)
    }

    fn value(&mut self, of: &'d Definition<'a>, arguments: Vec<Extent>) -> Size {
        let mut frame = Frame { of, arguments, assigned: 0.0, small: BTreeSet::new(), looking: Vec::new() };
        let frame = &mut frame;
        let (head, bodies) = match of.rule {
            Rule::Default { value, .. } => return self.expr(frame, value),
            Rule::Spec { head, bodies, .. } => (head, bodies),
        };
        let (refr, own, collects) = match head {
            RuleHead::Compr { refr, assign, .. } => (refr, assign.as_ref().map(|assign| &assign.value), false),
            RuleHead::Func { refr, assign, .. } => (refr, assign.as_ref().map(|assign| &assign.value), false),
            RuleHead::Set { refr, key, .. } => (refr, key.as_ref(), true),
        };
        let keys = reference(refr);
        let collects = collects || !keys.whole;
        let terms = |own: Option<&'a Ref<Expr>>| -> Vec<&'a Expr> {
            own.into_iter().map(AsRef::as_ref).chain(keys.computed.iter().copied()).collect()
        };
        let mut size = Extent::default();
        if bodies.is_empty() {
            size = size.and(self.made(frame, &terms(own), None, collects)?);
        }
        for body in bodies {
            let own = body.assign.as_ref().map(|assign| &assign.value).or(own);
            size = size.and(self.made(frame, &terms(own), Some(&body.query), collects)?);
        }
        within_bounds(of.rule, if collects { size.inside(levels(refr)) } else { size })
    }

    /// What comes of a query: once, or for each of its results.
    fn made(
        &mut self,
        frame: &mut Frame<'d, 'a>,
        terms: &[&'a Expr],
        query: Option<&'a Query>,
        collects: bool,
    ) -> Size {
        if let Some(query) = query {
            self.query(frame, query)?;
        }
        if !collects {
            return self.all(frame, terms);
        }
        let loops = frame.of.scope.loops_of(terms, query);
        if loops.len() > MAX_LOOPS {
            return Err(problem_at(frame.of.rule.span(), "too many loops in one another"));
        }
        let mut loops: Vec<(Loop, &'a Expr)> =
            loops.into_iter().filter_map(|each| Some((each, *frame.of.scope.loops.get(&each)?))).collect();
        loops.sort_by_key(|(_, collection)| (collection.span().start, collection.span().end));
        Ok(self.repeated(frame, &loops, terms)?.inside(1))
    }

    fn repeated(&mut self, frame: &mut Frame<'d, 'a>, loops: &[(Loop, &'a Expr)], terms: &[&'a Expr]) -> Size {
        let Some(((each, collection), rest)) = loops.split_first() else {
            return self.all(frame, terms);
        };
        let count = self.expr(frame, collection)?;
        let was_small = !frame.small.insert(*each);
        let small = self.repeated(frame, rest, terms)?;
        if !was_small {
            frame.small.remove(each);
        }
        let large = self.repeated(frame, rest, terms)?;
        let all = Extent { size: count.size * small.size, ..small };
        within_bounds(frame.of.rule, all.and(large))
    }

    fn query(&mut self, frame: &mut Frame<'d, 'a>, query: &'a Query) -> Result<(), Problem> {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    for expr in key.iter().chain([value, collection]) {
                        self.expr(frame, expr)?;
                    }
                }
                Literal::Every { domain, query, .. } => {
                    self.expr(frame, domain)?;
                    self.query(frame, query)?;
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => {
                    self.expr(frame, expr)?;
                }
            }
        }
        Ok(())
    }

    /// These together, and one for what holds them.
    fn all(&mut self, frame: &mut Frame<'d, 'a>, exprs: &[&'a Expr]) -> Size {
        let mut size = Extent::flat(1.0);
        for expr in exprs {
            size = size.and(self.expr(frame, expr)?);
        }
        Ok(size)
    }

    fn expr(&mut self, frame: &mut Frame<'d, 'a>, expr: &'a Expr) -> Size {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return Err(Problem::of_set("the rules use each other too much"));
        }
        let size = match expr {
            Expr::String { value, .. } | Expr::RawString { value, .. } => {
                Extent::flat(1.0 + value.as_string().map_or(0.0, |text| length(text.len())))
            }
            Expr::Number { span, .. } => Extent::flat(length(span.text().len())),
            Expr::Bool { .. } | Expr::Null { .. } => Extent::flat(1.0),
            Expr::Array { .. } | Expr::Set { .. } | Expr::Object { .. } => self.all(frame, &parts(expr))?.inside(1),
            Expr::BinExpr { .. } | Expr::UnaryExpr { .. } => self.all(frame, &parts(expr))?,
            Expr::ArithExpr { .. } => {
                let size = self.all(frame, &parts(expr))?;
                if size.size > MAX_DIGITS {
                    return Err(problem_at(expr.span(), "the numbers or sets can be too large"));
                }
                size
            }
            Expr::AssignExpr { .. } => {
                frame.assigned += self.all(frame, &parts(expr))?.size;
                if frame.assigned > MAX_SIZE {
                    return Err(problem_at(expr.span(), "what the rule makes can be too large"));
                }
                Extent::flat(1.0)
            }
            Expr::BoolExpr { .. } | Expr::Membership { .. } => {
                self.all(frame, &parts(expr))?;
                Extent::flat(1.0)
            }
            Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => {
                self.made(frame, &parts(expr), Some(query), true)?
            }
            Expr::Var { span, .. } => self.name(frame, expr, &[span.text().to_owned()], Some(span.text()))?,
            Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(frame, expr)?,
            Expr::Call { fcn, params, .. } => self.call(frame, expr, fcn, params)?,
        };
        if size.is_too_much() {
            return Err(problem_at(expr.span(), "what this makes can be too large or too deep"));
        }
        Ok(size)
    }

    fn reference(&mut self, frame: &mut Frame<'d, 'a>, expr: &'a Expr) -> Size {
        let mut element = None;
        let mut base = expr;
        loop {
            base = match base {
                Expr::RefDot { refr, .. } => refr,
                Expr::RefBrack { refr, index, .. } => {
                    let each = Loop::at(base);
                    if let Some(collection) = frame.of.scope.loops.get(&each) {
                        element = element.or(Some((each, *collection)));
                    } else {
                        self.expr(frame, index)?;
                    }
                    refr
                }
                _ => break,
            };
        }
        if let Some((each, collection)) = element {
            return self.element(frame, each, collection);
        }
        match base {
            Expr::Var { span, .. } => self.name(frame, expr, &reference(expr).path, Some(span.text())),
            _ => self.expr(frame, base),
        }
    }

    fn element(&mut self, frame: &mut Frame<'d, 'a>, each: Loop, collection: &'a Expr) -> Size {
        let all = self.expr(frame, collection)?;
        Ok(if frame.small.contains(&each) { Extent { size: 1.0, ..all } } else { all })
    }

    /// What a name stands for: a variable of the rule, rules, or both where one hides the other.
    fn name(&mut self, frame: &mut Frame<'d, 'a>, at: &Expr, path: &[String], root: Option<&'a str>) -> Size {
        if path.first().is_some_and(|root| root == "input") {
            return Ok(Extent { size: length(MAX_INPUT_BYTES), depth: INPUT_DEPTH });
        }
        let mut size: Option<Extent> = None;
        if let Some(root) = root
            && let Some(bounds) = frame.of.scope.variables.get(root)
        {
            size = Some(self.variable(frame, at, root, bounds)?);
        }
        for path in meanings(path, &frame.of.package, &frame.of.imports) {
            let touched: Vec<&Path> =
                self.rules.keys().filter(|rule| rule.starts_with(&path) || path.starts_with(rule)).collect();
            for rule in touched {
                // Above a rule, its value is a part of what its name is made of.
                let made = self.rule(rule)?.inside(rule.len().saturating_sub(path.len()));
                size = Some(size.unwrap_or_default().and(made));
            }
        }
        size.ok_or_else(|| problem_at(at.span(), "it is not known what this stands for"))
    }

    fn variable(&mut self, frame: &mut Frame<'d, 'a>, at: &Expr, name: &'a str, bounds: &'d [Bound<'a>]) -> Size {
        if frame.looking.contains(&name) {
            return Err(problem_at(at.span(), "it is not known what this stands for"));
        }
        frame.looking.push(name);
        let mut size = Extent::default();
        for bound in bounds {
            size = size.or(match bound {
                Bound::PartOf(expr) => self.expr(frame, expr)?,
                Bound::ElementOf(each) => match frame.of.scope.loops.get(each) {
                    Some(collection) => self.element(frame, *each, collection)?,
                    None => Extent::default(),
                },
                Bound::Argument(number) => frame.arguments.get(*number).copied().unwrap_or_default(),
            });
        }
        frame.looking.pop();
        Ok(size)
    }

    fn call(&mut self, frame: &mut Frame<'d, 'a>, at: &Expr, function: &'a Expr, params: &'a [Ref<Expr>]) -> Size {
        let path = reference(function).path;
        let mut arguments = Vec::with_capacity(params.len());
        for param in params {
            arguments.push(self.expr(frame, param)?);
        }
        let own = meanings(&path, &frame.of.package, &frame.of.imports)
            .into_iter()
            .filter_map(|path| self.rules.get(&path))
            .flatten();
        let mut size: Option<Extent> = None;
        for definition in own {
            // With one argument more, it names a variable for the result.
            if head(definition.rule).1.is_some_and(|declared| declared != params.len()) {
                return Err(problem_at(at.span(), "the result is named as an argument"));
            }
            let made = self.value(definition, arguments.clone())?;
            size = Some(size.unwrap_or_default().or(made));
        }
        match size {
            Some(size) => Ok(size),
            None => builtin(at, &path.join("."), params, &arguments),
        }
    }
}

/// How many levels the name of a rule has below its first part.
fn levels(mut name: &Expr) -> usize {
    let mut levels = 0;
    while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = name {
        levels += 1;
        name = refr.as_ref();
    }
    levels
}

fn within_bounds(rule: &Rule, size: Extent) -> Size {
    if size.is_too_much() {
        return Err(problem_at(rule.span(), "what the rule makes can be too large or too deep"));
    }
    Ok(size)
}
