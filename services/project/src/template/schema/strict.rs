//! What a schema says that does nothing: words nobody knows, and words that cannot apply where they stand. JSON Schema
//! ignores them, and so the author believes in a limit that is not there.

use runwarden_kit::FieldError;
use runwarden_kit::json::pointer_step;
use runwarden_kit::launch_field::TARGET_KEYWORD;
use runwarden_kit::schema::{FORMATS, nearest};
use serde_json::{Map, Value};

use super::field;
use super::graph::{LIST, MAP, ONE, REFUSED};

/// How many findings are reported.
const MOST: usize = 20;

/// Keywords whose value is not a schema and which apply to every type.
const PLAIN: &[&str] = &[
    "$comment",
    "$id",
    "$ref",
    "$schema",
    "const",
    "default",
    "deprecated",
    "description",
    "enum",
    "examples",
    "readOnly",
    "title",
    "type",
    "writeOnly",
];
/// Keywords that apply to one type only, with that type.
const TYPED: &[(&str, &[&str])] = &[
    (
        "array",
        &[
            "contains",
            "items",
            "maxContains",
            "maxItems",
            "minContains",
            "minItems",
            "prefixItems",
            "unevaluatedItems",
            "uniqueItems",
        ],
    ),
    ("number", &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]),
    (
        "object",
        &[
            "additionalProperties",
            "dependentRequired",
            "dependentSchemas",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
            "unevaluatedProperties",
        ],
    ),
    (
        "string",
        &["contentEncoding", "contentMediaType", "contentSchema", "format", "maxLength", "minLength", "pattern"],
    ),
];
/// Keywords that do nothing without another one beside them.
const NEEDS: &[(&str, &[&str])] = &[
    ("else", &["if"]),
    ("if", &["else", "then"]),
    ("maxContains", &["contains"]),
    ("minContains", &["contains"]),
    ("then", &["if"]),
];
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// Keywords of earlier drafts, of OpenAPI and of other tools, with what to write instead.
const OTHERS: &[(&str, &str)] = &[
    ("additionalItems", "write the schemas by position as `prefixItems` and the rest as `items`"),
    ("dependencies", "write `dependentRequired` for names, `dependentSchemas` for schemas"),
    ("discriminator", "write `oneOf` with a `const` in each branch"),
    ("disallow", "write `not`"),
    ("divisibleBy", "write `multipleOf`"),
    ("enumNames", "describe the choices in `description`, or write `oneOf` with `const` and `title` in each branch"),
    ("example", "write `examples` with an array"),
    ("extends", "write `allOf`"),
    ("id", "write `$id`"),
    ("nullable", "write `\"type\": [\"string\", \"null\"]`, with the type that is meant"),
    ("optional", "leave the name out of `required` beside `properties`"),
];
/// Formats of OpenAPI and of other tools, with what to write instead.
const OTHER_FORMATS: &[(&str, &str)] = &[
    ("binary", "write `contentEncoding` if a note for readers is enough, or a `pattern`"),
    ("byte", "write `\"contentEncoding\": \"base64\"` as a note, or a `pattern`"),
    ("base64", "write `\"contentEncoding\": \"base64\"` as a note, or a `pattern`"),
    ("cidr", "write a `pattern`; a policy can check networks exactly"),
    ("decimal", "write `\"type\": \"number\"`, or a `pattern`"),
    ("double", "write `\"type\": \"number\"` without a format"),
    ("float", "write `\"type\": \"number\"` without a format"),
    ("int32", "write `minimum` and `maximum`"),
    ("int64", "write `minimum` and `maximum`"),
    ("ip", "write `\"anyOf\": [{\"format\": \"ipv4\"}, {\"format\": \"ipv6\"}]`"),
    ("ip-address", "write `ipv4`"),
    ("ipvanyaddress", "write `\"anyOf\": [{\"format\": \"ipv4\"}, {\"format\": \"ipv6\"}]`"),
    ("password", "write `\"writeOnly\": true`"),
    ("url", "write `uri`"),
    ("uuid1", "write `uuid`"),
    ("uuid3", "write `uuid`"),
    ("uuid4", "write `uuid`"),
    ("uuid5", "write `uuid`"),
];
/// Types of other languages, with what to write instead.
const OTHER_TYPES: &[(&str, &str)] = &[
    ("any", "leave `type` out"),
    ("bool", "write `boolean`"),
    ("choice", "write `enum`"),
    ("dict", "write `object`"),
    ("file", "write `string`"),
    ("float", "write `number`"),
    ("int", "write `integer`"),
    ("list", "write `array`"),
    ("map", "write `object`"),
    ("multiplechoice", "write `enum`"),
    ("multiselect", "write `array` with an `enum` in `items`"),
    ("password", "write `string` with `\"writeOnly\": true`"),
    ("str", "write `string`"),
    ("text", "write `string`"),
    ("textarea", "write `string`"),
];

/// Everything that does nothing in a schema, which is as deep as its JSON may be. `ref_hides` is whether the dialect it was
/// written for ignores what stands beside a `$ref`.
pub(super) fn check(schema: &Value, ref_hides: bool) -> Vec<FieldError> {
    let mut found = Findings { ref_hides, list: Vec::new() };
    found.walk(schema, "");
    found.list
}

struct Findings {
    ref_hides: bool,
    list: Vec<FieldError>,
}

impl Findings {
    fn add(&mut self, place: &str, detail: String) {
        if self.list.len() < MOST {
            self.list.push(field(place, detail));
        }
    }

