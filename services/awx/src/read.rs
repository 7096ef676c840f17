//! Lenient reading of foreign JSON: what is missing or of another type is absent, never an error and never a panic.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::{AwxError, tree};

pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn integer(value: &Value, key: &str) -> Option<i64> {
    value.get(key).and_then(Value::as_i64)
}

/// A primary key: a positive integer.
pub(super) fn id(value: &Value, key: &str) -> Option<i64> {
    integer(value, key).filter(|id| *id > 0)
}

pub(super) fn at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.get(key))
}

pub(super) fn texts(value: &Value, key: &str) -> Vec<String> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(|items| items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// A time as a controller takes it.
pub(super) fn rfc3339(time: OffsetDateTime) -> Result<String, AwxError> {
    time.to_offset(UtcOffset::UTC).format(&Rfc3339).map_err(|_| AwxError::bad("a time that cannot be written"))
}

/// The most memory that the variables of one run take, bytes.
const MOST_VARIABLES: usize = 16 * 1024 * 1024;

/// `extra_vars` as AWX shows them: a JSON object within a string. `None` where it shows something else.
///
/// # Errors
/// When they are more than is read of one run. That is not the same: what there is and was not read may be anything.
pub(super) fn variables(value: &Value, key: &str) -> Result<Option<Map<String, Value>>, AwxError> {
    match value.get(key) {
        Some(Value::Object(map)) => Ok(Some(map.clone())),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Some(Map::new())),
        Some(Value::String(text)) => match tree::read(text.as_bytes(), &mut { MOST_VARIABLES }) {
            Ok(Value::Object(map)) => Ok(Some(map)),
            Err(error @ AwxError::TooLarge { .. }) => Err(error),
            Ok(_) | Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Text of foreign origin made fit to show: one line, no control characters, not too long.
pub(super) fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut blank = true;
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() {
            if !blank {
                out.push(' ');
                blank = true;
            }
        } else {
            out.push(c);
            blank = false;
        }
        if out.len() >= most {
            out.push('…');
            break;
        }
    }
    out.trim_end().to_owned()
}
