//! Points in time: nanoseconds since 1970, in an `i64`.

use anyhow::{Context, Result, bail, ensure};
use regorus::Value;

use super::arguments::Arguments;

const DAY: i128 = 86_400_000_000_000;
const HOUR: u64 = 3_600_000_000_000;

/// Days since 1970-01-01 of the first of a month, counted from 0, of the Gregorian calendar.
fn first_of_month(year: i128, month: i128) -> i128 {
    // Years that begin in March end with the day that is not always there.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5;
    era * 146_097 + days - 719_468
}

/// Year, month from 0, and day of the month from 0.
fn date(days: i128) -> (i128, i128, i128) {
    let mut year = 1970 + days.div_euclid(366);
    while first_of_month(year + 1, 0) <= days {
        year += 1;
    }
    let mut month = 11;
    while first_of_month(year, month) > days {
        month -= 1;
    }
    (year, month, days - first_of_month(year, month))
}

fn nanoseconds(time: i128) -> Result<Value> {
    Ok(i64::try_from(time).ok().context("the time is out of range for nanoseconds")?.into())
}

pub(super) fn add_date(arguments: &Arguments<'_>) -> Result<Value> {
    let number = |place| arguments.integer(place).map(i128::from);
    let (time, years, months, days) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let (year, month, day) = date(time.div_euclid(DAY));
    let month = month + months;
    let first = first_of_month(year + years + month.div_euclid(12), month.rem_euclid(12));
    nanoseconds((first + day + days) * DAY + time.rem_euclid(DAY))
}

/// `2006-01-02T15:04:05.999999999Z07:00`, to the letter.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn is_digit(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(u8::is_ascii_digit)
    }

    fn number(&mut self, digits: usize) -> Result<i128> {
        ensure!((0..digits).all(|place| self.is_digit(place)), "not an RFC 3339 time");
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Ok(number.iter().fold(0, |number, digit| number * 10 + i128::from(digit - b'0')))
    }

    fn mark(&mut self, marks: &[u8]) -> Result<u8> {
        match self.0.split_first() {
            Some((mark, rest)) if marks.contains(mark) => {
                self.0 = rest;
                Ok(*mark)
            }
            _ => bail!("not an RFC 3339 time"),
        }
    }
}

pub(super) fn parse_rfc3339_ns(arguments: &Arguments<'_>) -> Result<Value> {
    let mut reader = Reader(arguments.text(0)?.as_bytes());
    let year = reader.number(4)?;
    reader.mark(b"-")?;
    let month = reader.number(2)?;
    reader.mark(b"-")?;
    let day = reader.number(2)?;
    reader.mark(b"T")?;
    let hour_digits = if reader.is_digit(1) { 2 } else { 1 };
    let hour = reader.number(hour_digits)?;
    reader.mark(b":")?;
    let minute = reader.number(2)?;
    reader.mark(b":")?;
    let second = reader.number(2)?;
    let mut fraction = 0;
    if matches!(reader.0.first(), Some(b'.' | b',')) && reader.is_digit(1) {
        reader.mark(b".,")?;
        // What is smaller than a nanosecond is not kept.
        let mut unit = 100_000_000;
        while reader.is_digit(0) {
            fraction += reader.number(1)? * unit;
            unit /= 10;
        }
    }
    let offset = match reader.mark(b"Z+-")? {
        b'Z' => 0,
        sign => {
            let hours = reader.number(2)?;
            reader.mark(b":")?;
            let minutes = reader.number(2)?;
            ensure!(hours <= 24 && minutes <= 60, "not an RFC 3339 time");
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
    };
    ensure!(reader.0.is_empty(), "not an RFC 3339 time");
    ensure!((1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60, "not an RFC 3339 time");
    let first = first_of_month(year, month - 1);
    let next = if month == 12 { first_of_month(year + 1, 0) } else { first_of_month(year, month) };
    ensure!(day >= 1 && day <= next - first, "not an RFC 3339 time");
    let seconds = (hour * 60 + minute - offset) * 60 + second;
    nanoseconds((first + day - 1) * DAY + seconds * 1_000_000_000 + fraction)
}

/// `1h30m`, and days, weeks and years of 365 days, which are so many hours.
pub(super) fn parse_duration_ns(arguments: &Arguments<'_>) -> Result<Value> {
    let text = arguments.text(0)?;
    if text.contains(['d', 'w', 'y']) {
        return duration(&in_hours(text)?);
    }
    duration(text)
}

fn in_hours(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(['-', '+']) {
        out.push_str(text.get(..1).unwrap_or_default());
        rest = after;
    }
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        ensure!(!digits.is_empty(), "invalid duration");
        let unit = ["ms", "us", "µs", "ns"].into_iter().find(|unit| after.starts_with(unit));
        let unit = match unit {
            Some(unit) => unit,
            None if after.starts_with(|c: char| c.is_ascii_lowercase()) => after.get(..1).unwrap_or_default(),
            None => bail!("invalid duration"),
        };
        let hours = match unit {
            "d" => Some(24.0),
            "w" => Some(7.0 * 24.0),
            "y" => Some(365.0 * 24.0),
            _ => None,
        };
        match hours {
            Some(hours) => {
                out.push_str(&format!("{}h", digits.parse::<f64>().ok().context("invalid duration")? * hours))
            }
            None => out.extend([digits, unit]),
        }
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    Ok(out)
}

fn duration(text: &str) -> Result<Value> {
    const MOST: u64 = 1 << 63;
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Value::from(0));
    }
    ensure!(!rest.is_empty(), "invalid duration");
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (whole, after) = rest.split_at(end(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(end(after)),
            None => ("", after),
        };
        ensure!(!whole.is_empty() || !fraction.is_empty(), "invalid duration");
        let (unit, after) = after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => HOUR / 60,
            "h" => HOUR,
            _ => bail!("unknown unit in a duration"),
        };
        let number: u64 = if whole.is_empty() { 0 } else { whole.parse().ok().context("invalid duration")? };
        let mut nanoseconds = number.checked_mul(unit).filter(|value| *value <= MOST).context("invalid duration")?;
        nanoseconds += part_of(fraction, unit);
        total = total.checked_add(nanoseconds).filter(|value| *value <= MOST).context("invalid duration")?;
        rest = after;
    }
    let total = i128::from(total);
    Ok(i64::try_from(if negative { -total } else { total }).ok().context("invalid duration")?.into())
}