    fn walk(&mut self, schema: &Value, place: &str) {
        let Value::Object(keywords) = schema else { return };
        for (keyword, value) in keywords {
            if self.list.len() >= MOST {
                return;
            }
            let at = format!("{place}{}", pointer_step(keyword));
            let name = keyword.as_str();
            match mistake(name, value, place, keywords) {
                Some(detail) => self.add(&at, detail),
                None if self.ref_hides && keywords.contains_key("$ref") && asserts(name) => {
                    let detail = "is ignored beside `$ref` by the dialect in `$schema`, and applies in 2020-12: move it \
                                  to where the reference leads, or name the dialect of 2020-12";
                    self.add(&at, detail.to_owned());
                }
                None => {}
            }
            if ONE.contains(&name) {
                self.walk(value, &at);
            } else if LIST.contains(&name) {
                for (index, part) in value.as_array().into_iter().flatten().enumerate() {
                    self.walk(part, &format!("{at}/{index}"));
                }
            } else if MAP.contains(&name) {
                for (key, part) in value.as_object().into_iter().flatten() {
                    self.walk(part, &format!("{at}{}", pointer_step(key)));
                }
            }
        }
    }
}

/// What is wrong with one keyword, if anything is.
fn mistake(name: &str, value: &Value, place: &str, beside: &Map<String, Value>) -> Option<String> {
    if name == TARGET_KEYWORD {
        let is_parameter = place.strip_prefix("/properties/").is_some_and(|name| !name.contains('/'));
        return (!is_parameter)
            .then(|| "has no effect here: it belongs directly in a parameter's own schema".to_owned());
    }
    if name.starts_with("x-") && !name.starts_with("x-runwarden-") {
        return None;
    }
    if !is_known(name) {
        return Some(unknown("is not a keyword of JSON Schema 2020-12", name, known(), OTHERS, || {
            "leave it out, or, if it is a note for another program, begin its name with `x-`".to_owned()
        }));
    }
    match (name, value) {
        ("type", Value::String(kind)) => return wrong_type(kind),
        ("type", Value::Array(kinds)) => return kinds.iter().filter_map(Value::as_str).find_map(wrong_type),
        ("format", Value::String(format)) if !FORMATS.contains(&format.as_str()) => {
            return Some(unknown(
                &format!("`{}` is not a format of JSON Schema 2020-12", shown(format)),
                format,
                FORMATS.iter().copied(),
                OTHER_FORMATS,
                || format!("the formats are {}", FORMATS.join(", ")),
            ));
        }
        ("exclusiveMinimum", Value::Bool(_)) => {
            return Some("must be a number: write `\"exclusiveMinimum\": 0` instead of `\"minimum\": 0` with `\"exclusiveMinimum\": true`".to_owned());
        }
        ("exclusiveMaximum", Value::Bool(_)) => {
            return Some("must be a number: write `\"exclusiveMaximum\": 9` instead of `\"maximum\": 9` with `\"exclusiveMaximum\": true`".to_owned());
        }
        ("required", Value::Bool(_)) => {
            return Some("must be an array of names, beside `properties`".to_owned());
        }
        ("items", Value::Array(_)) => {
            return Some("must be one schema: write schemas by position as `prefixItems`".to_owned());
        }
        _ => {}
    }
    if let Some((_, others)) = NEEDS.iter().find(|(keyword, _)| *keyword == name)
        && !others.iter().any(|other| beside.contains_key(*other))
    {
        return Some(format!("has no effect without `{}` beside it", others.join("` or `")));
    }
    let (applies_to, _) = TYPED.iter().find(|(_, keywords)| keywords.contains(&name))?;
    let kinds: Vec<&str> = match beside.get("type")? {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    // A type that is wrong itself is reported as that.
    let is_meant = kinds
        .iter()
        .any(|kind| !TYPES.contains(kind) || kind == applies_to || (*applies_to == "number" && *kind == "integer"));
    (!is_meant).then(|| {
        format!("has no effect: it is about the type `{applies_to}`, and `type` says `{}`", kinds.join("`, `"))
    })
}

fn wrong_type(kind: &str) -> Option<String> {
    (!TYPES.contains(&kind)).then(|| {
        unknown(
            &format!("`{}` is not a type of JSON Schema", shown(kind)),
            kind,
            TYPES.iter().copied(),
            OTHER_TYPES,
            || format!("the types are {}", TYPES.join(", ")),
        )
    })
}

/// What is said of a word that is not known: what to write instead, the nearest known one, or what else could be done.
fn unknown<'a>(
    what: &str,
    given: &str,
    known: impl Iterator<Item = &'a str>,
    others: &[(&str, &str)],
    else_do: impl FnOnce() -> String,
) -> String {
    if let Some((_, instead)) = others.iter().find(|(other, _)| other.eq_ignore_ascii_case(given)) {
        return format!("{what}: {instead}");
    }
    match nearest(given, known) {
        Some(word) => format!("{what}: did you mean `{word}`?"),
        None => format!("{what}: {}", else_do()),
    }
}

/// A caller's word, cut to what a person can have meant.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn known() -> impl Iterator<Item = &'static str> {
    let typed = TYPED.iter().flat_map(|(_, keywords)| keywords.iter());
    // `definitions` is taken and is not what anybody should be pointed to.
    let maps = MAP.iter().filter(|keyword| **keyword != "definitions");
    PLAIN.iter().chain(typed).chain(ONE).chain(LIST).chain(maps).copied().chain([TARGET_KEYWORD])
}

fn is_known(name: &str) -> bool {
    // What cannot be used at all is refused elsewhere, with its reason.
    name == "definitions" || REFUSED.contains(&name) || known().any(|keyword| keyword == name)
}

/// Whether a keyword beside a `$ref` changes what is valid.
fn asserts(name: &str) -> bool {
    let notes = [
        "$ref",
        "$comment",
        "$defs",
        "definitions",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "$schema",
        "$id",
    ];
    !notes.contains(&name) && !name.starts_with("x-")
}
