//! Values the way Python writes them: AWX's error texts and its `extra_vars` column are made of that.

use serde_json::{Map, Value};

/// `json.dumps(value)`: a space after each comma and colon, everything beyond ASCII escaped.
pub(crate) fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

/// `json.dumps` of an object.
pub(crate) fn dumps_map(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(map, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    out.push('{');
    for (at, (name, item)) in map.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write_text(name, out);
        out.push_str(": ");
        write_json(item, out);
    }
    out.push('}');
}

/// A JSON string in ASCII only.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            other => {
                let mut units = [0u16; 2];
                for unit in other.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `str(value)`: strings bare, everything else as `repr`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let inner = text.replace('\\', "\\\\").replace('\n', "\\n");
            let inner = if quote == '\'' { inner.replace('\'', "\\'") } else { inner };
            format!("{quote}{inner}{quote}")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(name, item)| format!("{}: {}", repr(&Value::from(name.as_str())), repr(item)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dumps_writes_what_python_writes() {
        assert_eq!(
            dumps(&json!({"a": [1, true, null], "b": "é\u{1F600}\"\n"})),
            r#"{"a": [1, true, null], "b": "\u00e9\ud83d\ude00\"\n"}"#
        );
    }

    #[test]
    fn repr_quotes_like_python() {
        assert_eq!(repr(&json!(["dev", "it's", {"a": false}])), r#"['dev', "it's", {'a': False}]"#);
    }
}
