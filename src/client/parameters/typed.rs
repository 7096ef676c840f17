//! From a text to the value that the schema expects.

use runwarden_kit::json;
use serde_json::{Number, Value};

use super::schema::{Expected, Kind, word};

/// More digits than a number in JSON keeps everywhere.
const MOST_DIGITS: usize = 17;

/// The value that a text stands for; else why it stands for none, without quoting it.
pub(super) fn typed(text: &str, expected: Expected<'_>) -> Result<Value, String> {
    if let Some(choices) = expected.choices() {
        let chosen = choices.iter().find(|choice| word(choice) == text);
        return chosen.map(|choice| (*choice).clone()).ok_or_else(|| format!("must be {}", expected.described()));
    }
    let kinds = expected.kinds();
    // From what can be told from others to what takes everything.
    for kind in &kinds {
        if let Some(value) = as_kind(text, *kind, expected)? {
            return Ok(value);
        }
    }
    Err(format!("must be {}", expected.described()))
}

/// A list of texts, one item each.
pub(super) fn list(texts: &[String], expected: Expected<'_>) -> Result<Value, String> {
    let items = expected.items();
    texts.iter().map(|text| typed(text, items)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// A text that is JSON, whatever is expected.
pub(super) fn from_json(text: &str) -> Result<Value, String> {
    // A parser's words could quote a secret, and where it stopped is enough.
    json::parse(text.as_bytes())
        .map_err(|_| "is not JSON, names a key twice, or has a number that cannot be kept".to_owned())
}

fn as_kind(text: &str, kind: Kind, expected: Expected<'_>) -> Result<Option<Value>, String> {
    Ok(match kind {
        Kind::Null => (text == "null").then_some(Value::Null),
        Kind::Boolean => text.parse().ok().map(Value::Bool),
        Kind::Integer => integer(text)?,
        Kind::Number => number(text)?,
        Kind::Array if text.starts_with('[') => Some(from_json(text)?),
        // One item, unless the text may stand for itself.
        Kind::Array if !expected.kinds().contains(&Kind::String) => Some(list(&[text.to_owned()], expected)?),
        Kind::Object if text.starts_with('{') => Some(from_json(text)?),
        Kind::Array | Kind::Object => None,
        Kind::String => Some(Value::String(text.to_owned())),
    })
}

fn integer(text: &str) -> Result<Option<Value>, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // As JSON has them: no sign but a minus, no zeros in front.
    let is_integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_integer || (digits.len() > 1 && digits.starts_with('0')) {
        return Ok(None);
    }
    let number = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    number.map(|number| Some(Value::Number(number))).map_err(|_| "is too large a number".to_owned())
}

fn number(text: &str) -> Result<Option<Value>, String> {
    if let Some(integer) = integer(text)? {
        return Ok(Some(integer));
    }
    let Ok(number) = serde_json::from_str::<Number>(text) else { return Ok(None) };
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    if mantissa.bytes().filter(u8::is_ascii_digit).count() > MOST_DIGITS {
        return Err(format!("has more than the {MOST_DIGITS} digits that a number keeps"));
    }
    Ok(Some(Value::Number(number)))
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schema;
    use super::{list, typed};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn with<T>(property: &Value, then: impl FnOnce(super::Expected<'_>) -> T) -> T {
        let schema = json!({"properties": {"p": property}});
        then(Schema(&schema).parameter("p").unwrap())
    }

    fn value(property: Value, text: &str) -> Result<Value, String> {
        with(&property, |expected| typed(text, expected))
    }

    #[test]
    fn a_text_becomes_what_the_schema_expects() {
        for (property, text, want) in [
            (json!({"type": "string"}), "5", json!("5")),
            (json!({"type": "string"}), "null", json!("null")),
            (json!({"type": "integer"}), "-5", json!(-5)),
            (json!({"type": "integer"}), "18446744073709551615", json!(u64::MAX)),
            (json!({"type": "number"}), "5", json!(5)),
            (json!({"type": "number"}), "2.5e3", json!(2500.0)),
            (json!({"type": "boolean"}), "true", json!(true)),
            (json!({"type": ["integer", "null"]}), "null", json!(null)),
            (json!({"type": ["integer", "string"]}), "5", json!(5)),
            (json!({"type": ["integer", "string"]}), "five", json!("five")),
            (json!({}), "5", json!(5)),
            (json!({}), "[1]", json!([1])),
            (json!({}), "five", json!("five")),
            (json!({"enum": ["5", 7]}), "5", json!("5")),
            (json!({"enum": ["5", 7]}), "7", json!(7)),
            (json!({"type": "array", "items": {"type": "integer"}}), "5", json!([5])),
            (json!({"type": "array", "items": {"type": "integer"}}), "[5, 6]", json!([5, 6])),
            (json!({"type": "object"}), "{\"a\": 1}", json!({"a": 1})),
        ] {
            assert_eq!(value(property.clone(), text), Ok(want), "{property} {text}");
        }
    }

    #[test]
    fn what_is_expected_is_said() {
        for (property, text, want) in [
            (json!({"type": "integer"}), "three", "must be a whole number"),
            (json!({"type": "integer"}), "3.0", "must be a whole number"),
            (json!({"type": "integer"}), "007", "must be a whole number"),
            (json!({"type": "integer"}), "", "must be a whole number"),
            (json!({"type": "integer"}), "99999999999999999999", "is too large a number"),
            (json!({"type": "number"}), "0.12345678901234567890", "has more than the 17 digits that a number keeps"),
            (json!({"type": "boolean"}), "yes", "must be true or false"),
            (json!({"enum": ["dev", "prod"]}), "moon", "must be one of dev, prod"),
        ] {
            assert_eq!(value(property.clone(), text), Err(want.to_owned()), "{property} {text}");
        }
        let broken = value(json!({"type": "object"}), "{hunter2").unwrap_err();
        assert!(broken.starts_with("is not JSON") && !broken.contains("hunter2"));
    }

    #[test]
    fn a_list_is_typed_item_by_item() {
        let numbers = json!({"type": "array", "items": {"type": "integer"}});
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(with(&numbers, |expected| list(&texts(&["1", "2"]), expected)), Ok(json!([1, 2])));
        assert_eq!(
            with(&numbers, |expected| list(&texts(&["1", "b"]), expected)),
            Err("must be a whole number".to_owned())
        );
    }

    proptest! {
        #[test]
        fn every_text_is_itself_where_a_text_is_expected(text in "\\PC*") {
            prop_assert_eq!(value(json!({"type": "string"}), &text), Ok(json!(text)));
        }

        #[test]
        fn every_number_is_itself_where_a_number_is_expected(whole: i64, real in -1e12..1e12f64) {
            prop_assert_eq!(value(json!({"type": "integer"}), &whole.to_string()), Ok(json!(whole)));
            let text = format!("{real:.3}");
            let read = value(json!({"type": "number"}), &text).unwrap();
            prop_assert_eq!(read.as_f64().unwrap(), text.parse::<f64>().unwrap());
        }

        #[test]
        fn what_is_typed_is_of_an_expected_kind(
            text in "\\PC{0,12}|-?[0-9.e]{0,8}|true|null|\\[[0-9,]*\\]|\\{\\}",
            kind in prop::sample::select(vec!["integer", "number", "boolean", "array", "object", "null"]),
        ) {
            if let Ok(value) = value(json!({"type": kind}), &text) {
                let fits = match kind {
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    _ => value.is_null(),
                };
                prop_assert!(fits, "{} for {}", value, kind);
            }
        }
    }
}
