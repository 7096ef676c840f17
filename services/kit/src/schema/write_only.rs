//! Which parameters are write-only. There is one walk: what it finds is sealed, left out of what is shown, of what policies
//! see and of what a controller's words may repeat.

use std::collections::HashSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Keywords whose schemas say nothing about the value that the schema itself is about: they describe something in it,
/// or nothing until something refers to them, or are no schemas.
const ELSEWHERE: &[&str] = &[
    "$defs",
    "additionalProperties",
    "const",
    "contains",
    "contentSchema",
    "default",
    "definitions",
    "enum",
    "examples",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Whether a parameter, or anything in it, is write-only: as [`WriteOnly::is`], for one name.
#[must_use]
pub fn is_write_only(schema: &Value, name: &str) -> bool {
    WriteOnly::of(schema).is(name)
}

/// What is write-only by a schema, for any number of names: what does not depend on a name is found out once.
pub struct WriteOnly<'a> {
    schema: &'a Value,
    about_all: Vec<&'a Map<String, Value>>,
    /// All that the schema does not name are.
    rest: bool,
    /// Patterns of names that are. None in place of one that cannot be evaluated: every name matches it.
    patterns: Vec<Option<Validator>>,
}

impl<'a> WriteOnly<'a> {
    /// By this schema.
    #[must_use]
    pub fn of(schema: &'a Value) -> Self {
        let mut about_all = Vec::new();
        applied(schema, schema, &mut HashSet::new(), &mut about_all);
        let says_so = |part: &'a Value| says_so(schema, part, &mut HashSet::new());
        let rest = about_all.iter().any(|part| {
            let rest = ["additionalProperties", "unevaluatedProperties"];
            rest.into_iter().filter_map(|keyword| part.get(keyword)).any(says_so)
        });
        let patterns = about_all.iter().filter_map(|part| part.get("patternProperties")?.as_object()).flatten();
        let patterns = patterns.filter(|(_, value)| says_so(value));
        let patterns = patterns.map(|(pattern, _)| super::compile(&json!({ "pattern": pattern })).ok()).collect();
        Self { schema, about_all, rest, patterns }
    }

    /// Whether a parameter, or anything in it, is write-only: then all of it is kept from sight. References are followed,
    /// and every subschema that may apply counts, whether it will or not (`if`, `anyOf`, even `not`): better one value too
    /// many is kept from sight than one too few.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let named = || {
            let mut parts = self.about_all.iter().filter_map(|part| part.get("properties")?.get(name));
            parts.any(|part| says_so(self.schema, part, &mut HashSet::new()))
        };
        self.rest || named() || self.match_one(name)
    }

    /// Whether a name matches one of the patterns, as validation sees it.
    fn match_one(&self, name: &str) -> bool {
        let text = Value::String(name.to_owned());
        self.patterns.iter().any(|pattern| pattern.as_ref().is_none_or(|pattern| pattern.is_valid(&text)))
    }
}

/// Where a reference within the document leads.
fn target<'a>(root: &'a Value, part: &'a Map<String, Value>) -> Option<(&'a str, &'a Value)> {
    let pointer = part.get("$ref")?.as_str()?.strip_prefix('#')?;
    Some((pointer, root.pointer(pointer)?))
}

/// All subschemas that apply to the same value as this one.
fn applied<'a>(root: &'a Value, part: &'a Value, seen: &mut HashSet<&'a str>, found: &mut Vec<&'a Map<String, Value>>) {
    match part {
        Value::Object(map) => {
            found.push(map);
            if let Some((pointer, referred)) = target(root, map)
                && seen.insert(pointer)
            {
                applied(root, referred, seen, found);
            }
            for (_, value) in map.iter().filter(|(keyword, _)| !ELSEWHERE.contains(&keyword.as_str())) {
                applied(root, value, seen, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| applied(root, item, seen, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a part of a schema says `writeOnly` anywhere. Schemas are checked for references in circles when they are
/// stored; `seen` keeps this from walking in one all the same.
fn says_so<'a>(root: &'a Value, part: &'a Value, seen: &mut HashSet<&'a str>) -> bool {
    match part {
        Value::Object(map) => {
            map.get("writeOnly") == Some(&Value::Bool(true))
                || target(root, map)
                    .is_some_and(|(pointer, referred)| seen.insert(pointer) && says_so(root, referred, seen))
                || map.values().any(|value| says_so(root, value, seen))
        }
        Value::Array(items) => items.iter().any(|item| says_so(root, item, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_write_only_wherever_its_schema_says_so() {
        let secret = json!({"type": "string", "writeOnly": true});
        for schema in [
            json!({"properties": {"pw": {"$ref": "#/$defs/secret"}}, "$defs": {"secret": secret}}),
            json!({"properties": {"pw": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": secret}}),
            json!({"properties": {"pw": {"allOf": [{"$ref": "#/$defs/secret"}]}}, "$defs": {"secret": secret}}),
            json!({"properties": {"pw": {}}, "allOf": [{"properties": {"pw": secret}}]}),
            json!({"properties": {"pw": {}}, "if": {}, "then": {"properties": {"pw": secret}}}),
            json!({"properties": {"pw": {"properties": {"in": {"$ref": "#/$defs/secret"}}}}, "$defs": {"secret": secret}}),
            json!({"properties": {"pw": {"items": {"$ref": "#/properties/pw/$defs/s"}, "$defs": {"s": secret}}}}),
            json!({"$ref": "#/$defs/all", "$defs": {"all": {"anyOf": [{}, {"properties": {"pw": secret}}]}}}),
            json!({"properties": {"pw": {}}, "allOf": [{"patternProperties": {"^p": secret}}]}),
            json!({"properties": {"pw": {}}, "allOf": [{"additionalProperties": secret}]}),
            json!({"properties": {"pw": {}}, "dependentSchemas": {"x": {"unevaluatedProperties": secret}}}),
        ] {
            assert!(is_write_only(&schema, "pw"), "{schema}");
        }
        for schema in [
            json!({"properties": {"pw": {"$ref": "#/properties/pw"}, "other": secret}}),
            json!({"properties": {"pw": {}}, "allOf": [{"patternProperties": {"^x": secret}}]}),
            json!({"properties": {"pw": {}, "other": {"properties": {"pw": secret}}}}),
            json!({"properties": {"pw": {}}, "$defs": {"unused": {"properties": {"pw": secret}}}}),
        ] {
            assert!(!is_write_only(&schema, "pw"), "{schema}");
        }
    }

    #[test]
    fn many_names_are_judged_without_compiling_a_pattern_for_each() {
        let patterns: Map<String, Value> =
            (0..100).map(|number| (format!("^secret_{number}_[a-z]+$"), json!({"writeOnly": true}))).collect();
        let schema = json!({ "patternProperties": patterns });
        let write_only = WriteOnly::of(&schema);
        assert_eq!(write_only.patterns.len(), 100);
        let names: Vec<String> =
            (0..1000).map(|number| format!("secret_{}_x{}", number % 200, "x".repeat(number % 7))).collect();
        assert_eq!(names.iter().filter(|name| write_only.is(name)).count(), 500);
    }
}
