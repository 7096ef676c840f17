//! `json.filter`, `json.remove` and `object.subset`.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, array_of, set_of};
use super::room::MAX_TEXT;

/// The longest path.
const MAX_STEPS: usize = 1000;

/// Paths as a tree.
enum Node {
    /// A path ends here.
    End,
    Inner(BTreeMap<Value, Self>),
}

impl Node {
    /// The tree of the paths in an argument. What begins with a shorter path belongs to that one.
    fn of(arguments: &Arguments<'_>, place: usize) -> Result<Self> {
        let mut root = BTreeMap::new();
        for path in arguments.items(place)? {
            let path = segments(path)?;
            ensure!(path.len() <= MAX_STEPS, "a path has more than {MAX_STEPS} steps");
            add(&mut root, &path);
        }
        Ok(Self::Inner(root))
    }

    fn child(&self, key: &Value) -> Option<&Self> {
        match self {
            Self::End => None,
            Self::Inner(children) => children.get(key),
        }
    }
}

fn add(children: &mut BTreeMap<Value, Node>, path: &[Value]) {
    match path {
        [] => {}
        [last] => {
            children.insert(last.clone(), Node::End);
        }
        [step, rest @ ..] => {
            if let Node::Inner(next) = children.entry(step.clone()).or_insert_with(|| Node::Inner(BTreeMap::new())) {
                add(next, rest);
            }
        }
    }
}

/// The steps of a path: an array, or text with a slash before each.
fn segments(path: &Value) -> Result<Vec<Value>> {
    match path {
        Value::Array(steps) => Ok(steps.iter().cloned().collect()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => {
            let step = |step: &str| Value::from(step.replace("~1", "/").replace("~0", "~"));
            Ok(text.trim_start_matches('/').split('/').map(step).collect())
        }
        _ => bail!("a path must be a string or an array"),
    }
}

/// The value without what paths lead to; none if one leads to it.
fn without(value: &Value, node: Option<&Node>) -> Option<Value> {
    let Some(node) = node else { return Some(value.clone()) };
    if matches!(node, Node::End) {
        return None;
    }
    Some(match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), without(value, node.child(key))?)))
            .collect::<BTreeMap<_, _>>()
            .into(),
        Value::Set(items) => set_of(items.iter().filter_map(|item| without(item, node.child(item)))),
        Value::Array(items) => {
            let item = |(place, item): (usize, &Value)| without(item, node.child(&place.to_string().into()));
            array_of(items.iter().enumerate().filter_map(item))
        }
        _ => value.clone(),
    })
}

/// Of the value only what paths lead to.
fn only(value: &Value, node: &Node) -> Value {
    if matches!(node, Node::End) {
        return value.clone();
    }
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), only(value, node.child(key)?))))
            .collect::<BTreeMap<_, _>>()
            .into(),
        Value::Set(items) => set_of(items.iter().filter_map(|item| Some(only(item, node.child(item)?)))),
        Value::Array(items) => {
            let item = |(place, item): (usize, &Value)| Some(only(item, node.child(&place.to_string().into())?));
            array_of(items.iter().enumerate().filter_map(item))
        }
        _ => value.clone(),
    }
}

fn object<'a>(arguments: &Arguments<'a>) -> Result<&'a Value> {
    match arguments.value(0)? {
        object @ Value::Object(_) => Ok(object),
        _ => bail!("argument 1 must be an object"),
    }
}

pub(super) fn remove(arguments: &Arguments<'_>) -> Result<Value> {
    let (object, paths) = (object(arguments)?, Node::of(arguments, 1)?);
    Ok(without(object, Some(&paths)).unwrap_or(Value::Undefined))
}

pub(super) fn filter(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(only(object(arguments)?, &Node::of(arguments, 1)?))
}

/// Whether one object or set has all that the other has, or one array the other as a run of its elements.
fn has(value: &Value, part: &Value) -> Result<Option<bool>> {
    Ok(Some(match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            for (key, part) in part.iter() {
                let Some(value) = value.get(key) else { return Ok(Some(false)) };
                let same_kind = matches!(
                    (value, part),
                    (Value::Object(_), Value::Object(_))
                        | (Value::Set(_), Value::Set(_))
                        | (Value::Array(_), Value::Array(_))
                );
                if value != part && !(same_kind && has(value, part)? == Some(true)) {
                    return Ok(Some(false));
                }
            }
            true
        }
        (Value::Set(value), Value::Set(part)) => part.iter().all(|item| value.contains(item)),
        (Value::Array(value), Value::Array(part)) => {
            let (value, part): (Vec<&Value>, Vec<&Value>) = (value.iter().collect(), part.iter().collect());
            ensure!(value.len().saturating_mul(part.len()) <= MAX_TEXT, "the arrays are too long");
            part.is_empty() || value.windows(part.len()).any(|window| window == part)
        }
        (Value::Array(value), Value::Set(part)) => {
            // As OPA counts: an element that is there twice counts twice.
            let found = value.iter().filter(|item| part.contains(item)).count();
            !value.is_empty() && found >= part.len()
        }
        _ => return Ok(None),
    }))
}

pub(super) fn subset(arguments: &Arguments<'_>) -> Result<Value> {
    match has(arguments.value(0)?, arguments.value(1)?)? {
        Some(yes) => Ok(yes.into()),
        None => bail!("both must be objects, sets or arrays, or an array and a set"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    fn json(text: &str) -> Value {
        Value::from_json_str(text).unwrap()
    }

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        let value = json(r#"{"a": {"b": 1, "c/d": 2}, "e": [1, {"f": 3}]}"#);
        let remove = |paths: &str| call("json.remove", &[value.clone(), json(paths)]);
        assert_eq!(remove(r#"["a/b", "/e/0", ["e", "1", "f"]]"#), json(r#"{"a": {"c/d": 2}, "e": [{}]}"#));
        assert_eq!(remove(r#"["/a", "/a/b", ""]"#), json(r#"{"e": [1, {"f": 3}]}"#));
        let filter = |paths: &str| call("json.filter", &[value.clone(), json(paths)]);
        assert_eq!(filter(r#"["a/c~1d", "e/1"]"#), json(r#"{"a": {"c/d": 2}, "e": [{"f": 3}]}"#));
        assert_eq!(filter(r#"[[]]"#), json("{}"));
        fails("json.filter", &[json("[]"), json("[]")]);
        fails("json.remove", &[value.clone(), json("[1]")]);
    }

    #[test]
    fn an_empty_array_is_part_of_any() {
        let subset = |one: &str, other: &str| call("object.subset", &[json(one), json(other)]);
        assert_eq!(subset("[1]", "[]"), Value::from(true));
        assert_eq!(subset("[1, 2, 3]", "[2, 3]"), Value::from(true));
        assert_eq!(subset("[1, 2, 3]", "[1, 3]"), Value::from(false));
        assert_eq!(subset(r#"{"a": {"b": 1, "c": []}}"#, r#"{"a": {"c": []}}"#), Value::from(true));
        fails("object.subset", &[json("1"), json("[]")]);
    }
}
