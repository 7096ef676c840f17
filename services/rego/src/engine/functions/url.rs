//! `urlquery.*`, `base64.*` and `hex.decode`. Bytes that are not UTF-8 are an error: texts hold no others here.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use regorus::Value;

use super::arguments::{Arguments, array_of};

/// What is left of the last character does not matter.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

fn text_of(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).ok().context("what is decoded is not text")
}

fn unescape(text: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { bail!("invalid URL escape") };
                u8::try_from(high * 16 + low)?
            }
            byte => byte,
        });
    }
    text_of(bytes)
}

fn push_escaped(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

pub(super) fn decode(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(unescape(arguments.text(0)?)?.into())
}

pub(super) fn encode(arguments: &Arguments<'_>) -> Result<Value> {
    let mut out = String::new();
    push_escaped(arguments.text(0)?, &mut out);
    Ok(out.into())
}

pub(super) fn decode_object(arguments: &Arguments<'_>) -> Result<Value> {
    let mut fields: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for part in arguments.text(0)?.split('&').filter(|part| !part.is_empty()) {
        ensure!(!part.contains(';'), "a semicolon does not separate parameters in a query");
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        fields.entry(unescape(key)?.into()).or_default().push(unescape(value)?.into());
    }
    Ok(fields.into_iter().map(|(key, values)| (key, array_of(values))).collect::<BTreeMap<_, _>>().into())
}

pub(super) fn encode_object(arguments: &Arguments<'_>) -> Result<Value> {
    let Value::Object(fields) = arguments.value(0)? else { bail!("argument 1 must be an object") };
    let mut pairs = BTreeMap::new();
    for (key, value) in fields.iter() {
        let key = match key {
            Value::String(key) => key.to_string(),
            key => key.to_string(),
        };
        let values: Vec<&Value> = match value {
            Value::String(_) => vec![value],
            Value::Array(values) => values.iter().collect(),
            Value::Set(values) => values.iter().collect(),
            _ => bail!("a value is neither a string nor a list of strings"),
        };
        pairs.insert(key, values);
    }
    let mut out = String::new();
    for (key, values) in pairs {
        for value in values {
            if !out.is_empty() {
                out.push('&');
            }
            push_escaped(&key, &mut out);
            out.push('=');
            push_escaped(value.as_string()?, &mut out);
        }
    }
    Ok(out.into())
}

/// Line ends in it are passed over, as they are where it comes from.
fn from_base64(text: &str) -> Result<Vec<u8>> {
    BASE64.decode(text.replace(['\r', '\n'], "")).ok().context("invalid base64")
}

pub(super) fn base64_decode(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(text_of(from_base64(arguments.text(0)?)?)?.into())
}

pub(super) fn base64_is_valid(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(arguments.text(0).is_ok_and(|text| from_base64(text).is_ok()).into())
}

pub(super) fn base64url_decode(arguments: &Arguments<'_>) -> Result<Value> {
    let text = arguments.text(0)?;
    let padding = match text.len() % 4 {
        _ if text.ends_with('=') => "",
        0 => "",
        2 => "==",
        3 => "=",
        _ => bail!("invalid base64"),
    };
    let text = format!("{}{padding}", text.replace(['\r', '\n'], ""));
    text_of(BASE64URL.decode(text).ok().context("invalid base64")?).map(Value::from)
}

pub(super) fn hex_decode(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(text_of(hex::decode(arguments.text(0)?).ok().context("invalid hexadecimal text")?)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn queries_are_read_and_written() {
        let decoded = call("urlquery.decode_object", &["a=1&b=%C3%A9+x&a=2&c".into()]);
        assert_eq!(decoded.to_string(), r#"{"a":["1","2"],"b":["é x"],"c":[""]}"#);
        assert_eq!(call("urlquery.encode_object", &[decoded]), Value::from("a=1&a=2&b=%C3%A9+x&c="));
        assert_eq!(call("urlquery.decode", &["#a%2F+".into()]), Value::from("#a/ "));
        assert_eq!(call("urlquery.encode", &["~a/*".into()]), Value::from("~a%2F%2A"));
        for bad in ["%", "%z1", "%ff"] {
            fails("urlquery.decode", &[bad.into()]);
            fails("urlquery.decode_object", &[bad.into()]);
        }
        fails("urlquery.decode_object", &["a;b".into()]);
    }

    #[test]
    fn base64_ends_where_its_padding_is() {
        assert_eq!(call("base64.decode", &["Zm9v\r\nYmFy".into()]), Value::from("foobar"));
        for bad in ["YWJjYQ==/w==", "YQ", "/w==", "YQ=", "é"] {
            fails("base64.decode", &[bad.into()]);
        }
        assert_eq!(call("base64.is_valid", &[Value::from(5)]), Value::from(false));
        assert_eq!(call("base64url.decode", &["YQ".into()]), call("base64url.decode", &["YQ==".into()]));
        fails("hex.decode", &["ff".into()]);
    }
}
