//! How single fields are converted between JSON and the contracts.

use prost_types::Timestamp;
use runwarden_kit::Error;
use runwarden_kit::clock::Moment;
use serde::Deserialize as _;
use serde_json::Value;

use crate::problem::{Problem, Result};

/// A part of a service's answer that is always there.
pub(super) fn present<T>(part: Option<T>, what: &str) -> Result<T> {
    part.ok_or_else(|| Problem::from(Error::internal(anyhow::anyhow!("an answer lacks its {what}"))))
}

/// A moment as RFC 3339 in UTC.
pub(super) fn time(moment: Option<Timestamp>) -> Option<String> {
    moment.as_ref().and_then(Moment::from_proto).map(Moment::rfc3339)
}

/// A moment that is always there; 1970 says that it was not.
pub(super) fn always(moment: Option<Timestamp>) -> String {
    time(moment).unwrap_or_else(|| Moment::from_micros(0).rfc3339())
}

/// A text that is absent when empty.
pub(super) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// JSON that a service keeps as text.
pub(super) fn kept_json(text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        Problem::from(Error::internal(anyhow::Error::from(error).context(format!("{what} is no JSON"))))
    })
}

/// JSON that a service keeps as text; an empty object for none.
pub(super) fn kept_object(text: &str, what: &str) -> Result<Value> {
    if text.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { kept_json(text, what) }
}

/// A time in a body.
pub(super) fn moment(pointer: &str, text: &str) -> Result<Timestamp> {
    Moment::parse(text)
        .map(Moment::to_proto)
        .ok_or_else(|| Problem::invalid(pointer, "must be a time such as 2026-01-31T12:00:00Z"))
}

/// Reads a field that may be absent, null or a value as `None`, `Some(None)` or `Some(Some(_))`.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> std::result::Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
