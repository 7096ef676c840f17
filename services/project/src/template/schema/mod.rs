//! The JSON Schema of a template's parameters: read, restricted to what can be checked safely, and compiled.
//!
//! Every request is validated against it, so it must be bounded: no references that leave it or come back to
//! themselves, no regular expression that can take more than linear time, no property that is not named.

mod graph;
mod property;
mod strict;
mod tighten;

use runwarden_kit::json::{canonical, find_nul, pointer_step};
use runwarden_kit::launch_field::{LaunchField, TARGET_KEYWORD, target_of};
use runwarden_kit::schema::DIALECT;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, json, schema as compiling};
use serde_json::{Map, Value, json};

use super::fixed::Fixed;
pub(super) use tighten::tighten;

/// The longest schema that somebody writes.
const LONGEST: usize = 64 * 1024;
/// The longest that a survey makes of one: thousands of choices. What is kept of a template must fit into the store.
const LONGEST_IMPORTED: usize = 256 * 1024;
const MOST_PROPERTIES: usize = 200;
/// Earlier dialects that are read as 2020-12; where they mean something else, the schema is refused. With each is
/// whether it ignores what stands beside a `$ref`.
const EARLIER: &[(&str, bool)] = &[
    ("http://json-schema.org/draft-06/schema", true),
    ("http://json-schema.org/draft-07/schema", true),
    ("https://json-schema.org/draft-06/schema", true),
    ("https://json-schema.org/draft-07/schema", true),
    ("https://json-schema.org/draft/2019-09/schema", false),
];
/// Keywords that would let properties through which no `properties` names: nothing could say where they go.
const OPENING: &[&str] = &["patternProperties", "unevaluatedProperties", "propertyNames"];

/// A checked schema of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schema(Value);

impl Schema {
    /// Reads a schema that an operator wrote.
    pub(super) fn parse(given: &str) -> Result<Self> {
        Self::check(read(given, LONGEST)?)
    }

    /// Takes a controller's survey as the schema, without what is fixed.
    pub(super) fn import(survey: &str, fixed: &Fixed) -> Result<Self> {
        Self::of_survey(survey, fixed).map_err(|error| {
            // Nobody wrote it into the request.
            let detail = format!(
                "The survey of the controller's template cannot be imported: {} Write the parameters that callers may send.",
                error.detail()
            );
            let fields = error.fields().iter().map(|field| FieldError {
                pointer: "/parameters".to_owned(),
                detail: format!("the survey makes a schema that {} at `{}`", field.detail, field.pointer),
            });
            Error::new(ErrorReason::TemplateUnsuitable, detail).with_fields(fields)
        })
    }

    fn of_survey(survey: &str, fixed: &Fixed) -> Result<Self> {
        let mut value = if survey.trim().is_empty() { json!({}) } else { read(survey, LONGEST_IMPORTED)? };
        if let Value::Object(schema) = &mut value {
            if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                properties.retain(|name, _| !fixed.has(name));
                for (name, property) in properties {
                    answer_goes_into_extra_vars(name, property);
                }
            }
            if let Some(Value::Array(required)) = schema.get_mut("required") {
                required.retain(|name| name.as_str().is_none_or(|name| !fixed.has(name)));
            }
        }
        Self::check(value)
    }

    /// Reads a schema that was checked when it was stored.
    pub(super) fn stored(text: &str) -> Result<Self> {
        Ok(Self(json::parse(text.as_bytes()).map_err(Error::internal)?))
    }

    /// What the schema says that does nothing, for one that was stored before that was refused.
    pub(super) fn problems(&self) -> Vec<FieldError> {
        strict::check(&self.0, false)
    }

    /// The same with each property passed through a change.
    pub(super) fn narrowed(&self, mut change: impl FnMut(&str, LaunchField, &mut Value)) -> Self {
        let mut narrowed = self.0.clone();
        if let Some(Value::Object(properties)) = narrowed.get_mut("properties") {
            for (name, property) in properties {
                let target = target_of(name, Some(property));
                change(name, target, property);
            }
        }
        Self(narrowed)
    }

    /// Refuses a schema that grew too long on what the controller's survey allows.
    pub(super) fn check_size(&self, template: &str) -> Result<()> {
        if self.text().len() <= LONGEST_IMPORTED {
            return Ok(());
        }
        let detail = format!(
            "with the choices of the survey of `{template}` the schema is longer than {} KiB; list those that callers may \
             choose in an `enum`",
            LONGEST_IMPORTED / 1024
        );
        let error = Error::new(ErrorReason::TemplateUnsuitable, "The survey of the controller's template is too long.");
        Err(error.with_field("/parameters", detail))
    }

    fn check(mut value: Value) -> Result<Self> {
        let ref_hides = close(&mut value)?;
        let idle = strict::check(&value, ref_hides);
        if !idle.is_empty() {
            let detail = "Parts of the schema would not be checked; `errors` says what to write instead.";
            return Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(idle));
        }
        graph::check(&value)?;
        compile(&value)?;
        let schema = Self(value);
        let wrong = property::check(&schema);
        if !wrong.is_empty() {
            let error = Error::new(ErrorReason::ValidationFailed, "Some parameters cannot be offered as written.");
            return Err(error.with_fields(wrong));
        }
        Ok(schema)
    }

    /// The schema.
    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// Its canonical JSON.
    pub(super) fn text(&self) -> String {
        canonical(&self.0)
    }

    /// Each parameter with the launch field it goes into and its own schema.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&str, LaunchField, &Value)> {
        let properties = self.0.get("properties").and_then(Value::as_object);
        properties
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.as_str(), target_of(name, Some(property)), property))
    }

    /// Whether callers may send a parameter of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get("properties").is_some_and(|properties| properties.get(name).is_some())
    }

    /// Whether callers must send a parameter of this name.
    pub(super) fn requires(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }

    /// The parameters that callers must send.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        self.0.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Reads a schema's text strictly.
