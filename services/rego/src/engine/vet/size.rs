//! How large what a set makes can become.
//!
//! The size of a value is what it takes written out: parts that are shared count each time, since comparing or printing
//! the value goes through all of them. What a query makes of the elements of a collection is bounded by what it makes of
//! an element of size one, times the size of the collection, and once what it makes of an element as large as all of
//! it: exact enough for whatever grows evenly, and never too little for what grows faster.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleHead};

use super::super::functions::regex;
use super::super::inspect::{head, imports, meanings};
use super::super::names::{Path, package, problem_at, reference};
use super::MAX_INPUT_BYTES;
use super::functions::{Makes, find};
use super::scope::{Bound, Loop, Scope};
use super::shape::parts;
use crate::text::Problem;

/// The largest value.
const MAX_SIZE: f64 = 64_000_000.0;
/// The largest that is calculated with: what multiplying numbers of that many digits takes is more than their length.
const MAX_DIGITS: f64 = 65_536.0;
/// The longest text that is matched with a pattern.
const MAX_MATCHED: f64 = 65_536.0;
/// The longest glob.
const MAX_GLOB: f64 = 512.0;
/// What a regular expression may take, compiled.
const MAX_REGEX: usize = 128 * 1024;
/// The widest field of a format.
const MAX_WIDTH: f64 = 10_000.0;
/// The most loops in one query.
const MAX_LOOPS: usize = 3;
/// How many parts are looked at, some of them several times.
const MAX_LOOKS: u32 = 200_000;

type Size = Result<f64, Problem>;

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
    arguments: Vec<f64>,
    /// The loops whose elements count as one.
    small: BTreeSet<Loop>,
    /// The variables that are being looked up.
    looking: Vec<&'a str>,
}

struct Sizes<'d, 'a> {
    rules: &'d BTreeMap<Path, Vec<Definition<'a>>>,
    known: BTreeMap<Path, f64>,
    looks: u32,
}

/// Whether everything these modules make is bounded.
pub(super) fn check(modules: &[Ref<Module>]) -> Result<(), Problem> {
    let mut rules: BTreeMap<Path, Vec<Definition<'_>>> = BTreeMap::new();
    for module in modules {
        for rule in &module.policy {
            let package = package(module);
            let path = [package.clone(), reference(head(rule).0).path].concat();
            let definition = Definition { rule, package, imports: imports(module), scope: Scope::of(rule) };
            rules.entry(path).or_default().push(definition);
        }
    }
    let mut sizes = Sizes { rules: &rules, known: BTreeMap::new(), looks: 0 };
    for path in rules.keys() {
        sizes.rule(path)?;
    }
    Ok(())
}

impl<'d, 'a> Sizes<'d, 'a> {
    /// The value of a rule, all its definitions together. A function has one only where it is called.
    fn rule(&mut self, path: &Path) -> Size {
        if let Some(size) = self.known.get(path) {
            return Ok(*size);
        }
        let mut size = 0.0;
        for definition in self.rules.get(path).into_iter().flatten() {
            if head(definition.rule).1.is_none() {
                size += self.value(definition, Vec::new())?;
            }
        }
        self.known.insert(path.clone(), size);
        Ok(size)
    }

    fn value(&mut self, of: &'d Definition<'a>, arguments: Vec<f64>) -> Size {
        let mut frame = Frame { of, arguments, small: BTreeSet::new(), looking: Vec::new() };
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
        let mut size = 0.0;
        if bodies.is_empty() {
            size += self.made(frame, &terms(own), None, collects)?;
        }
        for body in bodies {
            let own = body.assign.as_ref().map(|assign| &assign.value).or(own);
            size += self.made(frame, &terms(own), Some(&body.query), collects)?;
        }
        within_bounds(of.rule, size)
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
        self.repeated(frame, &loops, terms)
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
        within_bounds(frame.of.rule, count * small + large)
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
        let mut size = 1.0;
        for expr in exprs {
            size += self.expr(frame, expr)?;
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
                1.0 + value.as_string().map_or(0.0, |text| length(text.len()))
            }
            Expr::Number { span, .. } => length(span.text().len()),
            Expr::Bool { .. } | Expr::Null { .. } => 1.0,
            Expr::Array { .. }
            | Expr::Set { .. }
            | Expr::Object { .. }
            | Expr::BinExpr { .. }
            | Expr::UnaryExpr { .. } => self.all(frame, &parts(expr))?,
            Expr::ArithExpr { .. } => {
                let size = self.all(frame, &parts(expr))?;
                if size > MAX_DIGITS {
                    return Err(problem_at(expr.span(), "the numbers or sets can be too large"));
                }
                size
            }
            Expr::BoolExpr { .. } | Expr::AssignExpr { .. } | Expr::Membership { .. } => {
                self.all(frame, &parts(expr))?;
                1.0
            }
            Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => {
                self.made(frame, &parts(expr), Some(query), true)?
            }
            Expr::Var { span, .. } => self.name(frame, expr, &[span.text().to_owned()], Some(span.text()))?,
            Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(frame, expr)?,
            Expr::Call { fcn, params, .. } => self.call(frame, expr, fcn, params)?,
        };
        if size > MAX_SIZE {
            return Err(problem_at(expr.span(), "what this makes can be too large"));
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
        Ok(if frame.small.contains(&each) { 1.0 } else { all })
    }

