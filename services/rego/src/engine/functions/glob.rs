//! `glob.*`: `*` and `?` do not cross a delimiter, `**` does; `[a-c]`, `[!abc]`, `{one,other}` and `\` as elsewhere.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context, Result, bail, ensure};
use regex::escape;
use regorus::Value;

use super::arguments::Arguments;
use super::regex::cached;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 4096;
/// How deep alternatives nest.
const MAX_DEPTH: usize = 20;

/// A pattern as one of the `regex` crate.
fn translate(pattern: &str, delimiters: &[char]) -> Result<String> {
    ensure!(pattern.len() <= MAX_PATTERN, "the pattern is longer than {MAX_PATTERN} bytes");
    let delimiters: String = delimiters.iter().map(|delimiter| escape(delimiter.encode_utf8(&mut [0; 4]))).collect();
    let one = if delimiters.is_empty() { ".".to_owned() } else { format!("[^{delimiters}]") };
    let mut out = String::from("(?s)\\A(?:");
    let mut depth = 0_usize;
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => out.push_str(".*"),
            '*' => {
                out.push_str(&one);
                out.push('*');
            }
            '?' => out.push_str(&one),
            '[' => class(&mut rest, &mut out)?,
            '{' => {
                depth += 1;
                ensure!(depth <= MAX_DEPTH, "the pattern nests deeper than {MAX_DEPTH} levels");
                out.push_str("(?:");
            }
            ',' if depth > 0 => out.push('|'),
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            '\\' => {
                let next = rest.next().context("a backslash at the end")?;
                out.push_str(&escape(next.encode_utf8(&mut [0; 4])));
            }
            _ => out.push_str(&escape(character.encode_utf8(&mut [0; 4]))),
        }
    }
    ensure!(depth == 0, "a brace is not closed");
    out.push_str(")\\z");
    Ok(out)
}

/// A class, after its bracket: a range or a list of characters.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<()> {
    let unclosed = "a bracket is not closed";
    out.push('[');
    if rest.next_if_eq(&'!').is_some() {
        out.push('^');
    }
    let mut push = |character: char| out.push_str(&escape(character.encode_utf8(&mut [0; 4])));
    let first = rest.next().context(unclosed)?;
    if rest.next_if_eq(&'-').is_some() {
        let last = rest.next().context(unclosed)?;
        ensure!(first <= last && rest.next() == Some(']'), "a range is not one character, a hyphen and another one");
        push(first);
        out.push('-');
        out.push_str(&escape(last.encode_utf8(&mut [0; 4])));
        out.push(']');
        return Ok(());
    }
    let (mut next, mut is_empty) = (Some(first), true);
    loop {
        match next.context(unclosed)? {
            ']' => break,
            '\\' => push(rest.next().context(unclosed)?),
            character => push(character),
        }
        is_empty = false;
        next = rest.next();
    }
    ensure!(!is_empty, "a bracket is empty");
    out.push(']');
    Ok(())
}

pub(super) fn is_match(arguments: &Arguments<'_>) -> Result<Value> {
    let (pattern, text) = (arguments.text(0)?, arguments.text(2)?);
    let mut delimiters = Vec::new();
    match arguments.value(1)? {
        Value::Null => {}
        Value::Array(items) => {
            for item in items.iter() {
                let mut characters = item.as_string()?.chars();
                let (Some(delimiter), None) = (characters.next(), characters.next()) else {
                    bail!("a delimiter must be one character");
                };
                delimiters.push(delimiter);
            }
            if delimiters.is_empty() {
                delimiters.push('.');
            }
        }
        _ => bail!("argument 2 must be null or an array"),
    }
    let translated = translate(pattern, &delimiters)?;
    Ok(cached(&translated)?.is_match(text).into())
}

pub(super) fn quote_meta(arguments: &Arguments<'_>) -> Result<Value> {
    let mut out = String::new();
    for character in arguments.text(0)?.chars() {
        if r"\*?[]{}".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::arguments::array_of;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn stars_stop_at_delimiters() {
        let matches = |pattern: &str, delimiters: &[&str], text: &str| {
            let delimiters = array_of(delimiters.iter().map(|delimiter| Value::from(*delimiter)));
            call("glob.match", &[pattern.into(), delimiters, text.into()]) == Value::from(true)
        };
        for (pattern, text) in [
            ("*.example.net", "web.example.net"),
            ("**.example.net", "a.b.example.net"),
            ("{deploy,net-*}", "net-core"),
            ("web-[0-9]", "web-7"),
            ("web-[!ab]", "web-c"),
            ("a?c", "aéc"),
            (r"\*", "*"),
            ("}", "}"),
        ] {
            assert!(matches(pattern, &[], text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("*.example.net", "a.b.example.net"),
            ("{deploy,net-*}", "deployed"),
            ("a?c", "a.c"),
            ("web-[!ab]", "web-a"),
        ] {
            assert!(!matches(pattern, &[], text), "{pattern} {text}");
        }
        assert!(matches("a*c", &["/"], "a.b.c"));
        assert_eq!(call("glob.match", &["a*".into(), Value::Null, "a.b/c".into()]), Value::from(true));
        for bad in ["{a", r"a\", "[", "[]", "[a-", "[a-bc]", "[b-a]"] {
            fails("glob.match", &[bad.into(), Value::Null, "a".into()]);
        }
        fails("glob.match", &["a".into(), array_of([Value::from("ab")]), "a".into()]);
    }

    #[test]
    fn a_quoted_text_matches_itself() {
        let text = r"a*{b,c}[d]\?";
        let quoted = call("glob.quote_meta", &[text.into()]);
        assert_eq!(call("glob.match", &[quoted, Value::Null, text.into()]), Value::from(true));
    }
}
