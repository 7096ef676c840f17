//! Where a configurable kind finds a delivery's id and what happened.

use serde::Deserialize;
use serde_json::Value;

use crate::event::derived_id;
use crate::headers::Received;
use crate::kinds::IdPlace;
use crate::problem::Problem;
use crate::proof::header;
use crate::refusal::Refusal;

/// The most fields that together are an id.
const MAX_FIELDS: usize = 8;

/// Where the id is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum IdSource {
    /// In a header.
    Header(String),
    /// In these fields of the body together, as JSON pointers.
    Fields(Vec<String>),
    /// The sender has none: each request is an event of its own, a retry too.
    None,
}

/// Where it says what happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum EventSource {
    /// In a header.
    Header(String),
    /// In a field of the body, as a JSON pointer.
    Field(String),
}

impl IdSource {
    pub(crate) fn check(&mut self) -> Result<(), Problem> {
        match self {
            Self::Header(name) => *name = header("id.header", name)?,
            Self::Fields(fields) => {
                if !(1..=MAX_FIELDS).contains(&fields.len()) || !fields.iter().all(|field| is_pointer(field)) {
                    let detail = format!("Name 1 to {MAX_FIELDS} fields as JSON pointers, such as `/id`.");
                    return Err(Problem::new("id.fields", detail));
                }
            }
            Self::None => {}
        }
        Ok(())
    }

    pub(crate) fn place(&self) -> IdPlace<'_> {
        match self {
            Self::Header(name) => IdPlace::Header(name),
            Self::Fields(_) => IdPlace::Body,
            Self::None => IdPlace::Nowhere,
        }
    }

    /// The delivery's id, if it is there.
    pub(crate) fn of(&self, received: &Received, body: &Value) -> Result<Option<String>, Refusal> {
        match self {
            Self::None => Ok(None),
            Self::Header(name) => received.headers.text(name),
            Self::Fields(fields) => {
                let values: Option<Vec<_>> = fields.iter().map(|field| body.pointer(field).and_then(scalar)).collect();
                Ok(values.map(|values| match values.as_slice() {
                    [one] => one.clone(),
                    several => derived_id(&several.iter().map(String::as_bytes).collect::<Vec<_>>()),
                }))
            }
        }
    }
}

impl EventSource {
    pub(crate) fn check(&mut self) -> Result<(), Problem> {
        match self {
            Self::Header(name) => *name = header("event.header", name)?,
            Self::Field(field) if is_pointer(field) => {}
            Self::Field(_) => return Err(Problem::new("event.field", "Write a JSON pointer, such as `/type`.")),
        }
        Ok(())
    }

    /// What happened; empty if the request does not say.
    pub(crate) fn of(&self, received: &Received, body: &Value) -> Result<String, Refusal> {
        Ok(match self {
            Self::Header(name) => received.headers.one(name)?.unwrap_or_default().to_owned(),
            Self::Field(field) => body.pointer(field).and_then(scalar).unwrap_or_default(),
        })
    }
}

fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 256
}

/// A text or whole number, as text. Other numbers have more than one way to be written (`1e2`, `100.0`), and what parses
/// them may have rounded them: two ids could become one.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}