    /// What a name stands for: a variable of the rule, rules, or both where one hides the other.
    fn name(&mut self, frame: &mut Frame<'d, 'a>, at: &Expr, path: &[String], root: Option<&'a str>) -> Size {
        if path.first().is_some_and(|root| root == "input") {
            return Ok(length(MAX_INPUT_BYTES));
        }
        let mut size = None;
        if let Some(root) = root
            && let Some(bounds) = frame.of.scope.variables.get(root)
        {
            size = Some(self.variable(frame, at, root, bounds)?);
        }
        for path in meanings(path, &frame.of.package, &frame.of.imports) {
            let touched: Vec<&Path> =
                self.rules.keys().filter(|rule| rule.starts_with(&path) || path.starts_with(rule)).collect();
            for rule in touched {
                size = Some(size.unwrap_or(0.0) + self.rule(rule)?);
            }
        }
        size.ok_or_else(|| problem_at(at.span(), "it is not known what this stands for"))
    }

    fn variable(&mut self, frame: &mut Frame<'d, 'a>, at: &Expr, name: &'a str, bounds: &'d [Bound<'a>]) -> Size {
        if frame.looking.contains(&name) {
            return Err(problem_at(at.span(), "it is not known what this stands for"));
        }
        frame.looking.push(name);
        let mut size: f64 = 0.0;
        for bound in bounds {
            size = size.max(match bound {
                Bound::PartOf(expr) => self.expr(frame, expr)?,
                Bound::ElementOf(each) => match frame.of.scope.loops.get(each) {
                    Some(collection) => self.element(frame, *each, collection)?,
                    None => 0.0,
                },
                Bound::Argument(number) => frame.arguments.get(*number).copied().unwrap_or(0.0),
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
            .find_map(|path| self.rules.get(&path))
            .into_iter()
            .flatten();
        let mut size: Option<f64> = None;
        for definition in own {
            // With one argument more, it names a variable for the result.
            if head(definition.rule).1.is_some_and(|declared| declared != params.len()) {
                return Err(problem_at(at.span(), "the result is named as an argument"));
            }
            let made = self.value(definition, arguments.clone())?;
            size = Some(size.unwrap_or(0.0).max(made));
        }
        match size {
            Some(size) => Ok(size),
            None => builtin(at, &path.join("."), params, &arguments),
        }
    }
}

/// What a function of the engine makes.
fn builtin(at: &Expr, name: &str, params: &[Ref<Expr>], arguments: &[f64]) -> Size {
    let refused = |why: &str| Err(problem_at(at.span(), format!("`{name}`: {why}")));
    let Some(makes) = find(name) else {
        return refused("what it makes of a request is not bounded");
    };
    let all: f64 = arguments.iter().sum();
    let first = arguments.first().copied().unwrap_or(0.0);
    let rest = all - first;
    let written = params.first().and_then(|param| match param.as_ref() {
        Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok(),
        _ => None,
    });
    match makes {
        Makes::Little => Ok(4.0),
        Makes::Times(factor) => Ok(factor * all),
        Makes::Product => Ok((first + 1.0) * (rest + 1.0)),
        Makes::Digits if all > MAX_DIGITS => refused("the numbers can be too large"),
        Makes::Digits => Ok(all),
        Makes::Formatted => match written {
            Some(format) => Ok(formatted(format, rest)),
            None => refused("its format must be written out"),
        },
        Makes::Matched if first > MAX_GLOB || rest > MAX_MATCHED => refused("the pattern or the text can be too long"),
        Makes::Expression if rest > MAX_MATCHED => refused("the text can be too long"),
        Makes::Expression if !written.is_some_and(|pattern| regex::is_small(pattern, MAX_REGEX)) => {
            refused("its pattern must be written out and simple")
        }
        Makes::Matched | Makes::Expression => Ok(1.0),
    }
}

/// What `sprintf` makes of arguments of this size. Each is printed once.
fn formatted(format: &str, arguments: f64) -> f64 {
    let verbs = length(format.matches('%').count());
    // A text is quoted, at worst each letter of it; a number of five bytes, such as 1e308, has 309 digits.
    let is_plain = |verb: &str| verb.starts_with(['s', 'v', 'q', '%']) || verb.is_empty();
    let factor = if format.split('%').skip(1).all(is_plain) { 6.0 } else { 64.0 };
    let width = if format.contains(|letter: char| letter.is_ascii_digit()) { MAX_WIDTH } else { 16.0 };
    length(format.len()) + verbs * width + factor * arguments
}

fn within_bounds(rule: &Rule, size: f64) -> Size {
    if size > MAX_SIZE {
        return Err(problem_at(rule.span(), "what the rule makes can be too large"));
    }
    Ok(size)
}

#[expect(clippy::cast_precision_loss, reason = "lengths of text that fits into memory")]
fn length(bytes: usize) -> f64 {
    bytes as f64
}
