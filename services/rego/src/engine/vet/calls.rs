//! What the engine's own functions make of their arguments at most.

use regorus::unstable::{Expr, Ref};

use super::super::builtins::{self, Builtin};
use super::super::functions::regex;
use super::super::names::problem_at;
use super::extent::{Extent, Size, length};
use super::functions::{Makes, find};

/// The largest that is calculated with: what multiplying numbers of that many digits takes is more than their length.
pub(super) const MAX_DIGITS: f64 = 65_536.0;
/// The longest text that is matched with a pattern.
const MAX_MATCHED: f64 = 10_240.0;
/// The longest glob.
const MAX_GLOB: f64 = 128.0;
/// The most delimiters of a glob. Each is a part of each of its wildcards.
const MAX_DELIMITERS: usize = 8;
/// What a regular expression may take, compiled.
const MAX_REGEX: usize = 16 * 1024;
/// The widest field of a format.
const MAX_WIDTH: f64 = 10_000.0;

/// What a function of the engine makes.
pub(super) fn builtin(at: &Expr, name: &str, params: &[Ref<Expr>], arguments: &[Extent]) -> Size {
    let refused = |why: &str| Err(problem_at(at.span(), format!("`{name}`: {why}")));
    let Some(makes) = find(name) else {
        return refused("what it makes of a request is not bounded");
    };
    // With one argument more, it names a variable for the result.
    if !matches!(
        builtins::find(name),
        Builtin::Allowed(arity) | Builtin::WithoutResult(arity) if arity == params.len()
    ) {
        return refused("the result is named as an argument");
    }
    let together = arguments.iter().copied().fold(Extent::default(), Extent::and);
    let all = together.size;
    let first = arguments.first().map_or(0.0, |first| first.size);
    let rest = all - first;
    let written = params.first().and_then(|param| match param.as_ref() {
        Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok(),
        _ => None,
    });
    Ok(match makes {
        Makes::Little => Extent::flat(4.0).inside(1),
        // At most a collection of its arguments.
        Makes::Times(factor) => Extent { size: factor * all, ..together }.inside(1),
        Makes::Product => Extent::flat((first + 1.0) * (rest + 1.0)),
        Makes::Digits if all > MAX_DIGITS => return refused("the numbers can be too large"),
        Makes::Digits => Extent::flat(all),
        Makes::Formatted => match written {
            Some(format) => Extent::flat(formatted(format, rest)),
            None => return refused("its format must be written out"),
        },
        Makes::Matched if first > MAX_GLOB || rest > MAX_MATCHED => {
            return refused("the pattern or the text can be too long");
        }
        Makes::Matched if !params.get(1).is_some_and(|delimiters| are_few(delimiters)) => {
            return refused("its delimiters must be written out and few");
        }
        Makes::Expression if rest > MAX_MATCHED => return refused("the text can be too long"),
        Makes::Expression if !written.is_some_and(|pattern| regex::is_small(pattern, MAX_REGEX)) => {
            return refused("its pattern must be written out and simple");
        }
        Makes::Matched | Makes::Expression => Extent::flat(1.0),
    })
}

/// Whether these delimiters of a glob are written out, and few.
fn are_few(delimiters: &Expr) -> bool {
    match delimiters {
        Expr::Null { .. } => true,
        Expr::Array { items, .. } => {
            let is_text = |item: &Ref<Expr>| matches!(item.as_ref(), Expr::String { .. } | Expr::RawString { .. });
            items.len() <= MAX_DELIMITERS && items.iter().all(is_text)
        }
        _ => false,
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
