//! What a rule mentions: the calls it makes, the names it reads, the names it makes its own.

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Rule, RuleAssign, RuleHead, Span};

use super::names::{Path, reference};

/// A call as written.
pub(super) struct Call<'a> {
    pub(super) path: Path,
    /// Whether the function's name is written out.
    pub(super) named: bool,
    pub(super) arguments: usize,
    pub(super) span: &'a Span,
}

/// A name that is read.
pub(super) struct Read<'a> {
    pub(super) path: Path,
    pub(super) span: &'a Span,
}

/// Everything a rule mentions.
#[derive(Default)]
pub(super) struct Uses<'a> {
    pub(super) calls: Vec<Call<'a>>,
    pub(super) reads: Vec<Read<'a>>,
    /// What a `with` replaces.
    pub(super) replaced: Vec<Read<'a>>,
    /// Variables of the rule itself: arguments, `some`, `every`, `:=`.
    pub(super) locals: BTreeSet<String>,
    pending: Vec<&'a Expr>,
    queries: Vec<&'a Query>,
}

impl<'a> Uses<'a> {
    /// Walks a rule with a stack of its own, since what is walked was written by a stranger.
    pub(super) fn of(rule: &'a Rule) -> Self {
        let mut uses = Self::default();
        match rule {
            Rule::Default { refr, value, .. } => {
                uses.head(refr.as_ref());
                uses.pending.push(value.as_ref());
            }
            Rule::Spec { head, bodies, .. } => {
                match head {
                    RuleHead::Compr { refr, assign, .. } => {
                        uses.head(refr.as_ref());
                        uses.assigned(assign.as_ref());
                    }
                    RuleHead::Set { refr, key, .. } => {
                        uses.head(refr.as_ref());
                        uses.pending.extend(key.iter().map(AsRef::as_ref));
                    }
                    RuleHead::Func { refr, args, assign, .. } => {
                        uses.head(refr.as_ref());
                        for argument in args {
                            uses.own(argument.as_ref());
                            uses.pending.push(argument.as_ref());
                        }
                        uses.assigned(assign.as_ref());
                    }
                }
                for body in bodies {
                    uses.assigned(body.assign.as_ref());
                    uses.queries.push(body.query.as_ref());
                }
            }
        }
        uses.drain();
        uses
    }

    fn head(&mut self, refr: &'a Expr) {
        self.pending.extend(reference(refr).computed);
    }

    fn assigned(&mut self, assign: Option<&'a RuleAssign>) {
        self.pending.extend(assign.map(|assign| assign.value.as_ref()));
    }

    fn drain(&mut self) {
        loop {
            if let Some(expr) = self.pending.pop() {
                self.expr(expr);
            } else if let Some(query) = self.queries.pop() {
                for statement in &query.stmts {
                    self.statement(statement);
                }
            } else {
                return;
            }
        }
    }

    fn statement(&mut self, statement: &'a LiteralStmt) {
        match &statement.literal {
            Literal::SomeVars { vars, .. } => {
                self.locals.extend(vars.iter().map(|name| name.text().to_owned()));
            }
            Literal::SomeIn { key, value, collection, .. } => {
                for pattern in key.iter().chain([value]) {
                    self.own(pattern.as_ref());
                    self.pending.push(pattern.as_ref());
                }
                self.pending.push(collection.as_ref());
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => {
                self.pending.push(expr.as_ref());
            }
            Literal::Every { key, value, domain, query, .. } => {
                self.locals.extend(key.iter().chain([value]).map(|name| name.text().to_owned()));
                self.pending.push(domain.as_ref());
                self.queries.push(query.as_ref());
            }
        }
        for modifier in &statement.with_mods {
            let target = reference(modifier.refr.as_ref());
            self.pending.extend(target.computed);
            self.replaced.push(Read { path: target.path, span: &modifier.span });
            self.pending.push(modifier.r#as.as_ref());
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { span, .. } | Expr::RefDot { span, .. } | Expr::RefBrack { span, .. } => {
                let reference = reference(expr);
                self.pending.extend(reference.computed);
                if !reference.path.is_empty() {
                    self.reads.push(Read { path: reference.path, span });
                }
            }
            Expr::Call { span, fcn, params, .. } => {
                let function = reference(fcn.as_ref());
                self.pending.extend(function.computed);
                self.pending.extend(params.iter().map(AsRef::as_ref));
                self.calls.push(Call { named: function.whole, path: function.path, arguments: params.len(), span });
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                self.pending.extend(items.iter().map(AsRef::as_ref));
            }
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.pending.extend([key.as_ref(), value.as_ref()]);
                }
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.pending.push(term.as_ref());
                self.queries.push(query.as_ref());
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.pending.extend([key.as_ref(), value.as_ref()]);
                self.queries.push(query.as_ref());
            }
            Expr::UnaryExpr { expr, .. } => self.pending.push(expr.as_ref()),
            Expr::BinExpr { lhs, rhs, .. } | Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } => {
                self.pending.extend([lhs.as_ref(), rhs.as_ref()]);
            }
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                if *op == AssignOp::ColEq {
                    self.own(lhs.as_ref());
                }
                self.pending.extend([lhs.as_ref(), rhs.as_ref()]);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.pending.extend(key.iter().map(AsRef::as_ref));
                self.pending.extend([value.as_ref(), collection.as_ref()]);
            }
        }
    }

    /// The variables of a pattern become the rule's own.
    fn own(&mut self, pattern: &'a Expr) {
        let mut patterns = vec![pattern];
        while let Some(pattern) = patterns.pop() {
            match pattern {
                Expr::Var { span, .. } => {
                    self.locals.insert(span.text().to_owned());
                }
                Expr::Array { items, .. } | Expr::Set { items, .. } => {
                    patterns.extend(items.iter().map(AsRef::as_ref));
                }
                Expr::Object { fields, .. } => {
                    patterns.extend(fields.iter().map(|(_, _, value)| value.as_ref()));
                }
                _ => {}
            }
        }
    }
}