/// So much of a unit, cut to whole nanoseconds.
fn part_of(fraction: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1.0);
    for digit in fraction.bytes() {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        let Some(next) = next.filter(|value| *value < 1 << 63) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn dates_are_added_as_calendars_do() {
        let add = |time: &str, years: i64, months: i64, days: i64| {
            let time = call("time.parse_rfc3339_ns", &[time.into()]);
            call("time.add_date", &[time, years.into(), months.into(), days.into()])
        };
        let time = |text: &str| call("time.parse_rfc3339_ns", &[text.into()]);
        assert_eq!(add("2024-02-29T12:00:00Z", 1, 0, 0), time("2025-03-01T12:00:00Z"));
        assert_eq!(add("2024-01-31T00:00:00Z", 0, 1, 0), time("2024-03-02T00:00:00Z"));
        assert_eq!(add("2024-03-01T00:00:00Z", 0, -15, -1), time("2022-11-30T00:00:00Z"));
        assert_eq!(add("1969-12-31T23:59:59.999999999Z", 0, 0, 1), time("1970-01-01T23:59:59.999999999Z"));
        fails("time.add_date", &[Value::from(0), Value::from(i64::MAX), Value::from(0), Value::from(0)]);
    }

    #[test]
    fn only_rfc_3339_is_a_time() {
        assert_eq!(
            call("time.parse_rfc3339_ns", &["1970-01-02T00:00:00.5+01:00".into()]),
            Value::from(82_800_500_000_000_i64)
        );
        for bad in [
            "2024-02-29 00:00:00Z",
            "2024-02-29t00:00:00Z",
            "2024-02-29T00:00:00z",
            "2023-02-29T00:00:00Z",
            "2024-02-29T00:00:60Z",
            "2024-02-29T00:00:00",
            "2024-02-29T00:00:00+0100",
            "9999-01-01T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "",
            "é",
        ] {
            fails("time.parse_rfc3339_ns", &[bad.into()]);
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, nanoseconds) in [
            ("1h30m", 5_400_000_000_000_i64),
            ("-1.5s", -1_500_000_000),
            ("1d", 86_400_000_000_000),
            ("0", 0),
            ("1µs", 1_000),
            // More digits than there is room for: the rest is left out, as in Go.
            ("0.18446744073709551616h", 664_082_786_653),
        ] {
            assert_eq!(call("time.parse_duration_ns", &[text.into()]), Value::from(nanoseconds), "{text}");
        }
        for bad in ["", "1", "h", "1.h.", "1x", "3000000h", "1 h", "-", "1..5d"] {
            fails("time.parse_duration_ns", &[bad.into()]);
        }
    }
}
