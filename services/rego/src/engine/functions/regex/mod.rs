//! `regex.*`, with the patterns and replacements of OPA.

mod translate;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use regex::{Captures, Regex, RegexBuilder};
use regorus::Value;

use self::translate::translate;
use super::arguments::{Arguments, array_of};
use super::room::{MAX_TEXT, within};

/// The most patterns that are kept compiled, of either kind. All of them fit into a worker.
const KEPT: usize = 24;
/// What a compiled pattern may take.
const SIZE: usize = 4 * 1024 * 1024;

/// A pattern that is ready.
struct Pattern {
    regex: Regex,
    names: Vec<Option<String>>,
}

thread_local! {
    static PATTERNS: RefCell<BTreeMap<String, Rc<Pattern>>> = const { RefCell::new(BTreeMap::new()) };
    static REGEXES: RefCell<BTreeMap<String, Rc<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all compiled patterns: one tenant's must not take the room of the next one's decision.
pub(in crate::engine) fn forget() {
    PATTERNS.with_borrow_mut(BTreeMap::clear);
    REGEXES.with_borrow_mut(BTreeMap::clear);
}

/// Whether a pattern takes no more than so many bytes, compiled.
pub(in crate::engine) fn is_small(pattern: &str, bytes: usize) -> bool {
    translate(pattern).is_ok_and(|(translated, _)| {
        RegexBuilder::new(&translated).size_limit(bytes).dfa_size_limit(SIZE).build().is_ok()
    })
}

/// How many patterns are kept.
#[cfg(test)]
pub(in crate::engine) fn patterns_kept() -> usize {
    PATTERNS.with_borrow(BTreeMap::len) + REGEXES.with_borrow(BTreeMap::len)
}

fn build(pattern: &str) -> Result<Regex> {
    match RegexBuilder::new(pattern).size_limit(SIZE).dfa_size_limit(SIZE).build() {
        Ok(regex) => Ok(regex),
        Err(_) => bail!("the pattern is invalid or too large"),
    }
}

/// What is kept under a pattern, or is made now.
fn kept<T>(all: &RefCell<BTreeMap<String, Rc<T>>>, pattern: &str, make: impl FnOnce() -> Result<T>) -> Result<Rc<T>> {
    if let Some(kept) = all.borrow().get(pattern) {
        return Ok(Rc::clone(kept));
    }
    let made = Rc::new(make()?);
    let mut all = all.borrow_mut();
    if all.len() >= KEPT {
        all.clear();
    }
    all.insert(pattern.to_owned(), Rc::clone(&made));
    Ok(made)
}

/// A pattern of the `regex` crate.
pub(super) fn cached(pattern: &str) -> Result<Rc<Regex>> {
    REGEXES.with(|all| kept(all, pattern, || build(pattern)))
}

fn named(pattern: &str) -> Result<Rc<Pattern>> {
    PATTERNS.with(|all| {
        kept(all, pattern, || {
            let (translated, names) = translate(pattern)?;
            Ok(Pattern { regex: build(&translated)?, names })
        })
    })
}

/// How many matches are wanted: less than none are all.
fn most(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) fn is_valid(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(arguments.text(0).is_ok_and(|pattern| named(pattern).is_ok()).into())
}

pub(super) fn is_match(arguments: &Arguments<'_>) -> Result<Value> {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    Ok(named(pattern)?.regex.is_match(text).into())
}

pub(super) fn find_n(arguments: &Arguments<'_>) -> Result<Value> {
    let (pattern, text, number) = (arguments.text(0)?, arguments.text(1)?, arguments.integer(2)?);
    let pattern_of = named(pattern)?;
    let regex = &pattern_of.regex;
    Ok(array_of(regex.find_iter(text).take(most(number)).map(|found| found.as_str().into())))
}

pub(super) fn find_all_string_submatch_n(arguments: &Arguments<'_>) -> Result<Value> {
    let (pattern, text, number) = (arguments.text(0)?, arguments.text(1)?, arguments.integer(2)?);
    let pattern_of = named(pattern)?;
    let regex = &pattern_of.regex;
    let groups = |found: Captures<'_>| {
        array_of(found.iter().map(|group| group.map_or_else(|| Value::from(""), |group| group.as_str().into())))
    };
    ensure!(
        text.len().saturating_mul(regex.captures_len()) <= MAX_TEXT,
        "the pattern has too many groups for a text of this length"
    );
    Ok(array_of(regex.captures_iter(text).take(most(number)).map(groups)))
}

pub(super) fn split(arguments: &Arguments<'_>) -> Result<Value> {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    let pattern_of = named(pattern)?;
    let regex = &pattern_of.regex;
    if !pattern.is_empty() && text.is_empty() {
        return Ok(array_of([Value::from("")]));
    }
    let (mut parts, mut begin, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(text) {
        end = found.start();
        if found.end() != 0 {
            parts.push(Value::from(text.get(begin..end).unwrap_or_default()));
        }
        begin = found.end();
    }
    if end != text.len() {
        parts.push(Value::from(text.get(begin..).unwrap_or_default()));
    }
    Ok(array_of(parts))
}

pub(super) fn replace(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, pattern, replacement) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    let pattern_of = named(pattern)?;
    let regex = &pattern_of.regex;
    let (mut out, mut begin) = (String::new(), 0);
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(text.get(begin..whole.start()).unwrap_or_default());
        expand(replacement, &found, &pattern_of.names, &mut out);
        within(out.len())?;
        begin = whole.end();
    }
    out.push_str(text.get(begin..).unwrap_or_default());
    Ok(out.into())
}

