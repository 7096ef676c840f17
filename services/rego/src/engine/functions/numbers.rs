//! Ranges of numbers, and numbers that are written as text.

use anyhow::{Context, Result, bail, ensure};
use regorus::Value;

use super::arguments::{Arguments, array_of};
use super::room::few;

/// The numbers from one to another, whichever is larger, both included.
fn numbers(from: i64, to: i64, step: u64) -> Result<Value> {
    let count = from.abs_diff(to) / step;
    few(usize::try_from(count)?)?;
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    let number = |place: u64| {
        let distance = i64::try_from(place).unwrap_or(i64::MAX).saturating_mul(step);
        Value::from(if from <= to { from.saturating_add(distance) } else { from.saturating_sub(distance) })
    };
    Ok(array_of((0..=count).map(number)))
}

pub(super) fn range(arguments: &Arguments<'_>) -> Result<Value> {
    numbers(arguments.integer(0)?, arguments.integer(1)?, 1)
}

pub(super) fn range_step(arguments: &Arguments<'_>) -> Result<Value> {
    let (from, to, step) = (arguments.integer(0)?, arguments.integer(1)?, arguments.integer(2)?);
    ensure!(step > 0, "the step must be a positive number");
    numbers(from, to, step.unsigned_abs())
}

/// The largest power of ten a number may be written with, in JSON as well.
pub(super) const MAX_EXPONENT: u32 = 400;

pub(super) fn to_number(arguments: &Arguments<'_>) -> Result<Value> {
    match arguments.value(0)? {
        Value::Null => Ok(Value::from(0)),
        Value::Bool(yes) => Ok(Value::from(i64::from(*yes))),
        number @ Value::Number(_) => Ok(number.clone()),
        Value::String(text) => of_text(text),
        _ => bail!("only text, numbers, booleans and null become numbers"),
    }
}

/// Digits, perhaps with a sign, a point and an exponent, and nothing else: no white space, no underscores.
fn of_text(text: &str) -> Result<Value> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let unsigned = |text: &'_ str| text.len() - usize::from(text.starts_with(['+', '-']));
    let digits = mantissa.get(mantissa.len() - unsigned(mantissa)..).unwrap_or_default();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(
        all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        "the text is not a number"
    );
    if let Some(exponent) = exponent {
        let digits = exponent.get(exponent.len() - unsigned(exponent)..).unwrap_or_default();
        ensure!(all_digits(digits), "the text is not a number");
        let power: u32 = digits.parse().ok().context("the text is not a number")?;
        ensure!(power <= MAX_EXPONENT, "the number is out of range");
    }
    Value::from_numeric_string(text)
}

#[cfg(test)]
mod tests {
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn only_digits_are_numbers() {
        for (text, number) in [("12", 12.0), ("-1.5", -1.5), ("1e3", 1000.0), (".5", 0.5), ("007", 7.0)] {
            assert_eq!(call("to_number", &[text.into()]), number.into(), "{text}");
        }
        for text in
            ["", " 1", "1 ", "1_000", "0x10", "inf", "NaN", "1e", "e1", ".", "-", "--1", "1e999999999", "é", "1.2.3"]
        {
            fails("to_number", &[text.into()]);
        }
    }

    #[test]
    fn ranges_go_both_ways_and_not_too_far() {
        assert_eq!(call("numbers.range", &[1.into(), 3.into()]).to_string(), "[1,2,3]");
        assert_eq!(call("numbers.range_step", &[5.into(), 0.into(), 2.into()]).to_string(), "[5,3,1]");
        fails("numbers.range", &[1.into(), 100_000_000.into()]);
        fails("numbers.range", &[i64::MIN.into(), i64::MAX.into()]);
        fails("numbers.range", &[1.5.into(), 3.into()]);
        fails("numbers.range_step", &[1.into(), 3.into(), 0.into()]);
    }
}