fn read(given: &str, longest: usize) -> Result<Value> {
    let wrong = |detail: &str| Error::invalid("/parameters", detail);
    if given.len() > longest {
        return Err(wrong(&format!("is longer than {} KiB", longest / 1024)));
    }
    let value = json::parse(given.as_bytes()).map_err(|error| wrong(error.detail()))?;
    match find_nul(&value) {
        Some(place) => Err(Error::invalid(format!("/parameters{place}"), "must not contain a NUL character")),
        None => Ok(value),
    }
}

/// A survey's question is answered by an extra variable, even when it is called like a prompt.
fn answer_goes_into_extra_vars(name: &str, property: &mut Value) {
    if target_of(name, Some(property)) != LaunchField::ExtraVars
        && let Value::Object(property) = property
    {
        property.insert(TARGET_KEYWORD.to_owned(), LaunchField::ExtraVars.name().into());
    }
}

/// Makes the outermost schema an object with named properties only, or says why it cannot be one. Answers whether the
/// dialect it was written for ignores what stands beside a `$ref`.
fn close(value: &mut Value) -> Result<bool> {
    let wrong = |place: &str, detail: &str| Err(Error::invalid(format!("/parameters{place}"), detail));
    let Value::Object(schema) = value else { return wrong("", "must be a JSON Schema object") };
    let dialect = schema.get("$schema").map(|dialect| dialect.as_str().unwrap_or_default().trim_end_matches('#'));
    let ref_hides = match dialect {
        None | Some(DIALECT) => false,
        Some(dialect) => match EARLIER.iter().find(|(earlier, _)| *earlier == dialect) {
            Some((_, ref_hides)) => *ref_hides,
            None => {
                let detail = format!("must be `{DIALECT}`; draft-06, draft-07 and 2019-09 are read as that too");
                return wrong("/$schema", &detail);
            }
        },
    };
    schema.insert("$schema".to_owned(), DIALECT.into());
    match schema.entry("type").or_insert_with(|| "object".into()) {
        Value::String(kind) if kind == "object" => {}
        _ => return wrong("/type", "must be `object`: parameters have names"),
    }
    match schema.entry("additionalProperties").or_insert(Value::Bool(false)) {
        Value::Bool(false) => {}
        _ => return wrong("/additionalProperties", "must be false: callers may send only what is named"),
    }
    if let Some(keyword) = OPENING.iter().find(|keyword| schema.contains_key(**keyword)) {
        return wrong(&pointer_step(keyword), "cannot be used here: name each parameter in `properties`");
    }
    let properties = match schema.entry("properties").or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(properties) => properties,
        _ => return wrong("/properties", "must be an object"),
    };
    if properties.len() > MOST_PROPERTIES {
        return wrong("/properties", "has more than 200 parameters");
    }
    Ok(ref_hides)
}

/// Compiles the schema as the executor will.
fn compile(value: &Value) -> Result<jsonschema::Validator> {
    compiling::compile(value).map_err(|error| {
        let place = error.instance_path().to_string();
        let pointer = format!("/parameters{place}");
        if value.pointer(&place).and_then(Value::as_str).is_some_and(needs_backtracking) {
            let detail = "must be a regular expression without look-around or back-references, so that it runs in \
                          linear time; to exclude something, write `\"not\": {\"pattern\": \"^prod\"}` beside it";
            return Error::invalid(pointer, detail);
        }
        // The error is about the schema, whose parts its text may quote: they came from this caller.
        let mut detail = error.to_string();
        if detail.chars().count() > 300 {
            detail = detail.chars().take(300).chain(['…']).collect();
        }
        Error::invalid(pointer, format!("is not valid in JSON Schema 2020-12: {detail}"))
    })
}

/// Whether a pattern that did not compile uses what only a backtracking engine can do.
fn needs_backtracking(pattern: &str) -> bool {
    ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|part| pattern.contains(part))
        || pattern.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']))
        || pattern.contains("\\k<")
}

/// What is wrong with a value by a schema that came from a survey; nothing if the schema itself is unusable.
pub(super) fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let validator = compile(schema).ok()?;
    validator.iter_errors(value).next().map(|error| error.masked_with("the value").to_string())
}

fn field(place: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: format!("/parameters{place}"), detail: detail.into() }
}

#[cfg(test)]
mod tests;
