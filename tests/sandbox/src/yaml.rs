//! The YAML that people write as `extra_vars`: block mappings and lists, scalars, JSON in flow style.
//!
//! AWX takes all of YAML; the sandbox refuses what is beyond this with AWX's own "Cannot parse" answer, never with a guess.

use serde_json::{Map, Number, Value};

const MAX_DEPTH: usize = 32;

struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// Parses a document.
pub(crate) fn parse(document: &str) -> Result<Value, String> {
    let mut lines = Vec::new();
    for (at, raw) in document.lines().enumerate() {
        let text = strip_comment(raw);
        let trimmed = text.trim_start_matches(' ');
        if trimmed.trim().is_empty() || (lines.is_empty() && trimmed.trim_end() == "---") {
            continue;
        }
        if trimmed.starts_with('\t') {
            return Err(format!("found character '\\t' that cannot start any token, line {}", at + 1));
        }
        lines.push(Line { number: at + 1, indent: text.len() - trimmed.len(), text: trimmed.trim_end() });
    }
    let Some(first) = lines.first() else { return Ok(Value::Null) };
    let mut reader = Reader { lines: &lines, at: 0 };
    let value = reader.block(first.indent, 0)?;
    match lines.get(reader.at) {
        None => Ok(value),
        Some(line) => Err(format!("did not expect this here, line {}", line.number)),
    }
}

struct Reader<'a> {
    lines: &'a [Line<'a>],
    at: usize,
}

impl Reader<'_> {
    fn block(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let Some(line) = self.lines.get(self.at) else { return Ok(Value::Null) };
        if depth > MAX_DEPTH {
            return Err(format!("nested too deeply, line {}", line.number));
        }
        if line.text == "-" || line.text.starts_with("- ") {
            return self.list(indent, depth);
        }
        if split_key(line.text).is_some() {
            return self.mapping(indent, depth);
        }
        self.at += 1;
        scalar(line.text, line.number)
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        while let Some(line) = self.lines.get(self.at).filter(|l| l.indent == indent) {
            let Some((key, rest)) = split_key(line.text) else {
                return Err(format!("could not find expected ':', line {}", line.number));
            };
            self.at += 1;
            let value = if rest.is_empty() { self.nested(indent, depth)? } else { scalar(rest, line.number)? };
            let key = match scalar(key, line.number)? {
                Value::String(text) => text,
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        while let Some(line) = self.lines.get(self.at).filter(|l| l.indent == indent) {
            let Some(rest) = line.text.strip_prefix('-') else { break };
            let rest = rest.trim_start();
            if split_key(rest).is_some() && !rest.starts_with(['{', '[', '"', '\'']) {
                return Err(format!("mappings inside lists need flow style here, line {}", line.number));
            }
            self.at += 1;
            items.push(if rest.is_empty() { self.nested(indent, depth)? } else { scalar(rest, line.number)? });
        }
        Ok(Value::Array(items))
    }

    fn nested(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        match self.lines.get(self.at) {
            Some(next) if next.indent > indent => self.block(next.indent, depth + 1),
            // A list may sit at its key's own column.
            Some(next) if next.indent == indent && next.text.starts_with("- ") => self.list(indent, depth + 1),
            _ => Ok(Value::Null),
        }
    }
}

/// Splits `key: rest` outside quotes and flow collections.
fn split_key(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['{', '[']) {
        return None;
    }
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if at == 0 => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None, ':') => {
                let (key, rest) = text.split_at(at);
                let rest = rest.strip_prefix(':').unwrap_or(rest);
                if rest.is_empty() || rest.starts_with(' ') {
                    return (!key.is_empty()).then(|| (key.trim_end(), rest.trim()));
                }
            }
            _ => {}
        }
    }
    None
}

fn strip_comment(raw: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in raw.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' => return raw.get(..at).unwrap_or(raw),
            (None, '"' | '\'') if matches!(before, ' ' | ':' | '[' | '{' | ',' | '-') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    raw
}

fn scalar(text: &str, line: usize) -> Result<Value, String> {
    match text.chars().next() {
        Some('{' | '[' | '"') => {
            serde_json::from_str(text).map_err(|_| format!("while parsing a flow node, line {line}"))
        }
        Some('\'') => text
            .strip_prefix('\'')
            .and_then(|t| t.strip_suffix('\''))
            .map(|t| Value::from(t.replace("''", "'")))
            .ok_or_else(|| format!("found unexpected end of stream while scanning a quoted scalar, line {line}")),
        Some('&' | '*' | '!' | '|' | '>' | '%' | '@' | '`') => {
            Err(format!("found character that cannot start any token, line {line}"))
        }
        _ => Ok(plain(text)),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => {
            if let Ok(number) = text.parse::<i64>() {
                return number.into();
            }
            let looks_numeric = text.contains('.') && text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            match text.parse::<f64>() {
                Ok(number) if looks_numeric => Number::from_f64(number).map_or_else(|| text.into(), Value::Number),
                _ => text.into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn reads_what_people_write() {
        let text = "---\nversion: 1.2.3 # the tag\ncount: 3\nnested:\n  on: yes\n  list:\n  - a\n  - 'it''s'\nflow: {\"a\": [1]}\nempty:\n\"quoted key\": \"x: y\"\n";
        assert_eq!(
            parse(text),
            Ok(
                json!({"version": "1.2.3", "count": 3, "nested": {"true": true, "list": ["a", "it's"]}, "flow": {"a": [1]}, "empty": null, "quoted key": "x: y"})
            )
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(parse("a: &anchor 1").is_err());
        assert!(parse("a: {b").is_err());
        assert!(parse("a: 1\n   b: 2").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ a-c:\\-'\"{}\\[\\]#\n\t\\PC]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn flat_mappings_come_back(map in proptest::collection::btree_map("[a-z]{3,8}", -1000i64..1000, 1..6)) {
            let text: String = map.iter().map(|(k, v)| format!("k{k}: {v}\n")).collect();
            let read = parse(&text).unwrap();
            for (key, value) in map {
                prop_assert_eq!(&read[format!("k{key}")], &json!(value));
            }
        }
    }
}
