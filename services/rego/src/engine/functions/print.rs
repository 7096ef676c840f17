//! `sprintf`, as Go formats: what does not fit is written into the result (`%!d(string=x)`, `%!(EXTRA …)`) and is no
//! error. Not there, and an error: `*`, `[n]`, `#` for numbers with a fraction, and their hexadecimal form.

use anyhow::{Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, in_order};
use super::room::within;

/// The widest field, and the most digits.
const MAX_WIDTH: usize = 10_000;

/// A value as Go is given it.
enum Printed {
    Text(String),
    Int(i64),
    /// Beyond an `i64`.
    Big(String),
    Float(f64),
}

impl Printed {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.to_string()),
            Value::Number(number) => match (value.as_i64(), number.format_decimal()) {
                (Ok(number), _) => Self::Int(number),
                (_, decimal) if decimal.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => Self::Big(decimal),
                _ => Self::Float(value.as_f64().unwrap_or_default()),
            },
            other => {
                let mut text = String::new();
                push_term(other, &mut text);
                Self::Text(text)
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Int(_) => "int64",
            Self::Big(_) => "*big.Int",
            Self::Float(_) => "float64",
        }
    }
}

/// A value as Rego writes it.
fn push_term(value: &Value, out: &mut String) {
    fn list<'a>(items: impl Iterator<Item = &'a Value>, out: &mut String) {
        for (place, item) in items.enumerate() {
            out.push_str(if place == 0 { "" } else { ", " });
            push_term(item, out);
        }
    }
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.format_decimal()),
        Value::String(text) => quote(text, '"', false, out),
        Value::Array(items) => {
            out.push('[');
            list(items.iter(), out);
            out.push(']');
        }
        Value::Set(items) if items.is_empty() => out.push_str("set()"),
        Value::Set(items) => {
            out.push('{');
            list(in_order(items.iter()).into_iter(), out);
            out.push('}');
        }
        Value::Object(fields) => {
            out.push('{');
            for (place, (key, value)) in fields.iter_sorted().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                push_term(key, out);
                out.push_str(": ");
                push_term(value, out);
            }
            out.push('}');
        }
    }
}

fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        _ if character.is_ascii() => false,
        // Behind another character, so that one that combines with it is no exception.
        _ => ['a', character].iter().collect::<String>().escape_debug().count() == 2,
    }
}

