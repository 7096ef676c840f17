//! Which sets may be evaluated in a process that others depend on.
//!
//! The engine looks at its clock between two steps, never during one, and nothing bounds its memory or its stack. In a
//! worker process that does not matter. Elsewhere a set may be evaluated only if no step of it can be long, whatever a
//! request says: all it makes of an input of [`MAX_INPUT_BYTES`] is of bounded size and depth ([`size`]), and it nests only
//! so deep. What is not understood here is not vetted, which is no refusal: such a set decides in a worker.

mod calls;
mod extent;
mod functions;
mod scope;
mod shape;
mod size;

use regorus::unstable::{Module, Ref, Rule};

use super::graph::Graph;
use super::names::problem_at;
use crate::set::ModuleText;
use crate::text::{Problem, guard};

/// The longest input, in bytes of JSON, that a vetted set is evaluated over outside of a worker.
pub const MAX_INPUT_BYTES: usize = 8 * 1024;
/// The most text of a vetted set: what compiling it costs.
const MAX_TEXT_BYTES: usize = 32 * 1024;
/// How deep the brackets of a vetted set nest: the parser takes twice the time for each level.
const MAX_BRACKETS: usize = 6;
/// How deep the syntax tree of a rule nests: each level takes a part of the stack.
const MAX_DEPTH: usize = 32;
/// How many rules may use each other in a row: likewise.
const MAX_CHAIN: usize = 12;

/// Whether no evaluation of these modules can take long for a single step, much memory or a deep stack; if not, why
/// not. `uses` says which rules use which.
pub(super) fn vet(texts: &[ModuleText], modules: &[Ref<Module>], uses: &Graph) -> Result<(), Problem> {
    let bytes: usize = texts.iter().map(|module| module.rego.len()).sum();
    if bytes > MAX_TEXT_BYTES {
        return Err(Problem::of_set(format!("the modules have {bytes} bytes")));
    }
    for module in texts {
        if guard::depth(&module.rego) > MAX_BRACKETS {
            return Err(Problem::new(&module.name, 0, 0, "brackets nest too deep"));
        }
    }
    for rule in modules.iter().flat_map(|module| &module.policy) {
        check_shape(rule)?;
    }
    if uses.longest_way() > MAX_CHAIN {
        return Err(Problem::of_set("too many rules use each other in a row"));
    }
    size::check(modules)
}

/// Refuses rules that nest deep, and `with`, which gives rules another input than is known here.
fn check_shape(rule: &Rule) -> Result<(), Problem> {
    let mut pending: Vec<(shape::Node<'_>, usize)> = shape::of_rule(rule).into_iter().map(|node| (node, 1)).collect();
    while let Some((node, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            return Err(problem_at(rule.span(), "the rule nests too deep"));
        }
        if let shape::Node::Statement(statement) = node
            && let Some(with) = statement.with_mods.first()
        {
            return Err(problem_at(&with.span, "`with` is used"));
        }
        pending.extend(shape::within(node).into_iter().map(|inner| (inner, depth + 1)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
