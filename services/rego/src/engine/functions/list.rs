//! Arrays and graphs.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use regorus::Value;

use super::arguments::{Arguments, array_of, set_of};
use super::room::few;

pub(super) fn flatten(arguments: &Arguments<'_>) -> Result<Value> {
    let mut flat = Vec::new();
    for item in arguments.array(0)? {
        match item {
            Value::Array(items) => flat.extend(items.iter().cloned()),
            item => flat.push(item.clone()),
        }
    }
    Ok(array_of(flat))
}

pub(super) fn slice(arguments: &Arguments<'_>) -> Result<Value> {
    let (items, from, to) = (arguments.array(0)?, arguments.integer(1)?, arguments.integer(2)?);
    let place = |number: i64| usize::try_from(number).unwrap_or(0).min(items.len());
    let chosen = items.get(place(from)..place(to)).unwrap_or_default();
    Ok(array_of(chosen.iter().map(|item| (*item).clone())))
}

/// The neighbours of a node; none if it is not in the graph.
fn neighbours(graph: &Value, node: &Value) -> Result<Option<Vec<Value>>> {
    let Value::Object(graph) = graph else { bail!("argument 1 must be an object") };
    Ok(graph.get(node).map(|edges| match edges {
        Value::Array(items) => items.iter().cloned().collect(),
        Value::Set(items) => items.iter().cloned().collect(),
        _ => Vec::new(),
    }))
}

pub(super) fn reachable(arguments: &Arguments<'_>) -> Result<Value> {
    let graph = arguments.value(0)?;
    neighbours(graph, &Value::Null)?;
    let mut pending: Vec<Value> = arguments.items(1)?.into_iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(node) = pending.pop() {
        if reached.contains(&node) {
            continue;
        }
        if let Some(next) = neighbours(graph, &node)?
            && reached.insert(node)
        {
            pending.extend(next);
        }
    }
    Ok(set_of(reached))
}

/// All ways from the first nodes until there is nowhere new to go. There can be far more of them than nodes, so their
/// lengths together are limited.
pub(super) fn reachable_paths(arguments: &Arguments<'_>) -> Result<Value> {
    let graph = arguments.value(0)?;
    neighbours(graph, &Value::Null)?;
    let mut paths = BTreeSet::new();
    let mut steps = 0;
    let mut pending = Vec::new();
    for node in arguments.items(1)? {
        let Some(next) = neighbours(graph, node)? else { continue };
        if next.is_empty() {
            paths.insert(array_of([node.clone()]));
        }
        steps += next.len();
        few(steps)?;
        pending.extend(next.into_iter().map(|next| (vec![node.clone()], next)));
    }
    while let Some((mut path, node)) = pending.pop() {
        steps += path.len();
        few(steps)?;
        let Some(next) = neighbours(graph, &node)? else {
            paths.insert(array_of(path));
            continue;
        };
        path.push(node);
        if next.is_empty() {
            paths.insert(array_of(path.clone()));
        }
        for next in next {
            if path.contains(&next) {
                paths.insert(array_of(path.clone()));
            } else {
                steps += path.len();
                few(steps)?;
                pending.push((path.clone(), next));
            }
        }
    }
    Ok(set_of(paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    fn json(text: &str) -> Value {
        Value::from_json_str(text).unwrap()
    }

    #[test]
    fn one_level_is_flattened() {
        assert_eq!(call("array.flatten", &[json("[1, [2, [3]], []]")]), json("[1, 2, [3]]"));
    }

    #[test]
    fn a_slice_is_cut_to_what_there_is() {
        let slice = |from: i64, to: i64| call("array.slice", &[json("[1, 2, 3]"), from.into(), to.into()]).to_string();
        assert_eq!(slice(1, 2), "[2]");
        assert_eq!(slice(-5, 9), "[1,2,3]");
        assert_eq!(slice(2, 1), "[]");
        fails("array.slice", &[json("[1]"), 0.5.into(), 1.into()]);
    }

    #[test]
    fn graphs_with_cycles_come_to_an_end() {
        let graph = json(r#"{"a": ["b"], "b": ["a", "c"], "c": []}"#);
        assert_eq!(call("graph.reachable", &[graph.clone(), json(r#"["a", "x"]"#)]).to_string(), r#"["a","b","c"]"#);
        assert_eq!(
            call("graph.reachable_paths", &[graph, json(r#"["a"]"#)]).to_string(),
            r#"[["a","b"],["a","b","c"]]"#
        );
    }

    #[test]
    fn more_paths_than_there_is_room_for_fail() {
        let all: Vec<_> = (0..20).map(Value::from).collect();
        let graph: std::collections::BTreeMap<Value, Value> =
            all.iter().map(|node| (node.clone(), array_of(all.clone()))).collect();
        fails("graph.reachable_paths", &[Value::from(graph), array_of(all)]);
    }
}