/// Text between quotes, with the escapes of Go.
fn quote(text: &str, mark: char, ascii: bool, out: &mut String) {
    out.push(mark);
    for character in text.chars() {
        match character {
            _ if character == mark || character == '\\' => out.extend(['\\', character]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            _ if is_printable(character) && (character.is_ascii() || !ascii) => out.push(character),
            '\0'..='\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(character))),
            '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    out.push(mark);
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`
    source: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Flags {
    fn pad(&self, text: &str, zero: bool, out: &mut String) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if zero && self.zero && !self.minus { "0" } else { " " };
        let padding = fill.repeat(missing);
        if self.minus {
            out.push_str(text);
            out.push_str(&padding);
        } else {
            out.push_str(&padding);
            out.push_str(text);
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        }
    }

    fn text(&self, text: &str, verb: char, out: &mut String) -> bool {
        let cut = |most: Option<usize>| match most {
            Some(most) => text.chars().take(most).collect::<String>(),
            None => text.to_owned(),
        };
        match verb {
            'v' if self.source => self.quoted(&cut(self.precision), out),
            'v' | 's' => self.pad(&cut(self.precision), true, out),
            'q' => self.quoted(&cut(self.precision), out),
            'x' | 'X' => {
                let bytes = text.as_bytes();
                let bytes = bytes.get(..self.precision.unwrap_or(bytes.len()).min(bytes.len())).unwrap_or_default();
                let prefix = match (self.sharp && !bytes.is_empty(), verb) {
                    (true, 'x') => "0x",
                    (true, _) => "0X",
                    _ => "",
                };
                let byte = |byte: &u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                let bytes: Vec<String> = bytes.iter().map(byte).collect();
                let separator = if self.space { format!(" {prefix}") } else { String::new() };
                self.pad(&format!("{prefix}{}", bytes.join(&separator)), true, out);
            }
            _ => return false,
        }
        true
    }

    fn quoted(&self, text: &str, out: &mut String) {
        let raw = text.chars().all(|c| c != '`' && c != '\u{7f}' && c != '\u{feff}' && (c == '\t' || c >= ' '));
        let mut quoted = String::new();
        if self.sharp && raw {
            quoted = format!("`{text}`");
        } else {
            quote(text, '"', self.plus, &mut quoted);
        }
        self.pad(&quoted, true, out);
    }

    fn int(&self, number: i64, verb: char, out: &mut String) -> bool {
        let magnitude = number.unsigned_abs();
        // As Go reads a negative number where a character is wanted.
        let code = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let (digits, prefix) = match verb {
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), "0b"),
            'o' => (format!("{magnitude:o}"), "0"),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), "0x"),
            'X' => (format!("{magnitude:X}"), "0X"),
            'c' => {
                self.pad(code.encode_utf8(&mut [0; 4]), true, out);
                return true;
            }
            'q' => {
                let mut quoted = String::new();
                quote(code.encode_utf8(&mut [0; 4]), '\'', self.plus, &mut quoted);
                self.pad(&quoted, true, out);
                return true;
            }
            'U' => {
                let digits = self.precision.unwrap_or(4).max(4);
                let mut text = format!("U+{:0digits$X}", number.cast_unsigned());
                if self.sharp && u32::try_from(number).ok().and_then(char::from_u32).is_some_and(is_printable) {
                    text.push_str(&format!(" '{code}'"));
                }
                self.pad(&text, false, out);
                return true;
            }
            _ => return false,
        };
        self.digits(number < 0, &digits, prefix, verb == 'O', out);
        true
    }

    /// A whole number from its digits.
    fn digits(&self, negative: bool, digits: &str, prefix: &str, always: bool, out: &mut String) {
        let sign = self.sign(negative);
        let least = match (self.precision, self.width) {
            (Some(0), _) if digits == "0" => {
                out.push_str(&" ".repeat(self.width.unwrap_or(0)));
                return;
            }
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        let prefix = match prefix {
            "0" if !zeros.is_empty() || digits.starts_with('0') => "",
            "0o" if self.sharp && zeros.is_empty() && !digits.starts_with('0') => "0o0",
            _ if self.sharp || always => prefix,
            _ => "",
        };
        self.pad(&format!("{sign}{prefix}{zeros}{digits}"), false, out);
    }

    fn float(&self, number: f64, verb: char, out: &mut String) -> Result<bool> {
        let magnitude = number.abs();
        let text = match verb {
            'f' | 'F' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => exponent(&format!("{magnitude:.*e}", self.precision.unwrap_or(6)), verb),
            'v' | 'g' | 'G' => {
                let verb = if verb == 'G' { 'E' } else { 'e' };
                match self.precision {
                    None => shortest(magnitude, verb),
                    Some(digits) => general(&format!("{magnitude:.*e}", digits.max(1) - 1), Some(digits.max(1)), verb),
                }
            }
            'b' => {
                let bits = magnitude.to_bits();
                let (field, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
                let mantissa = if field == 0 { fraction } else { fraction | (1 << 52) };
                format!("{mantissa}p{:+}", i64::try_from(field.max(1))? - 1075)
            }
            'x' | 'X' => bail!("`%{verb}` cannot be used for a number with a fraction"),
            _ => return Ok(false),
        };
        ensure!(!self.sharp || verb == 'b', "`#` cannot be used for a number with a fraction");
        let sign = self.sign(number.is_sign_negative());
        if self.zero && !self.minus && !sign.is_empty() {
            let zeros = "0".repeat(self.width.unwrap_or(0).saturating_sub(sign.len() + text.len()));
            out.push_str(&format!("{sign}{zeros}{text}"));
        } else {
            self.pad(&format!("{sign}{text}"), true, out);
        }
        Ok(true)
    }

    fn print(&self, value: &Printed, verb: char, out: &mut String) -> Result<()> {
        let known = match value {
            _ if verb == 'T' => self.text(value.kind(), 's', out),
            Printed::Text(text) => self.text(text, verb, out),
            Printed::Int(number) => self.int(*number, verb, out),
            Printed::Float(number) => self.float(*number, verb, out)?,
            Printed::Big(decimal) => {
                ensure!(matches!(verb, 'v' | 'd' | 's'), "`%{verb}` cannot be used for a number of this size");
                let digits = decimal.trim_start_matches('-');
                self.digits(decimal.starts_with('-'), digits, "", false, out);
                true
            }
        };
        if !known {
            out.push_str(&format!("%!{verb}({}=", value.kind()));
            self.print(value, 'v', out)?;
            out.push(')');
        }
        Ok(())
    }
}

/// Rust's `1.5e7` as Go's `1.5e+07`.
fn exponent(text: &str, letter: char) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}

fn shortest(magnitude: f64, letter: char) -> String {
    general(&format!("{magnitude:e}"), None, letter)
}

