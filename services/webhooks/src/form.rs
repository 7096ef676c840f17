//! Form-encoded bodies and queries.

use serde_json::{Map, Value};
use url::form_urlencoded;

/// A form with more fields than this is none that a known sender sends.
const MAX_FIELDS: usize = 256;

/// A form as an object of strings. A field that is there twice is refused, for two readers may take different ones.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, &'static str> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        if object.len() >= MAX_FIELDS {
            return Err("The form has too many fields.");
        }
        if object.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err("A field of the form is there more than once.");
        }
    }
    Ok(object)
}

/// The value of a parameter in a query, if it is there exactly once.
pub(crate) fn parameter(query: &str, wanted: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}
