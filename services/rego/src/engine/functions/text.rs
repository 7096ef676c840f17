//! Texts.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, array_of};
use super::room::{MAX_TEXT, within};

/// The parts of a text between its delimiters; with an empty one its characters.
fn parts<'a>(text: &'a str, delimiter: &str) -> Vec<&'a str> {
    if delimiter.is_empty() {
        return text.split_inclusive(|_: char| true).collect();
    }
    text.split(delimiter).collect()
}

pub(super) fn split_n(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, delimiter, number) = (arguments.text(0)?, arguments.text(1)?, arguments.integer(2)?);
    let parts = parts(text, delimiter);
    let count = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
    let chosen =
        if number < 0 { parts.get(parts.len().saturating_sub(count)..) } else { parts.get(..count.min(parts.len())) };
    Ok(array_of(chosen.unwrap_or_default().iter().map(|part| Value::from(*part))))
}

pub(super) fn count(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(Value::from(match arguments.value(0)? {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => bail!("only strings, arrays, sets and objects are counted"),
    }))
}

pub(super) fn count_in(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, wanted) = (arguments.text(0)?, arguments.text(1)?);
    Ok(Value::from(text.matches(wanted).count()))
}

fn wanted<'a>(arguments: &Arguments<'a>) -> Result<(&'a str, &'a str)> {
    let (text, wanted) = (arguments.text(0)?, arguments.text(1)?);
    ensure!(!wanted.is_empty(), "empty search text");
    Ok((text, wanted))
}

pub(super) fn index_of(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, wanted) = wanted(arguments)?;
    Ok(match text.split_once(wanted) {
        Some((before, _)) => Value::from(before.chars().count()),
        None => Value::from(-1),
    })
}

/// All places, also of occurrences that overlap.
pub(super) fn index_of_n(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, wanted) = wanted(arguments)?;
    ensure!(text.len().saturating_mul(wanted.len()) <= MAX_TEXT * 16, "the texts are too long");
    let found = text
        .char_indices()
        .enumerate()
        .filter(|(_, (place, _))| text.get(*place..).is_some_and(|rest| rest.starts_with(wanted)));
    Ok(array_of(found.map(|(count, _)| Value::from(count))))
}

pub(super) fn substring(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, offset, length) = (arguments.text(0)?, arguments.integer(1)?, arguments.integer(2)?);
    let Ok(offset) = usize::try_from(offset) else { bail!("negative offset") };
    // A negative length is all there is.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(text.chars().skip(offset).take(length).collect::<String>().into())
}

/// One character for each, as in OPA: `ß` has none that is upper case, and a sigma at the end is like any other.
pub(super) fn upper(arguments: &Arguments<'_>) -> Result<Value> {
    let one = |character: char| {
        let mut letters = character.to_uppercase();
        match (letters.next(), letters.next(), character) {
            (Some(letter), None, _) => letter,
            (_, _, '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}') => {
                char::from_u32(u32::from(character) + 8).unwrap_or(character)
            }
            (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => {
                char::from_u32(u32::from(character) + 9).unwrap_or(character)
            }
            _ => character,
        }
    };
    Ok(arguments.text(0)?.chars().map(one).collect::<String>().into())
}

pub(super) fn lower(arguments: &Arguments<'_>) -> Result<Value> {
    let one = |character: char| character.to_lowercase().next().unwrap_or(character);
    Ok(arguments.text(0)?.chars().map(one).collect::<String>().into())
}

pub(super) fn replace(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, old, new) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    ensure!(!old.is_empty() || text.is_ascii(), "the empty text cannot be replaced in a text that is not ASCII");
    within(text.matches(old).count().saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(text.replace(old, new).into())
}

pub(super) fn replace_n(arguments: &Arguments<'_>) -> Result<Value> {
    let Value::Object(replacements) = arguments.value(0)? else { bail!("argument 1 must be an object") };
    let mut texts = BTreeMap::new();
    for (old, new) in replacements.iter() {
        texts.insert(old.as_string()?.to_string(), new.as_string()?.to_string());
    }
    let mut rest = arguments.text(1)?;
    ensure!(!texts.contains_key(""), "the empty text cannot be replaced");
    ensure!(rest.len().saturating_mul(texts.len()) <= MAX_TEXT, "there is too much to replace");
    let mut out = String::new();
    while let Some(character) = rest.chars().next() {
        // Where several begin, the first in their order.
        if let Some((old, new)) = texts.iter().find(|(old, _)| rest.starts_with(old.as_str())) {
            out.push_str(new);
            within(out.len())?;
            rest = rest.get(old.len()..).unwrap_or_default();
        } else {
            out.push(character);
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn the_first_or_the_last_parts_are_taken() {
        let split = |number: i64| call("strings.split_n", &["a.b.c".into(), ".".into(), number.into()]).to_string();
        assert_eq!(split(2), r#"["a","b"]"#);
        assert_eq!(split(9), r#"["a","b","c"]"#);
        assert_eq!(split(0), "[]");
        assert_eq!(split(-2), r#"["b","c"]"#);
        assert_eq!(split(i64::MIN), r#"["a","b","c"]"#);
    }

    #[test]
    fn characters_are_counted() {
        assert_eq!(call("count", &["😀é".into()]), Value::from(2));
        assert_eq!(call("strings.count", &["abc".into(), "".into()]), Value::from(4));
        assert_eq!(call("indexof", &["é.a".into(), "a".into()]), Value::from(2));
        assert_eq!(call("indexof_n", &["aaa".into(), "aa".into()]).to_string(), "[0,1]");
        assert_eq!(call("substring", &["éab".into(), Value::from(1), Value::from(-1)]), Value::from("ab"));
        for name in ["indexof", "indexof_n"] {
            fails(name, &["a".into(), "".into()]);
        }
        fails("substring", &["a".into(), Value::from(-1), Value::from(1)]);
        fails("count", &[Value::from(1)]);
    }

    #[test]
    fn letters_stay_one_each() {
        assert_eq!(call("upper", &["straße ᾳ".into()]), Value::from("STRAßE ᾼ"));
        assert_eq!(call("lower", &["ΑΣ İ".into()]), Value::from("ασ i"));
    }

    #[test]
    fn what_is_replaced_is_bounded() {
        let replace = |text: &str, old: &str, new: &str| [text.into(), old.into(), new.into()];
        assert_eq!(call("replace", &replace("ab", "", "-")), Value::from("-a-b-"));
        fails("replace", &replace("é", "", "-"));
        let long = "a".repeat(100_000);
        fails("replace", &replace(&long, "a", &long));
        let both = Value::from_json_str(r#"{"a": "b", "ab": "c", "b": "a"}"#).unwrap();
        assert_eq!(call("strings.replace_n", &[both, "abx".into()]), Value::from("bax"));
    }
}
