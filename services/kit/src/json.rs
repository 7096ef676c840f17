//! JSON from outside, read strictly, and JSON for digests, written canonically.
//!
//! `serde_json` takes the last of two equal keys and rounds numbers that do not fit an `f64`, so two readers of one body
//! may disagree about what it says. Here both are refused.

mod number;

use std::fmt;

use aws_lc_rs::digest;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};
use crate::reason::ErrorReason;
use number::Numbers;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 64;

/// Reads one JSON document: UTF-8, no key twice in an object, at most [`MAX_DEPTH`] deep, no number that would lose
/// its value, nothing after it.
///
/// # Errors
/// `MALFORMED_REQUEST`, with the place where reading stopped.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| malformed(format!("The body is not UTF-8 (byte {}).", e.valid_up_to())))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let numbers = Numbers::of(text);
    let value = Strict { depth: 0, numbers: &numbers }.deserialize(&mut deserializer).map_err(|e| explain(&e))?;
    deserializer.end().map_err(|e| explain(&e))?;
    Ok(value)
}

fn malformed(detail: String) -> Error {
    Error::new(ErrorReason::MalformedRequest, detail)
}

fn explain(error: &serde_json::Error) -> Error {
    // serde_json's text names only JSON's own terms and the position.
    malformed(format!("The body is not the expected JSON: {error}."))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    numbers: &'a Numbers<'a>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict<'_> {
    fn deeper<E: de::Error>(&self) -> std::result::Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..*self })
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Value, E> {
        self.numbers.next();
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Value, E> {
        self.numbers.next();
        Ok(Value::from(v))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> std::result::Result<Value, E> {
        let written = self.numbers.next().unwrap_or_default();
        if !v.is_finite() || v.abs() >= 18_446_744_073_709_551_615.0 {
            return Err(E::custom("a number out of range"));
        }
        // What arrives here may be rounded already: `10.000000000000000001` is 10, and passes `maximum: 10`.
        if !number::survives(written, v) {
            return Err(E::custom(
                "a number that cannot be kept exactly; write it with at most 15 digits, or as a string",
            ));
        }
        Ok(Value::from(v))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> std::result::Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                // Keys come from outside and may be as long as the body.
                let shown: String = key.chars().take(64).collect();
                return Err(de::Error::custom(format_args!("the key {shown:?} is given twice in one object")));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// JSON in one canonical form: keys sorted, no white space, so that equal values have equal bytes and digests. Numbers
/// stay as they were written: for their normal form, see [`normal`]. (serde_json's map is sorted as long as its
/// `preserve_order` feature is off; sorting here does not rely on that.)
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_sorted(value, Number::to_string, &mut out);
    out
}

/// [`canonical`] JSON in which equal numbers are written alike too: `1.0` and `1e2` as `1` and `100`. For telling whether
/// two bodies say the same; what is passed on, or was digested before, keeps the form it came in.
#[must_use]
pub fn normal(value: &Value) -> String {
    let mut out = String::new();
    write_sorted(value, number::normal, &mut out);
    out
}

fn write_sorted(value: &Value, write_number: fn(&Number) -> String, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&write_number(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_sorted(item, write_number, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (at, key) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_sorted(map.get(key).unwrap_or(&Value::Null), write_number, out);
            }
            out.push('}');
        }
    }
}

/// SHA-256 as lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// The SHA-256 of a value's canonical form, hex.
#[must_use]
pub fn digest(value: &Value) -> String {
    sha256_hex(canonical(value).as_bytes())
}

/// Where a string with a NUL character stands, as a JSON pointer: AWX refuses them, and so do most stores.
#[must_use]
pub fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| find_nul(item).map(|rest| format!("/{at}{rest}")))
        }
        Value::Object(map) => map.iter().find_map(|(key, item)| {
            let step = pointer_step(key);
            if key.contains('\0') {
                return Some(step);
            }
            find_nul(item).map(|rest| format!("{step}{rest}"))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// One escaped step of a JSON pointer (RFC 6901): `a/b` becomes `/a~1b`.
#[must_use]
pub fn pointer_step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1").replace('\0', "\\u0000"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"a":{"b":1,"b":1}}"#,
            b"{\"a\":\"\xff\"}",
            b"1e400",
            b"123456789012345678901234567890",
            b"10.000000000000000001",
            br#"{"a":["1",{"b":0.1000000000000000055511151231257827}]}"#,
            b"1e-400",
            b"{} {}",
            b"{\"a\":NaN}",
            b"",
            b"{",
        ] {
            let error = parse(bad).expect_err("must be refused");
            assert_eq!(error.reason(), ErrorReason::MalformedRequest);
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_body() {
        let key = "k".repeat(10_000);
        let error = parse(format!(r#"{{"{key}":1,"{key}":2}}"#).as_bytes()).expect_err("must be refused");
        assert!(error.detail().len() < 300, "{}", error.detail().len());
    }

    #[test]
    fn depth_is_bounded_without_overflowing_the_stack() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert!(parse(&deep(MAX_DEPTH + 1)).is_err());
        assert!(parse(&deep(10_000)).is_err());
        assert!(parse(&b"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn equal_values_have_one_normal_form_and_keep_their_own() {
        let read = |text: &str| parse(text.as_bytes()).expect("it is JSON");
        let (one, same) = (read(r#"{"a":[1.0,1e2],"b":-0.0}"#), read(r#"{"b":0,"a":[1,100]}"#));
        assert_eq!(normal(&one), normal(&same));
        assert_eq!(canonical(&one), r#"{"a":[1.0,100.0],"b":-0.0}"#);
        assert_ne!(normal(&one), normal(&read(r#"{"a":[1,101],"b":0}"#)));
        assert_ne!(normal(&one), normal(&read(r#"{"a":["1",100],"b":0}"#)));
    }

    #[test]
    fn a_nul_is_found_where_it_stands() {
        let value = json!({"a": [1, {"b/c": "x\u{0}y"}]});
        assert_eq!(find_nul(&value).as_deref(), Some("/a/1/b~1c"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_json_reads_back_as_the_same_value(value in any_json()) {
            let text = canonical(&value);
            prop_assert_eq!(parse(text.as_bytes()).ok(), Some(value));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _outcome = parse(&bytes);
        }
    }
}
