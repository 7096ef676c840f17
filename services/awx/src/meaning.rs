//! What a template's own variables mean, however they were typed: a comment, another order, or JSON in place of YAML is
//! not a change of the template.
//!
//! AWX reads them with a YAML 1.1 loader, so plain words are resolved as that does: `yes` is true, `0o17` is text. What
//! is not certain to mean the same is not called the same.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// The most values that are built, aliases counted as often as they are used.
const MOST_VALUES: usize = 100_000;
const DEEPEST: usize = 64;
/// The prefix of values that JSON cannot express, so that no text is mistaken for one.
const NO_JSON: char = '\u{0}';

/// The variables that a text contains; `None` if that cannot be determined.
pub(super) fn of(text: &str) -> Option<Value> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => yaml(text)?,
    };
    match value {
        // An empty document, and one of comments only, sets nothing.
        Value::Null => Some(Value::Object(Map::new())),
        Value::Object(_) => Some(value),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

fn yaml(text: &str) -> Option<Value> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), left: MOST_VALUES };
    let mut document = None;
    loop {
        match reader.events.next()?.ok()?.0 {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            Event::StreamEnd => return Some(document.unwrap_or(Value::Null)),
            // AWX takes one document.
            _ if document.is_some() => return None,
            event => document = Some(reader.value(event, 0)?),
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    left: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<Event<'t>> {
        Some(self.events.next()?.ok()?.0)
    }

    fn value(&mut self, event: Event<'t>, depth: usize) -> Option<Value> {
        self.take(1)?;
        if depth > DEEPEST {
            return None;
        }
        let (anchor, value) = match event {
            Event::Scalar(text, ScalarStyle::Plain, anchor, None) => (anchor, plain(&text)),
            Event::Scalar(text, _, anchor, None) => (anchor, Value::from(text.as_ref())),
            Event::SequenceStart(anchor, None) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break (anchor, Value::Array(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, None) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor)?.clone();
                self.take(size(&value))?;
                return Some(value);
            }
            // A tag says what no plain text does.
            _ => return None,
        };
        if anchor > 0 {
            self.take(size(&value))?;
            self.anchors.insert(anchor, value.clone());
        }
        Some(value)
    }

    fn mapping(&mut self, depth: usize) -> Option<Value> {
        let (mut own, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => None,
                event => Some(self.value(event, depth + 1)?),
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            match (key, value) {
                (Some(Value::String(key)), value) => drop(own.insert(key, value)),
                (Some(key @ (Value::Null | Value::Bool(_) | Value::Number(_))), value) => {
                    own.insert(key.to_string(), value);
                }
                (Some(_), _) => return None,
                (None, Value::Object(map)) => merge(&mut merged, map),
                (None, Value::Array(maps)) => {
                    for map in maps {
                        let Value::Object(map) = map else { return None };
                        merge(&mut merged, map);
                    }
                }
                (None, _) => return None,
            }
        }
        merged.extend(own);
        Some(Value::Object(merged))
    }

    fn take(&mut self, values: usize) -> Option<()> {
        self.left = self.left.checked_sub(values)?;
        Some(())
    }
}

/// What is merged first stays.
fn merge(into: &mut Map<String, Value>, map: Map<String, Value>) {
    for (key, value) in map {
        into.entry(key).or_insert(value);
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// An unquoted scalar in YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return false.into(),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return text.into();
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| match is_odd(text) {
        true => format!("{NO_JSON}{text}").into(),
        false => text.into(),
    })
}

fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'b', ..] => (2, digits.get(2..)?),
        [b'0', b'x', ..] => (16, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    // The sign is before the digits and nowhere else.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || digits.starts_with('_') && radix == 10 {
        return None;
    }
    let number = match i64::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(number) => number,
        // A number all the same, though not one that fits here.
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
            return Some(format!("{NO_JSON}{text}").into());
        }
        Err(_) => return None,
    };
    Some(if negative { number.checked_neg()? } else { number }.into())
}