/// Puts a match into a replacement: `$1`, `${1}`, `$name`, and `$$` for a dollar.
fn expand(mut replacement: &str, found: &Captures<'_>, names: &[Option<String>], out: &mut String) {
    while let Some((before, after)) = replacement.split_once('$') {
        out.push_str(before);
        if let Some(rest) = after.strip_prefix('$') {
            out.push('$');
            replacement = rest;
            continue;
        }
        let (braced, reference) = match after.strip_prefix('{') {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        let end = reference.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(reference.len());
        let (name, rest) = reference.split_at(end);
        let rest = if braced { rest.strip_prefix('}') } else { Some(rest) };
        let (false, Some(rest)) = (name.is_empty(), rest) else {
            out.push('$');
            replacement = after;
            continue;
        };
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
        let group = match name.parse::<usize>() {
            Ok(number) if is_number => found.get(number),
            _ => {
                let same = |(_, known): &(usize, &Option<String>)| known.as_deref() == Some(name);
                names.iter().enumerate().filter(same).find_map(|(place, _)| found.get(place + 1))
            }
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        replacement = rest;
    }
    out.push_str(replacement);
}

pub(super) fn template_match(arguments: &Arguments<'_>) -> Result<Value> {
    let (template, text) = (arguments.text(0)?, arguments.text(1)?);
    let delimiter = |place| match arguments.text(place)?.as_bytes() {
        [byte] => Ok(*byte),
        _ => bail!("a delimiter must be one character"),
    };
    let (start, end) = (delimiter(2)?, delimiter(3)?);
    let mut pattern = String::from("^");
    let (mut level, mut from, mut done) = (0_usize, 0, 0);
    for (place, byte) in template.bytes().enumerate() {
        if byte == start {
            level += 1;
            if level == 1 {
                from = place;
            }
        } else if byte == end {
            ensure!(level > 0, "unbalanced braces");
            level -= 1;
            if level == 0 {
                let part = template.get(from + 1..place).unwrap_or_default();
                named(&format!("^{part}$"))?;
                pattern.push_str(&quoted(template.get(done..from).unwrap_or_default()));
                pattern.push_str(&format!("({part})"));
                done = place + 1;
            }
        }
    }
    ensure!(level == 0, "unbalanced braces");
    pattern.push_str(&quoted(template.get(done..).unwrap_or_default()));
    pattern.push('$');
    Ok(named(&pattern)?.regex.is_match(text).into())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    fn matches(pattern: &str, text: &str) -> bool {
        call("regex.match", &[pattern.into(), text.into()]) == Value::from(true)
    }

    #[test]
    fn digits_and_words_are_those_of_ascii() {
        assert!(matches(r"^\d\w\s$", "7a "));
        assert!(!matches(r"^\d$", "\u{663}"));
        assert!(!matches(r"^\w$", "é"));
        assert!(!matches(r"^\s$", "\u{a0}"));
        assert!(matches(r"\bhost\b", "éhosté"), "é is no part of a word");
        assert!(matches(r"^[\D\W]$", "é"));
    }

    #[test]
    fn only_what_opa_reads_is_read() {
        for pattern in [
            "a**",
            "(?=a)",
            r"\1",
            r"\C",
            "(?x)a",
            r"\Z",
            "a{1001}",
            "(a{100}){11}",
            "[b-a]",
            "[",
            "(",
            ")",
            "*",
            r"\",
            r"\u0041",
            r"[\b]",
            "[[:nope:]]",
            "(?i",
            r"\é",
            "a{2,1}",
        ] {
            fails("regex.match", &[pattern.into(), "a".into()]);
            assert_eq!(call("regex.is_valid", &[pattern.into()]), Value::from(false), "{pattern}");
        }
        for (pattern, text) in [
            ("^[a&&b]$", "&"),
            ("^[[]$", "["),
            ("^a{,2}$", "a{,2}"),
            (r"^\Q.*\E$", ".*"),
            (r"^\-\_$", "-_"),
            (r"^\x{e9}\x41\101$", "éAA"),
            ("(?i)^STRASSE$", "strasse"),
            ("^{$", "{"),
            ("^(?:)$", ""),
            (r"^\<$", "<"),
            ("(?)^a$", "a"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn replacements_name_groups() {
        let replace = |text: &str, pattern: &str, with: &str| {
            call("regex.replace", &[text.into(), pattern.into(), with.into()]).as_string().unwrap().to_string()
        };
        assert_eq!(replace("a1b2", r"([a-z])(\d)", "$2$1"), "1a2b");
        assert_eq!(replace("ab", "(?P<n>a)", "<${n}$$>"), "<a$>b");
        assert_eq!(replace("ab", "(a)", "$1x"), "b", "the group is called 1x");
        assert_eq!(replace("ab", "a", "$ ${ $}"), "$ ${ $}b");
    }

    const LARGE: &str = r"(?:\pL{100}){10}";

    #[test]
    fn what_would_not_fit_fails() {
        let long = "a".repeat(100_000);
        fails("regex.replace", &[long.as_str().into(), "a".into(), long.as_str().into()]);
        // Few repetitions, which OPA allows, of a large class: only the size of the program stops it.
        assert!(super::translate::translate(LARGE).is_ok());
        fails("regex.match", &[LARGE.into(), "a".into()]);
    }
}
