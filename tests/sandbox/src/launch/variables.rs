//! `extra_vars` as a launch may send them: an object, or JSON or YAML in a string.

use serde_json::{Map, Value};

use crate::yaml;

/// Reads the field; the error is its 400 text.
pub(crate) fn read(value: &Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::Null => Err("This field may not be null.".to_owned()),
        Value::String(text) => read_text(text),
        other => Err(cannot(&format!("Input type `{}` is not a dictionary", python_type(other)), "same")),
    }
}

fn read_text(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    if text.contains('\0') {
        return Err("Null characters are not allowed.".to_owned());
    }
    let json_error = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => return Ok(map),
        Ok(other) => format!("Input type `{}` is not a dictionary", python_type(&other)),
        Err(error) => json_error_text(text, &error),
    };
    match yaml::parse(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(cannot(&json_error, &format!("Input type `{}` is not a dictionary", python_type(&other)))),
        Err(yaml_error) => Err(cannot(&json_error, &yaml_error)),
    }
}

fn cannot(json: &str, yaml: &str) -> String {
    format!("Cannot parse as JSON (error: {json}) or YAML (error: {yaml}).")
}

/// Python's wording of a JSON mistake, with its character offset.
pub(crate) fn json_error_text(text: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line().max(1), error.column().max(1));
    let before: usize = text.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
    format!("Expecting value: line {line} column {column} (char {})", before + column - 1)
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_yaml_text_come_to_the_same() {
        let want = json!({"a": 1, "b": "x"});
        for text in [r#"{"a": 1, "b": "x"}"#, "a: 1\nb: x\n"] {
            assert_eq!(Value::Object(read(&json!(text)).unwrap()), want);
        }
    }

    #[test]
    fn what_is_neither_is_refused_in_awx_words() {
        assert!(read(&json!("{{nope")).unwrap_err().starts_with("Cannot parse as JSON (error: "));
        assert!(read(&json!([1])).unwrap_err().contains("Input type `list` is not a dictionary"));
        assert_eq!(read(&Value::Null).unwrap_err(), "This field may not be null.");
    }
}
