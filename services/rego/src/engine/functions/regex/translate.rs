//! Patterns as OPA reads them (RE2's syntax), rewritten for the `regex` crate, whose syntax is close enough to be
//! mistaken for it: there `\d` takes any Unicode digit, `[a&&b]` is an intersection and `a**` a repetition.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Result, bail, ensure};

/// The most repetitions RE2 takes, nested ones multiplied.
const MOST_REPETITIONS: u64 = 1000;
/// The deepest nesting of groups.
const MAX_DEPTH: usize = 100;
/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 16 * 1024;

/// Rewrites a pattern; the names of its groups, which may be there twice, come in their order.
///
/// # Errors
/// What RE2 would not read either.
pub(super) fn translate(pattern: &str) -> Result<(String, Vec<Option<String>>)> {
    ensure!(pattern.len() <= MAX_PATTERN, "the pattern is longer than {MAX_PATTERN} bytes");
    let mut translation = Translation {
        rest: pattern.chars().peekable(),
        out: String::new(),
        levels: vec![Level::default()],
        names: Vec::new(),
    };
    translation.run()?;
    ensure!(translation.levels.len() == 1, "missing closing )");
    Ok((translation.out, translation.names))
}

/// A group that is open.
#[derive(Default)]
struct Level {
    /// Whether there is something a repetition could apply to.
    repeatable: bool,
    /// How often what is in here is repeated at most, repetitions in it multiplied.
    repetitions: u64,
    /// The same for the last part alone.
    last: u64,
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    levels: Vec<Level>,
    names: Vec<Option<String>>,
}

