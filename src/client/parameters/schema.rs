//! What a template's schema expects of a parameter, as far as turning words into values needs it. Whether a value
//! really fits is the server's to say.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

/// How far references and branches are followed.
const DEEPEST: usize = 32;
/// How many choices are named.
const MOST_CHOICES: usize = 12;

/// A kind of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    Object,
    Array,
    String,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Null, Self::Boolean, Self::Integer, Self::Number, Self::Object, Self::Array, Self::String];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Array => "array",
            Self::Object => "object",
            Self::String => "string",
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Array => "a list: KEY=ONE KEY=TWO, or KEY='[\"one\",\"two\"]'",
            Self::Object => "an object: KEY='{\"name\":\"value\"}'",
            Self::String => "a text",
        }
    }
}

/// A template's schema.
#[derive(Clone, Copy)]
pub(in crate::client) struct Schema<'a>(pub(in crate::client) &'a Value);

impl<'a> Schema<'a> {
    fn properties(self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.0.get("properties").and_then(Value::as_object).into_iter().flatten()
    }

    /// The names of its parameters.
    pub(in crate::client) fn names(self) -> Vec<&'a str> {
        self.properties().map(|(name, _)| name.as_str()).collect()
    }

    /// The parameters that must be given.
    pub(in crate::client) fn required(self) -> Vec<&'a str> {
        self.0.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What is expected of a parameter; none if the template has no such parameter.
    pub(in crate::client) fn parameter(self, name: &str) -> Option<Expected<'a>> {
        let property = self.0.get("properties")?.get(name)?;
        Some(Expected { root: self.0, schema: property })
    }
}

/// What is expected of a value.
#[derive(Clone, Copy)]
pub(in crate::client) struct Expected<'a> {
    root: &'a Value,
    schema: &'a Value,
}

impl<'a> Expected<'a> {
    /// The kinds of value that are taken.
    pub(in crate::client) fn kinds(self) -> BTreeSet<Kind> {
        self.limited(DEEPEST).0
    }

    /// The only values that are taken, if they are listed.
    pub(in crate::client) fn choices(self) -> Option<Vec<&'a Value>> {
        self.limited(DEEPEST).1
    }

    fn limited(self, deep: usize) -> (BTreeSet<Kind>, Option<Vec<&'a Value>>) {
        let mut kinds: BTreeSet<Kind> = Kind::ALL.into_iter().collect();
        let mut choices: Option<Vec<&Value>> = None;
        let (Some(schema), Some(deeper)) = (self.schema.as_object(), deep.checked_sub(1)) else {
            return (kinds, choices);
        };
        match schema.get("type") {
            Some(Value::String(name)) => kinds = Kind::of(name).into_iter().collect(),
            Some(Value::Array(names)) => kinds = names.iter().filter_map(|name| Kind::of(name.as_str()?)).collect(),
            _ => {}
        }
        if let Some(list) = schema.get("enum").and_then(Value::as_array) {
            choices = Some(list.iter().collect());
        }
        if let Some(only) = schema.get("const") {
            choices = Some(vec![only]);
        }
        let mut narrow = |(other_kinds, other_choices): (BTreeSet<Kind>, Option<Vec<&'a Value>>)| {
            kinds = kinds.intersection(&other_kinds).copied().collect();
            if choices.is_none() {
                choices = other_choices;
            }
        };
        if let Some(referred) = self.referred(schema) {
            narrow(referred.limited(deeper));
        }
        for part in parts(schema, "allOf") {
            narrow(self.at(part).limited(deeper));
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches: Vec<_> = parts(schema, keyword).map(|part| self.at(part).limited(deeper)).collect();
            if !branches.is_empty() {
                let all = branches.iter().flat_map(|(kinds, _)| kinds.iter().copied()).collect();
                let listed: Option<Vec<Vec<&Value>>> = branches.into_iter().map(|(_, choices)| choices).collect();
                narrow((all, listed.map(|lists| lists.concat())));
            }
        }
        (kinds, choices)
    }

    fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    fn referred(self, schema: &'a Map<String, Value>) -> Option<Self> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer).map(|schema| self.at(schema))
    }

    /// What is expected of the items of a list.
    pub(in crate::client) fn items(self) -> Self {
        fn find<'a>(this: Expected<'a>, deep: usize) -> Option<&'a Value> {
            let (schema, deeper) = (this.schema.as_object()?, deep.checked_sub(1)?);
            schema.get("items").or_else(|| this.referred(schema).and_then(|referred| find(referred, deeper)))
        }
        find(self, DEEPEST).map_or(Self { schema: &Value::Bool(true), ..self }, |items| self.at(items))
    }

    /// Whether it is a secret: whether any part of it is `writeOnly`. The server follows the same rule.
    pub(in crate::client) fn is_secret(self) -> bool {
        says_write_only(self.root, self.schema, &mut HashSet::new())
    }

    /// What must be given, in words.
    pub(in crate::client) fn described(self) -> String {
        if let Some(choices) = self.choices() {
            let mut named: Vec<String> = choices.iter().take(MOST_CHOICES).map(|choice| word(choice)).collect();
            if choices.len() > MOST_CHOICES {
                named.push(format!("… ({} in all)", choices.len()));
            }
            return format!("one of {}", named.join(", "));
        }
        let kinds = self.kinds();
        // A whole number is a number.
        let kept = kinds.iter().filter(|kind| **kind != Kind::Integer || !kinds.contains(&Kind::Number));
        match kinds.len() {
            7 => "any value".to_owned(),
            _ => kept.map(|kind| kind.described()).collect::<Vec<_>>().join(", or "),
        }
    }

    /// Its kind in a word or two, for a table.
    pub(in crate::client) fn in_short(self) -> String {
        let kinds = self.kinds();
        let kind = match (self.choices(), kinds.len()) {
            (Some(choices), _) => {
                choices.iter().take(MOST_CHOICES).map(|choice| word(choice)).collect::<Vec<_>>().join("|")
            }
            (None, 7) => "any".to_owned(),
            (None, _) => kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join("|"),
        };
        if self.is_secret() { format!("{kind}, secret") } else { kind }
    }

    /// A text of its schema, such as its title.
    pub(in crate::client) fn text(self, keyword: &str) -> Option<&'a str> {
        self.schema.get(keyword)?.as_str()
    }

    /// What the controller uses if it is not given.
    pub(in crate::client) fn default(self) -> Option<&'a Value> {
        self.schema.get("default")
    }
}