/// With an exponent where it is small or not less than the number of digits, which are six unless they are given.
fn general(text: &str, precision: Option<usize>, letter: char) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let all: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match all.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let limit = match precision.and_then(|precision| i32::try_from(precision).ok()) {
        None => 6,
        Some(precision) if precision > count && count > power => count,
        Some(precision) => precision,
    };
    if digits != "0" && (power < -4 || power >= limit) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return exponent(&format!("{first}{point}{rest}e{power}"), letter);
    }
    if power < 0 {
        return format!("0.{}{digits}", "0".repeat(usize::try_from(-power - 1).unwrap_or(0)));
    }
    let whole = usize::try_from(power + 1).unwrap_or(0);
    match digits.split_at_checked(whole) {
        Some((digits, "")) => digits.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits}{}", "0".repeat(whole - digits.len())),
    }
}

pub(super) fn sprintf(arguments: &Arguments<'_>) -> Result<Value> {
    let format = arguments.text(0)?;
    let values: Vec<Printed> = arguments.array(1)?.into_iter().map(Printed::of).collect();
    let mut values = values.iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        within(out.len())?;
        let mut flags = Flags::default();
        rest = after;
        loop {
            let flag = match rest.as_bytes().first() {
                Some(b'-') => &mut flags.minus,
                Some(b'+') => &mut flags.plus,
                Some(b'#') => &mut flags.sharp,
                Some(b' ') => &mut flags.space,
                Some(b'0') => &mut flags.zero,
                _ => break,
            };
            *flag = true;
            rest = rest.get(1..).unwrap_or_default();
        }
        flags.width = number(&mut rest)?;
        if let Some(after) = rest.strip_prefix('.').filter(|after| !after.is_empty()) {
            rest = after;
            flags.precision = Some(number(&mut rest)?.unwrap_or(0));
        }
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        ensure!(verb != '*' && verb != '[', "`{verb}` cannot be used in a format");
        rest = rest.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        if matches!(verb, 'v' | 'w') {
            // `%+v` is a sign for none but the largest.
            (flags.source, flags.sharp, flags.plus) =
                (flags.sharp, false, flags.plus && matches!(value, Printed::Big(_)));
        }
        flags.print(value, verb, &mut out)?;
    }
    out.push_str(rest);
    let extra: Vec<&Printed> = values.collect();
    if !extra.is_empty() {
        out.push_str("%!(EXTRA ");
        for (place, value) in extra.into_iter().enumerate() {
            out.push_str(if place == 0 { "" } else { ", " });
            out.push_str(value.kind());
            out.push('=');
            Flags::default().print(value, 'v', &mut out)?;
            within(out.len())?;
        }
        out.push(')');
    }
    within(out.len())?;
    Ok(out.into())
}

/// A number at the beginning of the rest, which is passed over.
fn number(rest: &mut &str) -> Result<Option<usize>> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(number) if number <= MAX_WIDTH => Ok(Some(number)),
        _ => bail!("a field is wider than {MAX_WIDTH}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::arguments::array_of;
    use crate::engine::functions::tests::{call, fails};

    fn print(format: &str, values: &str) -> String {
        let values = crate::engine::functions::json::read(values).unwrap();
        call("sprintf", &[format.into(), values]).as_string().unwrap().to_string()
    }

    #[test]
    fn what_people_write() {
        assert_eq!(print("%s may not use %v, %d left", r#"["ci", ["a", 1], 3]"#), "ci may not use [\"a\", 1], 3 left");
        assert_eq!(
            print("%v %v %v %v", r#"[{"b": 1, "a": null}, true, 1.5, "x"]"#),
            "{\"a\": null, \"b\": 1} true 1.5 x"
        );
        assert_eq!(
            print("%q %5d|%-5s|%05d %x %.2f %+d %%", r#"["a\"é", 42, "ab", -42, 255, 2.345, 5]"#),
            "\"a\\\"é\"    42|ab   |-0042 ff 2.35 +5 %"
        );
    }

    #[test]
    fn what_does_not_fit_is_shown() {
        assert_eq!(print("%d", r#"["x"]"#), "%!d(string=x)");
        assert_eq!(print("%5.2T", r#"["x"]"#), "   st");
        assert_eq!(print("%s", "[5]"), "%!s(int64=5)");
        assert_eq!(print("%s %s", r#"["x"]"#), "x %!s(MISSING)");
        assert_eq!(print("", r#"["x", 1]"#), "%!(EXTRA string=x, int64=1)");
        assert_eq!(print("100%", "[]"), "100%!(NOVERB)");
        assert_eq!(print("%d", "[1.5]"), "%!d(float64=1.5)");
    }

    #[test]
    fn width_is_bounded() {
        fails("sprintf", &["%99999999d".into(), array_of([Value::from(1)])]);
        fails("sprintf", &["%10000d".repeat(1_000).as_str().into(), array_of((0..1_000).map(Value::from))]);
        fails("sprintf", &["%*d".into(), array_of([Value::from(1), Value::from(1)])]);
    }
}
