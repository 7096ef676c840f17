//! The variables of a rule, and the collections it goes through.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{AssignOp, Expr, Literal, Query, Rule, RuleHead};

use super::shape::{Node, of_query, of_rule, parts, query_of, within};

/// One collection that a query goes through, by the place that says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Loop(*const Expr);

impl Loop {
    /// The loop over an index, or over the collection of `some … in`.
    pub(super) fn at(expr: &Expr) -> Self {
        Self(std::ptr::from_ref(expr))
    }
}

/// What a variable can be.
#[derive(Clone, Copy)]
pub(super) enum Bound<'a> {
    /// All or a part of a value.
    PartOf(&'a Expr),
    /// An element, or its key, of the collection of a loop.
    ElementOf(Loop),
    /// All or a part of the argument of this number.
    Argument(usize),
}

/// The variables of a rule by name, wherever in it they are bound, and its loops.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) variables: BTreeMap<&'a str, Vec<Bound<'a>>>,
    /// The collection of each loop.
    pub(super) loops: BTreeMap<Loop, &'a Expr>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(rule: &'a Rule) -> Self {
        let mut scope = Self::default();
        if let Rule::Spec { head: RuleHead::Func { args, .. }, .. } = rule {
            for (number, argument) in args.iter().enumerate() {
                scope.bind(argument, Bound::Argument(number));
            }
        }
        let arguments: BTreeSet<&str> = scope.variables.keys().copied().collect();
        let nodes = of_rule(rule);
        scope.visit(&nodes, &arguments);
        scope
    }

    /// Takes in the statements and expressions of one query; `known` is what is bound around it.
    fn visit(&mut self, nodes: &[Node<'a>], known: &BTreeSet<&'a str>) {
        let mut known = known.clone();
        // Bindings first: the engine puts statements into the order it needs.
        let mut inner = Vec::new();
        let mut indices = Vec::new();
        let mut pending = nodes.to_vec();
        while let Some(node) = pending.pop() {
            match node {
                Node::Statement(statement) => match &statement.literal {
                    Literal::SomeIn { key, value, collection, .. } => {
                        let each = Loop::at(collection);
                        self.loops.insert(each, collection);
                        for pattern in key.iter().chain([value]) {
                            known.extend(self.bind(pattern, Bound::ElementOf(each)));
                        }
                    }
                    Literal::Every { key, value, domain, query, .. } => {
                        let names: BTreeSet<&str> = key.iter().chain([value]).map(|name| name.text()).collect();
                        for name in &names {
                            self.variables.entry(name).or_default().push(Bound::PartOf(domain));
                        }
                        inner.push((of_query(query).collect(), names));
                        pending.push(Node::Expr(domain));
                        continue;
                    }
                    _ => {}
                },
                Node::Expr(Expr::AssignExpr { op, lhs, rhs, .. }) => {
                    known.extend(self.bind(lhs, Bound::PartOf(rhs)));
                    // `=` makes both sides the same: whichever of them is known binds the other.
                    if matches!(op, AssignOp::Eq) {
                        known.extend(self.bind(rhs, Bound::PartOf(lhs)));
                    }
                }
                Node::Expr(expr @ Expr::RefBrack { refr, index, .. }) => {
                    if let Expr::Var { span, .. } = index.as_ref() {
                        indices.push((expr, refr.as_ref(), span.text()));
                    }
                }
                Node::Expr(expr) if query_of(expr).is_some() => {
                    inner.push((within(node), BTreeSet::new()));
                    continue;
                }
                Node::Expr(_) => {}
            }
            pending.extend(within(node));
        }
        // An index that nothing else binds goes through what it is an index of.
        for (expr, collection, index) in indices {
            if index == "_" || !known.contains(index) {
                let each = Loop::at(expr);
                self.loops.insert(each, collection);
                self.variables.entry(index).or_default().push(Bound::ElementOf(each));
            }
        }
        for (nodes, own) in inner {
            self.visit(&nodes, &known.union(&own).copied().collect());
        }
    }

    /// Binds the variables of a pattern, and says which.
    fn bind(&mut self, pattern: &'a Expr, bound: Bound<'a>) -> Vec<&'a str> {
        let mut patterns = vec![pattern];
        let mut names = Vec::new();
        while let Some(pattern) = patterns.pop() {
            match pattern {
                Expr::Var { span, .. } => {
                    self.variables.entry(span.text()).or_default().push(bound);
                    names.push(span.text());
                }
                Expr::Array { .. } | Expr::Set { .. } | Expr::Object { .. } => patterns.extend(parts(pattern)),
                _ => {}
            }
        }
        names
    }

    /// The loops of a query and of what is made for each of its results; not those of comprehensions in it and of
    /// `every`, which end before.
    pub(super) fn loops_of(&self, terms: &[&'a Expr], query: Option<&'a Query>) -> BTreeSet<Loop> {
        let mut pending: Vec<Node<'a>> = terms.iter().map(|term| Node::Expr(term)).collect();
        pending.extend(query.into_iter().flat_map(of_query));
        let mut found = BTreeSet::new();
        while let Some(node) = pending.pop() {
            match node {
                Node::Statement(statement) => {
                    if let Literal::Every { domain, .. } = &statement.literal {
                        pending.push(Node::Expr(domain));
                        continue;
                    }
                }
                Node::Expr(expr) => {
                    // That of `some … in` is known by its collection, which is one of the statement's parts.
                    if self.loops.contains_key(&Loop::at(expr)) {
                        found.insert(Loop::at(expr));
                    }
                    if query_of(expr).is_some() {
                        continue;
                    }
                }
            }
            pending.extend(within(node));
        }
        found
    }
}
