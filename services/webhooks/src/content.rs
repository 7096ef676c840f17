//! A body as one JSON value, by its content type.

use serde_json::Value;

use crate::headers::Received;
use crate::refusal::{Reason, Refusal};
use crate::{form, json};

/// Types of bodies that a kind may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// `application/json` and `application/…+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `text/…`, and XML of all sorts: one string.
    Text,
}

/// What type the body says it is of; `None` without a type, or with one that nobody reads.
pub(crate) fn of(received: &Received) -> Result<Option<Content>, Refusal> {
    let Some(value) = received.headers.one("content-type")? else { return Ok(None) };
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset =
        parameters.split(';').filter_map(|p| p.trim().split_once('=')).find(|(n, _)| n.eq_ignore_ascii_case("charset"));
    if charset
        .is_some_and(|(_, set)| !matches!(set.trim_matches('"').to_ascii_lowercase().as_str(), "utf-8" | "us-ascii"))
    {
        return Ok(None);
    }
    let kind = kind.trim().to_ascii_lowercase();
    Ok(match kind.as_str() {
        "application/json" => Some(Content::Json),
        "application/x-www-form-urlencoded" => Some(Content::Form),
        "application/xml" => Some(Content::Text),
        _ if kind.starts_with("text/") || kind.ends_with("+xml") => Some(Content::Text),
        _ if kind.starts_with("application/") && kind.ends_with("+json") => Some(Content::Json),
        _ => None,
    })
}

/// The body as JSON: an object of a form's fields, a string of a text.
pub(crate) fn read(received: &Received, taken: &[Content]) -> Result<Value, Refusal> {
    let Some(content) = of(received)?.filter(|content| taken.contains(content)) else {
        return Err(Refusal::new(Reason::ContentType, "The body is not of a type that this kind of hook reads."));
    };
    match content {
        Content::Json => json(&received.body),
        Content::Form => {
            form::parse(&received.body).map(Value::Object).map_err(|detail| Refusal::new(Reason::BodyMalformed, detail))
        }
        Content::Text => std::str::from_utf8(&received.body)
            .map(Value::from)
            .map_err(|_| Refusal::new(Reason::BodyMalformed, "The body is not UTF-8.")),
    }
}

/// A body that is JSON whatever its type says.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, Refusal> {
    json::parse(bytes)
        .map_err(|place| Refusal::new(Reason::BodyMalformed, format!("The body cannot be read as JSON ({place}).")))
}
