//! JSON, read as OPA reads it: numbers exactly, the last of two equal keys, half a surrogate pair as U+FFFD.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, in_order};
use super::numbers::MAX_EXPONENT;

/// How deep objects and arrays may nest.
const MAX_DEPTH: usize = 128;

/// Reads one JSON text.
///
/// # Errors
/// When it is not one, or nests too deep.
pub(in crate::engine) fn read(text: &str) -> Result<Value> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.blank();
    ensure!(reader.rest.is_empty(), "there is something after the JSON");
    Ok(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// White space around it is passed over.
    fn punctuation(&mut self, wanted: &str) -> bool {
        self.blank();
        self.eat(wanted)
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        ensure!(depth <= MAX_DEPTH, "the JSON nests deeper than {MAX_DEPTH} levels");
        self.blank();
        if self.eat("{") {
            return self.object(depth);
        }
        if self.eat("[") {
            let mut items = Vec::new();
            if self.punctuation("]") {
                return Ok(Value::from(items));
            }
            loop {
                items.push(self.value(depth + 1)?);
                if self.punctuation("]") {
                    return Ok(Value::from(items));
                }
                ensure!(self.punctuation(","), "the JSON is invalid");
            }
        }
        if self.eat("\"") {
            return Ok(self.string()?.into());
        }
        for (word, value) in [("null", Value::Null), ("true", true.into()), ("false", false.into())] {
            if self.eat(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        let mut fields = BTreeMap::new();
        if self.punctuation("}") {
            return Ok(Value::from(fields));
        }
        loop {
            ensure!(self.punctuation("\""), "the JSON is invalid");
            let key = Value::from(self.string()?);
            ensure!(self.punctuation(":"), "the JSON is invalid");
            fields.insert(key, self.value(depth + 1)?);
            if self.punctuation("}") {
                return Ok(Value::from(fields));
            }
            ensure!(self.punctuation(","), "the JSON is invalid");
        }
    }

    fn digits(&mut self) -> usize {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        before - self.rest.len()
    }

    fn number(&mut self) -> Result<Value> {
        let begin = self.rest;
        self.eat("-");
        let leading_zero = self.rest.starts_with('0');
        let whole = self.digits();
        ensure!(whole == 1 || (whole > 1 && !leading_zero), "the JSON is invalid");
        if self.eat(".") {
            ensure!(self.digits() > 0, "the JSON is invalid");
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            let exponent = self.rest;
            let digits = self.digits();
            let exponent: u32 = exponent.get(..digits).unwrap_or_default().parse().context("the JSON is invalid")?;
            ensure!(exponent <= MAX_EXPONENT, "a number is out of range");
        }
        let text = begin.get(..begin.len() - self.rest.len()).unwrap_or_default();
        Value::from_numeric_string(text)
    }

    /// A string after its opening quote.
    fn string(&mut self) -> Result<String> {
        let mut out = String::new();
        loop {
            let end = self.rest.find(|c: char| c == '"' || c == '\\' || c < ' ').context("the JSON is invalid")?;
            let (plain, rest) = self.rest.split_at(end);
            out.push_str(plain);
            self.rest = rest;
            if self.eat("\"") {
                return Ok(out);
            }
            ensure!(self.eat("\\"), "the JSON is invalid");
            let escape = self.rest.chars().next().context("the JSON is invalid")?;
            self.rest = self.rest.get(escape.len_utf8()..).unwrap_or_default();
            out.push(match escape {
                '"' | '\\' | '/' => escape,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => self.unicode()?,
                _ => bail!("the JSON is invalid"),
            });
        }
    }

    fn unit(&mut self) -> Result<u32> {
        let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = u32::from_str_radix(digits.context("the JSON is invalid")?, 16)?;
        self.rest = self.rest.get(4..).unwrap_or_default();
        Ok(unit)
    }

    fn unicode(&mut self) -> Result<char> {
        let unit = self.unit()?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        let after = self.rest;
        if (0xd800..0xdc00).contains(&unit) && self.eat("\\u") {
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                let pair = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.rest = after;
        Ok(char::REPLACEMENT_CHARACTER)
    }
}

/// One line of JSON, with the characters escaped that mean something to HTML or end a line of JavaScript.
fn push_json(value: &Value, out: &mut String) {
    fn list<'a>(items: impl Iterator<Item = &'a Value>, out: &mut String) {
        out.push('[');
        for (place, item) in items.enumerate() {
            out.push_str(if place == 0 { "" } else { "," });
            push_json(item, out);
        }
        out.push(']');
    }
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.format_decimal()),
        Value::String(text) => push_string(text, out),
        Value::Array(items) => list(items.iter(), out),
        Value::Set(items) => list(in_order(items.iter()).into_iter(), out),
        Value::Object(fields) => {
            // Keys that are no strings are the text they would be.
            let key = |key: &Value| match key {
                Value::String(key) => key.to_string(),
                key => {
                    let mut text = String::new();
                    push_json(key, &mut text);
                    text
                }
            };
            let fields: BTreeMap<String, &Value> = fields.iter().map(|(name, value)| (key(name), value)).collect();
            out.push('{');
            for (place, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                push_string(&key, out);
                out.push(':');
                push_json(value, out);
            }
            out.push('}');
        }
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

pub(super) fn marshal(arguments: &Arguments<'_>) -> Result<Value> {
    let mut out = String::new();
    push_json(arguments.value(0)?, &mut out);
    Ok(out.into())
}

pub(super) fn unmarshal(arguments: &Arguments<'_>) -> Result<Value> {
    read(arguments.text(0)?)
}

pub(super) fn is_valid(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(arguments.text(0).is_ok_and(|text| read(text).is_ok()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::call;

    #[test]
    fn what_json_is_and_what_not() {
        for text in [
            "0",
            "-0",
            " [1, {\"a\" : null}]\n",
            "\"\\u00e9\\n\\/\"",
            "1e3",
            "{}",
            "[]",
            "123456789012345678901234567890",
        ] {
            read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        for text in [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e999999999",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "nul",
            "1 2",
            "\u{feff}1",
            "\"",
            "[",
            "'a'",
            &"[".repeat(100_000),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = read(r#"{"b": [1.5, null, "<é\"\n\u2028\u0001>"], "a": {}}"#).unwrap();
        let written = call("json.marshal", std::slice::from_ref(&value));
        let text = written.as_string().unwrap();
        assert_eq!(text.as_ref(), r#"{"a":{},"b":[1.5,null,"\u003cé\"\n\u2028\u0001\u003e"]}"#);
        assert_eq!(read(text).unwrap(), value);
    }

    #[test]
    fn numbers_and_characters_are_exact() {
        assert_eq!(
            read("123456789012345678901234567890").unwrap().as_number().unwrap().format_decimal(),
            "123456789012345678901234567890"
        );
        assert_eq!(read("0.30000000000000004").unwrap(), Value::from(0.1_f64 + 0.2));
        assert_eq!(read("\"\\ud83d\\ude00\\ud800x\"").unwrap(), Value::from("😀\u{fffd}x"));
        assert_eq!(read("{\"a\": 1, \"a\": 2}").unwrap().to_string(), "{\"a\":2}");
    }
}
