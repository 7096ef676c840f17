//! Paths and places in the engine's syntax tree.

use regorus::unstable::{Expr, Module, Span};

use crate::text::Problem;

/// A dotted path, such as `data.runwarden.authz.allow`, one part a component.
pub(super) type Path = Vec<String>;

/// The path a reference begins with, as far as it is written out.
pub(super) struct Reference<'a> {
    /// The components up to the first one that is computed; empty when it hangs on no name.
    pub(super) path: Path,
    /// Whether nothing in it is computed.
    pub(super) whole: bool,
    /// What is computed on the way: indices, and what it hangs on when that is no name.
    pub(super) computed: Vec<&'a Expr>,
}

pub(super) fn reference(expr: &Expr) -> Reference<'_> {
    let mut backwards: Vec<Option<String>> = Vec::new();
    let mut computed = Vec::new();
    let mut current = expr;
    loop {
        match current {
            Expr::RefDot { refr, field, .. } => {
                backwards.push(Some(field.0.text().to_owned()));
                current = refr.as_ref();
            }
            Expr::RefBrack { refr, index, .. } => {
                match index.as_ref() {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => {
                        backwards.push(value.as_string().ok().map(|text| text.to_string()));
                    }
                    other => {
                        backwards.push(None);
                        computed.push(other);
                    }
                }
                current = refr.as_ref();
            }
            Expr::Var { span, .. } => {
                backwards.push(Some(span.text().to_owned()));
                break;
            }
            other => {
                computed.push(other);
                backwards.push(None);
                break;
            }
        }
    }
    let parts = backwards.len();
    let path: Path = backwards.into_iter().rev().map_while(|part| part).collect();
    Reference { whole: path.len() == parts, path, computed }
}

/// The path of a module's package, from `data` on.
pub(super) fn package(module: &Module) -> Path {
    let mut path = vec!["data".to_owned()];
    path.extend(reference(module.package.refr.as_ref()).path);
    path
}

/// A problem at a piece of source.
pub(super) fn problem_at(span: &Span, detail: impl AsRef<str>) -> Problem {
    let start = usize::try_from(span.start).unwrap_or(0);
    let before = span.source.get_contents().get(..start).unwrap_or_default();
    let column = before.chars().rev().take_while(|character| *character != '\n').count();
    let column = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1);
    Problem::new(span.source.get_path(), span.line, column, detail)
}

/// A path as its author writes it: without `data.runwarden.`.
pub(super) fn readable(path: &[String]) -> String {
    match path {
        [data, runwarden, rest @ ..] if data == "data" && runwarden == "runwarden" && !rest.is_empty() => {
            rest.join(".")
        }
        _ => path.join("."),
    }
}