/// A value as it is written on a command line.
pub(in crate::client) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn parts<'a>(schema: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn says_write_only<'a>(root: &'a Value, part: &'a Value, seen: &mut HashSet<&'a str>) -> bool {
    match part {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
            map.get("writeOnly") == Some(&Value::Bool(true))
                || target.is_some_and(|pointer| {
                    seen.insert(pointer)
                        && root.pointer(pointer).is_some_and(|referred| says_write_only(root, referred, seen))
                })
                || map.values().any(|value| says_write_only(root, value, seen))
        }
        Value::Array(items) => items.iter().any(|item| says_write_only(root, item, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Schema};
    use serde_json::{Value, json};

    fn schema() -> Value {
        json!({
            "properties": {
                "plain": {"type": "string"}, "both": {"type": ["integer", "null"]}, "any": {}, "yes": true,
                "choice": {"enum": ["dev", "prod", 3]}, "only": {"const": "x"},
                "referred": {"$ref": "#/$defs/port"}, "circle": {"$ref": "#/$defs/circle"},
                "either": {"anyOf": [{"type": "integer"}, {"enum": ["auto"]}]},
                "listed": {"oneOf": [{"const": "a"}, {"const": "b"}]},
                "all": {"allOf": [{"type": ["string", "integer"]}, {"type": "integer"}]},
                "hosts": {"type": "array", "items": {"$ref": "#/$defs/port"}},
                "secret": {"type": "string", "writeOnly": true}, "inner": {"properties": {"a": {"writeOnly": true}}},
                "sealed": {"$ref": "#/$defs/sealed"},
            },
            "required": ["plain"],
            "$defs": {"port": {"type": "integer"}, "circle": {"$ref": "#/$defs/circle"}, "sealed": {"writeOnly": true}},
        })
    }

    #[test]
    fn kinds_and_choices_are_found_wherever_the_schema_says_them() {
        let schema = schema();
        let at = |name: &str| Schema(&schema).parameter(name).unwrap();
        assert_eq!(at("plain").kinds(), [Kind::String].into());
        assert_eq!(at("both").kinds(), [Kind::Null, Kind::Integer].into());
        for any in ["any", "yes", "circle"] {
            assert_eq!(at(any).kinds().len(), 7, "{any}");
        }
        assert_eq!(at("referred").kinds(), [Kind::Integer].into());
        assert_eq!(at("all").kinds(), [Kind::Integer].into());
        assert_eq!(at("hosts").items().kinds(), [Kind::Integer].into());
        assert_eq!(at("choice").described(), "one of dev, prod, 3");
        assert_eq!(at("only").described(), "one of x");
        assert_eq!(at("listed").described(), "one of a, b");
        assert_eq!(at("either").choices(), None, "a number is no choice");
        assert_eq!(at("both").described(), "null, or a whole number");
        assert_eq!(at("choice").in_short(), "dev|prod|3");
        assert!(Schema(&schema).parameter("none").is_none());
        assert_eq!(Schema(&schema).required(), ["plain"]);
    }

    #[test]
    fn a_secret_is_one_wherever_the_schema_says_so() {
        let schema = schema();
        let is_secret = |name: &str| Schema(&schema).parameter(name).unwrap().is_secret();
        for name in Schema(&schema).names() {
            assert_eq!(is_secret(name), ["secret", "inner", "sealed"].contains(&name), "{name}");
        }
    }
}