impl Translation<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    /// Whether the rest begins with this.
    fn ahead(&self, wanted: &str) -> bool {
        let mut rest = self.rest.clone();
        wanted.chars().all(|character| rest.next() == Some(character))
    }

    fn part(&mut self, repetitions: u64) {
        if let Some(level) = self.levels.last_mut() {
            level.repeatable = true;
            level.last = repetitions;
            level.repetitions = level.repetitions.max(repetitions);
        }
    }

    fn literal(&mut self, character: char) {
        push_literal(&mut self.out, character);
        self.part(1);
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
        self.part(1);
    }

    fn run(&mut self) -> Result<()> {
        let mut after_repetition = false;
        while let Some(character) = self.rest.next() {
            let repetition = match character {
                '*' | '+' | '?' => Some((character.to_string(), 1)),
                '{' => self.counted(),
                _ => None,
            };
            if let Some((text, times)) = repetition {
                ensure!(!after_repetition, "invalid nested repetition operator");
                self.repeat(&text, times)?;
                after_repetition = true;
                continue;
            }
            after_repetition = false;
            match character {
                '(' => self.open()?,
                ')' => {
                    ensure!(self.levels.len() > 1, "unexpected )");
                    let inner = self.levels.pop().unwrap_or_default();
                    self.out.push(')');
                    self.part(inner.repetitions.max(1));
                }
                '|' => {
                    self.out.push('|');
                    if let Some(level) = self.levels.last_mut() {
                        level.repeatable = false;
                    }
                }
                '^' | '$' | '.' => self.raw(character.encode_utf8(&mut [0; 4])),
                '[' => self.class()?,
                '\\' => self.escape()?,
                _ => self.literal(character),
            }
        }
        Ok(())
    }

    fn repeat(&mut self, operator: &str, times: u64) -> Result<()> {
        let lazy = self.eat('?');
        let Some(level) = self.levels.last_mut().filter(|level| level.repeatable) else {
            bail!("missing argument to repetition operator");
        };
        let repetitions = level.last.saturating_mul(times.max(1));
        ensure!(repetitions <= MOST_REPETITIONS, "invalid repeat count");
        level.last = repetitions;
        level.repetitions = level.repetitions.max(repetitions);
        self.out.push_str(operator);
        if lazy {
            self.out.push('?');
        }
        Ok(())
    }

    /// `{2}`, `{2,}` or `{2,3}` after its brace; anything else is only a brace.
    fn counted(&mut self) -> Option<(String, u64)> {
        let mut rest = self.rest.clone();
        let number = |rest: &mut Peekable<Chars<'_>>| {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let leading_zero = digits.len() > 1 && digits.starts_with('0');
            (!digits.is_empty() && !leading_zero).then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
        };
        let from = number(&mut rest)?;
        let (text, most) = if rest.next_if_eq(&',').is_some() {
            if rest.peek() == Some(&'}') {
                (format!("{{{from},}}"), from)
            } else {
                let to = number(&mut rest)?;
                // What ends before it begins is refused like what is too much.
                (format!("{{{from},{to}}}"), if to < from { u64::MAX } else { to })
            }
        } else {
            (format!("{{{from}}}"), from)
        };
        rest.next_if_eq(&'}')?;
        self.rest = rest;
        Some((text, most))
    }

    fn open(&mut self) -> Result<()> {
        ensure!(self.levels.len() < MAX_DEPTH, "groups nest deeper than {MAX_DEPTH} levels");
        if !self.eat('?') {
            self.group(None);
            return Ok(());
        }
        if self.ahead("P<") || self.ahead("<") {
            self.eat('P');
            self.eat('<');
            let mut name = String::new();
            while let Some(character) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(character);
            }
            ensure!(self.eat('>') && !name.is_empty(), "invalid named capture");
            self.group(Some(name));
            return Ok(());
        }
        let mut flags = String::new();
        let (mut negative, mut named) = (false, false);
        loop {
            match self.rest.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    named = true;
                    if !flags.split('-').any(|part| part.contains(flag)) {
                        flags.push(flag);
                    }
                }
                Some('-') if !negative => {
                    (negative, named) = (true, false);
                    flags.push('-');
                }
                Some(end @ (':' | ')')) if !negative || named => {
                    if end == ':' {
                        let _ = write!(self.out, "(?{flags}:");
                        self.levels.push(Level::default());
                    } else if !flags.is_empty() {
                        let _ = write!(self.out, "(?{flags})");
                    }
                    return Ok(());
                }
                _ => bail!("invalid or unsupported Perl syntax"),
            }
        }
    }

    fn group(&mut self, name: Option<String>) {
        self.out.push('(');
        self.names.push(name);
        self.levels.push(Level::default());
    }

    fn escape(&mut self) -> Result<()> {
        match self.rest.peek().copied() {
            None => bail!("trailing backslash at end of expression"),
            Some('A') => self.raw("\\A"),
            Some('z') => self.raw("\\z"),
            // ASCII letters only.
            Some('b') => self.raw("(?-u:\\b)"),
            Some('B') => self.raw("(?-u:\\B)"),
            Some('Q') => {
                self.rest.next();
                while !self.ahead("\\E") {
                    let Some(character) = self.rest.next() else { return Ok(()) };
                    self.literal(character);
                }
                self.rest.next();
            }
            Some(perl @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                let class = perl_class(perl);
                self.raw(&if perl.is_ascii_uppercase() { class.to_owned() } else { format!("[{class}]") });
            }
            Some('p' | 'P') => {
                let class = self.unicode_class()?;
                self.raw(&class);
                return Ok(());
            }
            Some(_) => {
                let character = self.escaped()?;
                self.literal(character);
                return Ok(());
            }
        }
        self.rest.next();
        Ok(())
    }

    /// What an escape stands for, after its backslash.
    fn escaped(&mut self) -> Result<char> {
        let octal = |c: &char| ('0'..='7').contains(c);
        let Some(character) = self.rest.next() else { bail!("trailing backslash at end of expression") };
        match character {
            '0'..='7' => {
                ensure!(character == '0' || self.rest.peek().is_some_and(octal), "invalid escape sequence");
                let mut value = u32::from(character) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = self.rest.next_if(octal) else { break };
                    value = value * 8 + u32::from(digit) - u32::from('0');
                }
                char::from_u32(value).ok_or_else(|| anyhow::anyhow!("invalid escape sequence"))
            }
            'x' => {
                let mut digits = String::new();
                if self.eat('{') {
                    while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                        digits.push(digit);
                    }
                    ensure!(self.eat('}'), "invalid escape sequence");
                } else {
                    for _ in 0..2 {
                        digits.extend(self.rest.next_if(char::is_ascii_hexdigit));
                    }
                    ensure!(digits.len() == 2, "invalid escape sequence");
                }
                let value = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                value.ok_or_else(|| anyhow::anyhow!("invalid escape sequence"))
            }
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() => Ok(character),
            _ => bail!("invalid escape sequence"),
        }
    }

    /// `\pL` or `\p{Greek}`, with the `p` not yet read.
    fn unicode_class(&mut self) -> Result<String> {
        let mut negative = self.rest.next() == Some('P');
        let mut name = String::new();
        match self.rest.next() {
            Some('{') => loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some(character) => name.push(character),
                    None => bail!("invalid character class range"),
                }
            },
            Some(character) => name.push(character),
            None => bail!("invalid character class range"),
        }
        if let Some(rest) = name.strip_prefix('^') {
            negative = !negative;
            name = rest.to_owned();
        }
        ensure!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "invalid character class range"
        );
        Ok(format!("\\{}{{{name}}}", if negative { 'P' } else { 'p' }))
    }

    /// A class, after its bracket.
    fn class(&mut self) -> Result<()> {
        self.out.push('[');
        if self.eat('^') {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.rest.peek().copied() {
                None => bail!("missing closing ]"),
                Some(']') if !first => {
                    self.rest.next();
                    break;
                }
                Some('[') if self.ahead("[:") => {
                    if let Some(class) = self.posix_class()? {
                        self.out.push_str(&class);
                        first = false;
                        continue;
                    }
                }
                Some('\\') => {
                    let mut rest = self.rest.clone();
                    rest.next();
                    match rest.peek().copied() {
                        Some(perl @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                            rest.next();
                            self.rest = rest;
                            self.out.push_str(perl_class(perl));
                            first = false;
                            continue;
                        }
                        Some('p' | 'P') => {
                            self.rest = rest;
                            let class = self.unicode_class()?;
                            self.out.push_str(&class);
                            first = false;
                            continue;
                        }
                        _ => {}
                    }
                }
                Some(_) => {}
            }
            first = false;
            let from = self.class_character()?;
            let mut rest = self.rest.clone();
            if rest.next() == Some('-') && rest.peek().is_some_and(|next| *next != ']') {
                self.rest = rest;
                let to = self.class_character()?;
                ensure!(from <= to, "invalid character class range");
                push_literal(&mut self.out, from);
                self.out.push('-');
                push_literal(&mut self.out, to);
            } else {
                push_literal(&mut self.out, from);
            }
        }
        self.out.push(']');
        self.part(1);
        Ok(())
    }

    fn class_character(&mut self) -> Result<char> {
        match self.rest.next() {
            None => bail!("missing closing ]"),
            Some('\\') => self.escaped(),
            Some(character) => Ok(character),
        }
    }

    /// `[:alpha:]`; none if it only looks like one.
    fn posix_class(&mut self) -> Result<Option<String>> {
        let text: String = self.rest.clone().take(64).collect();
        let Some((name, _)) = text.get(2..).and_then(|rest| rest.split_once(":]")) else { return Ok(None) };
        let known = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        ensure!(known.contains(&name.strip_prefix('^').unwrap_or(name)), "invalid character class range");
        for _ in 0..name.len() + 4 {
            self.rest.next();
        }
        Ok(Some(format!("[:{name}:]")))
    }
}

/// The characters of a Perl class, as the content of a class or, negated, as one.
fn perl_class(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        'D' => "[^0-9]",
        's' => "\\t\\n\\x0c\\r ",
        'S' => "[^\\t\\n\\x0c\\r ]",
        'w' => "0-9A-Za-z_",
        _ => "[^0-9A-Za-z_]",
    }
}

fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        out.push(character);
    } else {
        let _ = write!(out, "\\x{{{:x}}}", u32::from(character));
    }
}