fn float(text: &str) -> Option<Value> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    // An exponent has its sign, and a non-integer number has its point; everything else is text.
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let signed = exponent.is_none_or(|exponent| exponent.strip_prefix(['+', '-']).is_some_and(digits));
    let (whole, fraction) = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa).split_once('.')?;
    let figures = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !signed || !figures(whole) || !figures(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    Some(Number::from_f64(number).map_or_else(|| format!("{NO_JSON}{text}").into(), Value::Number))
}

/// Whether a scalar is a time, a date or a number that JSON cannot express: its value is left alone.
fn is_odd(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b':' | b'_' | b' ' | b'T' | b't' | b'Z'))
        && text.contains([':', '-'])
        || matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_order_and_json_are_no_difference() {
        let plain = "---\nport: 8080\nnames:\n  - a\n  - b\nrestart: yes\n";
        let told = of(plain).unwrap();
        assert_eq!(told, json!({"port": 8080, "names": ["a", "b"], "restart": true}));
        for same in [
            "# the port\nport: 8080 # as ever\n\nrestart: true\nnames: [a, 'b']\n",
            r#"{"port": 8080, "names": ["a", "b"], "restart": true}"#,
            "port: 0x1f90\nnames: [\"a\", b]\nrestart: on",
        ] {
            assert_eq!(of(same).as_ref(), Some(&told), "{same}");
        }
        for empty in ["", "---", "{}", "# nothing\n", "--- \n# nothing\n"] {
            assert_eq!(of(empty), Some(json!({})), "{empty:?}");
        }
    }

    #[test]
    fn what_means_something_else_is_told_apart() {
        for (one, other) in [
            ("a: yes", "a: 'yes'"),
            ("a: 1", "a: '1'"),
            ("a: 010", "a: 10"),
            ("a: 1_000", "a: '1_000'"),
            ("a: 2026-11-28", "a: '2026-11-28'"),
            ("a: 1:30", "a: '1:30'"),
            ("a: .inf", "a: '.inf'"),
            ("a: 99999999999999999999", "a: '99999999999999999999'"),
            ("a: 1.0e+999", "a: '1.0e+999'"),
            ("a: ~", "a: '~'"),
            ("a: 1", "a: 2"),
            ("a: 1", "b: 1"),
        ] {
            assert_ne!(of(one).unwrap(), of(other).unwrap(), "{one} {other}");
        }
        assert_eq!(of("a: 1e3").unwrap(), json!({"a": "1e3"}), "an exponent without a sign is text to YAML 1.1");
        assert_eq!(of("a: 1.5e+3").unwrap(), json!({"a": 1500.0}));
        assert_eq!(of("a: -0x10").unwrap(), json!({"a": -16}));
    }

    #[test]
    fn aliases_and_merges_are_what_they_stand_for() {
        let written = "base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\nagain: *b\n";
        assert_eq!(
            of(written).unwrap(),
            json!({"base": {"x": 1, "y": 2}, "other": {"x": 1, "y": 3}, "again": {"x": 1, "y": 2}})
        );
    }

    #[test]
    fn what_cannot_be_said_is_not_guessed() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 9].join(",");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        let deep = format!("a: {}", "[".repeat(10_000));
        for text in
            ["a: !vault x", "a: !!str 1", "- a", "text", "a: [", "a: 1\n---\nb: 2", "? {a: 1}\n: 2", &bomb, &deep]
        {
            assert_eq!(of(text), None, "{}", text.get(..30).unwrap_or(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[ -~\\n]{0,80}") {
            let _read = of(&text);
        }

        #[test]
        fn json_is_what_it_says(value in "[a-z]{1,5}", number in any::<i64>()) {
            let written = json!({"a": value, "b": [number, null, true]});
            prop_assert_eq!(of(&written.to_string()), Some(written));
        }
    }
}
