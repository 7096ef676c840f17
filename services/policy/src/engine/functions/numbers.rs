//! Ranges of numbers.

use anyhow::{Result, ensure};
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
    ensure!(step > 0, "the step must be a positive number above zero");
    numbers(from, to, step.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use crate::engine::functions::tests::{call, fails};

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
