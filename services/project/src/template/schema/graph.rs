//! A schema as a graph of subschemas: how deep it is, where its references lead, and how much work one validation
//! can be. References that come back to themselves never end; ones that fan out double the work at every step.

use std::collections::BTreeMap;

use runwarden_kit::json::pointer_step;
use runwarden_kit::{Error, Result};
use serde_json::{Map, Value};

/// How deep subschemas may nest, references followed.
const DEEPEST: usize = 32;
/// How many subschemas there may be.
const MOST: usize = 2000;
/// How many subschemas one validation may pass, references followed.
const WORK: u64 = 20_000;
const LONGEST_PATTERN: usize = 1000;

/// Keywords whose value is a schema.
pub(super) const ONE: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is an array of schemas.
pub(super) const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is an object of schemas.
pub(super) const MAP: &[&str] = &["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// Keywords that move references to where they cannot be followed here.
pub(super) const REFUSED: &[&str] =
    &["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"];

/// Refuses what cannot be checked within bounds.
pub(super) fn check(schema: &Value) -> Result<()> {
    let mut graph = Graph::default();
    graph.walk(schema, "", 0)?;
    graph.measure("", &mut Vec::new())?;
    Ok(())
}

#[derive(Default)]
struct Graph {
    nodes: BTreeMap<String, Node>,
}

#[derive(Default)]
struct Node {
    /// Where its subschemas and what it refers to are.
    next: Vec<String>,
    /// How much work it is and how deep it goes, once known.
    measured: Option<(u64, usize)>,
}

fn wrong(place: &str, detail: impl Into<String>) -> Error {
    Error::invalid(format!("/parameters{place}"), detail)
}

impl Graph {
    fn walk(&mut self, schema: &Value, place: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(wrong(place, format!("is nested deeper than {DEEPEST} schemas")));
        }
        if self.nodes.len() >= MOST {
            return Err(wrong("", format!("has more than {MOST} subschemas")));
        }
        let keywords = match schema {
            Value::Bool(_) => &Map::new(),
            Value::Object(keywords) => keywords,
            _ => return Err(wrong(place, "must be a schema: an object, true or false")),
        };
        let mut node = Node::default();
        for (keyword, value) in keywords {
            let at = format!("{place}{}", pointer_step(keyword));
            let name = keyword.as_str();
            if REFUSED.contains(&name) || (!place.is_empty() && (name == "$id" || name == "$schema")) {
                return Err(wrong(&at, "cannot be used here"));
            } else if name == "$ref" {
                node.next.push(local(value, &at)?.to_owned());
            } else if name == "pattern" {
                check_pattern(value.as_str().unwrap_or_default(), &at)?;
            } else if ONE.contains(&name) {
                self.walk(value, &at, depth + 1)?;
                node.next.push(at);
            } else if LIST.contains(&name) {
                for (index, part) in value.as_array().into_iter().flatten().enumerate() {
                    let at = format!("{at}/{index}");
                    self.walk(part, &at, depth + 1)?;
                    node.next.push(at);
                }
            } else if MAP.contains(&name) {
                for (key, part) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}{}", pointer_step(key));
                    if name == "patternProperties" {
                        check_pattern(key, &at)?;
                    }
                    self.walk(part, &at, depth + 1)?;
                    // Definitions cost nothing until something refers to them.
                    if name != "$defs" && name != "definitions" {
                        node.next.push(at);
                    }
                }
            }
        }
        self.nodes.insert(place.to_owned(), node);
        Ok(())
    }

    /// How much work a schema is and how deep it goes, references followed. `path` leads here from the outermost one.
    fn measure(&mut self, place: &str, path: &mut Vec<String>) -> Result<(u64, usize)> {
        if path.iter().any(|earlier| earlier == place) {
            return Err(wrong(place, "refers to itself; recursive schemas cannot be used here"));
        }
        let Some(node) = self.nodes.get(place) else {
            let from = path.last().map(String::as_str).unwrap_or_default();
            return Err(wrong(from, "has a $ref that does not lead to a schema in this document"));
        };
        if let Some(measured) = node.measured {
            return if path.len() + measured.1 > DEEPEST { Err(too_deep(place)) } else { Ok(measured) };
        }
        if path.len() >= DEEPEST {
            return Err(too_deep(place));
        }
        path.push(place.to_owned());
        let (mut work, mut height) = (1_u64, 1);
        for next in node.next.clone() {
            let (more, deeper) = self.measure(&next, path)?;
            work = work.saturating_add(more);
            height = height.max(deeper + 1);
        }
        path.pop();
        if work > WORK {
            return Err(wrong(place, "takes too long to validate: its references multiply"));
        }
        if let Some(node) = self.nodes.get_mut(place) {
            node.measured = Some((work, height));
        }
        Ok((work, height))
    }
}

fn too_deep(place: &str) -> Error {
    wrong(place, format!("is nested deeper than {DEEPEST} schemas, references followed"))
}

/// Where a reference within this document leads.
fn local<'a>(reference: &'a Value, at: &str) -> Result<&'a str> {
    let refused = || wrong(at, "must be a JSON pointer within this document, such as `#/$defs/name`");
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).ok_or_else(refused)?;
    if !(pointer.is_empty() || pointer.starts_with('/')) || pointer.contains('%') {
        return Err(refused());
    }
    Ok(pointer)
}

fn check_pattern(pattern: &str, at: &str) -> Result<()> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(wrong(at, format!("is longer than {LONGEST_PATTERN} bytes")));
    }
    Ok(())
}
