//! The syntax tree as one kind of node and what lies right below it.

use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule, RuleHead};

/// A part of a rule.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Expr(&'a Expr),
    Statement(&'a LiteralStmt),
}

/// The parts of a rule.
pub(super) fn of_rule(rule: &Rule) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    match rule {
        Rule::Default { refr, value, .. } => nodes.extend([refr, value].map(|expr| Node::Expr(expr))),
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    nodes.push(Node::Expr(refr));
                    nodes.extend(assign.iter().map(|assign| Node::Expr(&assign.value)));
                }
                RuleHead::Set { refr, key, .. } => {
                    nodes.push(Node::Expr(refr));
                    nodes.extend(key.iter().map(|key| Node::Expr(key)));
                }
                RuleHead::Func { refr, args, assign, .. } => {
                    nodes.push(Node::Expr(refr));
                    nodes.extend(args.iter().map(|argument| Node::Expr(argument)));
                    nodes.extend(assign.iter().map(|assign| Node::Expr(&assign.value)));
                }
            }
            for body in bodies {
                nodes.extend(body.assign.iter().map(|assign| Node::Expr(&assign.value)));
                nodes.extend(of_query(&body.query));
            }
        }
    }
    nodes
}

/// The statements of a query.
pub(super) fn of_query(query: &Query) -> impl Iterator<Item = Node<'_>> {
    query.stmts.iter().map(Node::Statement)
}

/// The query of a comprehension.
pub(super) fn query_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => Some(query),
        _ => None,
    }
}

/// What lies right below a node.
pub(super) fn within(node: Node<'_>) -> Vec<Node<'_>> {
    match node {
        Node::Statement(statement) => within_statement(statement),
        Node::Expr(expr) => {
            let mut nodes: Vec<_> = parts(expr).into_iter().map(Node::Expr).collect();
            nodes.extend(query_of(expr).into_iter().flat_map(of_query));
            nodes
        }
    }
}

fn within_statement(statement: &LiteralStmt) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    match &statement.literal {
        Literal::SomeVars { .. } => {}
        Literal::SomeIn { key, value, collection, .. } => {
            nodes.extend(key.iter().chain([value, collection]).map(|expr| Node::Expr(expr)));
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => nodes.push(Node::Expr(expr)),
        Literal::Every { domain, query, .. } => {
            nodes.push(Node::Expr(domain));
            nodes.extend(of_query(query));
        }
    }
    nodes
}

/// The expressions an expression is put together from, without the query of a comprehension.
pub(super) fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => Vec::new(),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().map(AsRef::as_ref).collect(),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()]).collect()
        }
        Expr::ArrayCompr { term, .. } | Expr::SetCompr { term, .. } => vec![term],
        Expr::ObjectCompr { key, value, .. } => vec![key, value],
        Expr::Call { fcn, params, .. } => [fcn].into_iter().chain(params).map(AsRef::as_ref).collect(),
        Expr::UnaryExpr { expr, .. } => vec![expr],
        Expr::RefDot { refr, .. } => vec![refr],
        Expr::RefBrack { refr, index, .. } => vec![refr, index],
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => vec![lhs, rhs],
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
        }
    }
}
