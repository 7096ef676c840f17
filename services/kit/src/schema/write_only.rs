//! Which parameters are write-only. There is one walk: what it finds is sealed, left out of what is shown, of what policies
//! see and of what a controller's words may repeat.

use std::collections::HashSet;

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

/// Whether a parameter, or anything in it, is write-only: then all of it is kept from sight. References are followed,
/// and every subschema that may apply counts, whether it will or not (`if`, `anyOf`, even `not`): better one value too
/// many is kept from sight than one too few.
#[must_use]
pub fn is_write_only(schema: &Value, name: &str) -> bool {
    let mut about_all = Vec::new();
    applied(schema, schema, &mut HashSet::new(), &mut about_all);
    about_all
        .into_iter()
        .flat_map(|part| described(part, name))
        .any(|parameter| says_so(schema, parameter, &mut HashSet::new()))
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

/// The subschemas of one schema that describe a property of this name.
fn described<'a>(part: &'a Map<String, Value>, name: &str) -> Vec<&'a Value> {
    let named = part.get("properties").and_then(|properties| properties.get(name));
    let patterns = part.get("patternProperties").and_then(Value::as_object);
    let matching = patterns.into_iter().flatten().filter(|(pattern, _)| matches(pattern, name)).map(|(_, value)| value);
    let rest = ["additionalProperties", "unevaluatedProperties"].into_iter().filter_map(|keyword| part.get(keyword));
    named.into_iter().chain(matching).chain(rest).collect()
}

/// Whether a name matches a pattern, as validation sees it; if that cannot be determined, it does.
fn matches(pattern: &str, name: &str) -> bool {
    super::compile(&json!({"pattern": pattern}))
        .map_or(true, |validator| validator.is_valid(&Value::String(name.to_owned())))
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
}
