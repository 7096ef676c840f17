//! Numbers of JSON: read exactly or not at all, and one way to write each.

use std::cell::Cell;

use serde_json::Number;

/// The numbers of a JSON text as they were written, one after the other. serde hands over what it made of a number and
/// not its text; asked for each number it hands over, this keeps in step with it.
pub(super) struct Numbers<'a> {
    rest: Cell<&'a str>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: Cell::new(text) }
    }

    /// The next number of the text, if there is one.
    pub(super) fn next(&self) -> Option<&'a str> {
        let mut rest = self.rest.get();
        loop {
            let at = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = rest.get(at..)?;
            if let Some(string) = rest.strip_prefix('"') {
                rest = after_string(string)?;
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at_checked(end)?;
            self.rest.set(after);
            return Some(number);
        }
    }
}

/// What follows a string of which the opening quote was read.
fn after_string(text: &str) -> Option<&str> {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    text.get(end + 1..)
}

/// The most digits any `f64` is ever written with: that many distinguish each from all others.
const MOST_DIGITS: usize = 17;

/// Whether a number as it was written is what was made of it, and was not rounded: the `f64` is written the same, as short
/// as it can be or with the digits that were written.
pub(super) fn survives(written: &str, read: f64) -> bool {
    let Some(shortest) = Number::from_f64(read).map(|number| number.to_string()) else { return false };
    let Some(decimal) = Decimal::of(written) else { return false };
    let is = |shown: String| Some(&decimal) == Decimal::of(&shown).as_ref();
    let digits = decimal.digits.len();
    // Of an `f64` just between two decimals of the shortest length, some programs write the one and some the other.
    is(shortest)
        || is(format!("{read:e}"))
        || ((1..=MOST_DIGITS).contains(&digits) && is(format!("{read:.*e}", digits - 1)))
}

/// One text for each value, whatever it was read from: `1.0` and `1e0` are `1`.
pub(super) fn normal(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() && value == 0.0 => "0".to_owned(),
        Some(value) if number.is_f64() && value.fract() == 0.0 => format!("{value:.0}"),
        _ => number.to_string(),
    }
}

/// A decimal number: its digits without zeros around them, times a power of ten.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// None if the exponent is beyond all reason.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
        let exponent =
            exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
        Some(Self { negative, digits: significant.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_found_between_strings_that_look_like_them() {
        let text = r#"{"a\\": -1.5e3, "12": ["\"7", 0, "3\\\"4"], "b": 9}"#;
        let numbers = Numbers::of(text);
        let found: Vec<&str> = std::iter::from_fn(|| numbers.next()).collect();
        assert_eq!(found, ["-1.5e3", "0", "9"]);
    }

    #[test]
    fn what_was_rounded_does_not_survive() {
        for (written, read) in [
            ("10.000000000000000001", 10.0),
            ("0.1000000000000000055511151231257827", 0.1),
            ("1e-400", 0.0),
            ("0.10000000000000002", 0.1),
            ("10.000000000000001", 10.000_000_000_000_002),
            ("9007199254740993.0", 9_007_199_254_740_992.0),
            ("1e99999999999999999999", 1.0),
        ] {
            assert!(!survives(written, read), "{written}");
        }
        for (written, read) in [
            ("1e2", 100.0),
            ("1.50", 1.5),
            ("-0", -0.0),
            ("0e999999999999999999999", 0.0),
            ("0.1", 0.1),
            ("0.10000000000000001", 0.1),
            ("0.30000000000000004", 0.300_000_000_000_000_04),
            ("4.9406564584124654e-324", 5e-324),
        ] {
            assert!(survives(written, read), "{written}");
        }
    }

    #[test]
    fn equal_numbers_have_one_text() {
        let normal = |text: &str| super::normal(&serde_json::from_str(text).unwrap());
        for (one, same) in [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("-3", "-3.0"), ("0.50", "5e-1")] {
            assert_eq!(normal(one), normal(same));
        }
        assert_eq!(normal("18000000000000000000"), normal("1.8e19"));
        assert_ne!(normal("9007199254740993"), normal("9007199254740992"));
    }

    #[test]
    fn both_of_two_decimals_that_are_as_near_and_as_short_survive() {
        let read = -611_171_390_122_781.0 - 0.25;
        for written in ["-611171390122781.2", "-611171390122781.3", "-611171390122781.25"] {
            assert!(survives(written, read), "{written}");
        }
        assert!(!survives("-611171390122781.26", read));
    }

    proptest! {
        /// What any program prints of an `f64` it holds, short or with 17 digits, is read as that one and kept.
        #[test]
        fn what_an_f64_holds_survives(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            for written in [format!("{number:e}"), number.to_string(), format!("{number:.16e}")] {
                let read: f64 = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", written);
                prop_assert!(survives(&written, read), "{}", written);
            }
        }

        #[test]
        fn fifteen_digits_survive(digits in 1_u64..1_000_000_000_000_000, exponent in -20_i32..4) {
            let written = format!("{digits}e{exponent}");
            let read: f64 = serde_json::from_str(&written).unwrap();
            prop_assert!(survives(&written, read), "{}", written);
        }

        #[test]
        fn what_survives_is_what_was_written(written in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?") {
            if let Ok(read) = serde_json::from_str::<f64>(&written)
                && survives(&written, read)
            {
                // Correct rounding gives the same.
                prop_assert_eq!(written.parse::<f64>().unwrap().to_bits(), read.to_bits());
            }
        }
    }
}
