//! Versions of semver.org, with or without a `v` before them.

use std::cmp::Ordering;

use anyhow::{Context, Result};
use regorus::Value;

use super::arguments::Arguments;

/// What is compared of a version.
struct Version<'a> {
    numbers: [i64; 3],
    /// Before a release, if it is.
    before: Vec<&'a str>,
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Identifiers between dots; numbers without zeros before them where they count.
fn identifiers(text: &str, strict: bool) -> Option<Vec<&str>> {
    let parts: Vec<&str> = text.split('.').collect();
    let fits = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !(strict && is_number(part) && part.len() > 1 && part.starts_with('0'))
    };
    parts.iter().all(fits).then_some(parts)
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        if let Some(build) = build {
            identifiers(build, false)?;
        }
        let (release, before) = text.split_once('-').map_or((text, None), |(text, before)| (text, Some(before)));
        let before = before.map_or(Some(Vec::new()), |before| identifiers(before, true))?;
        let numbers = identifiers(release, true)?;
        let [major, minor, patch] = numbers.as_slice() else { return None };
        let number = |text: &str| if is_number(text) { text.parse().ok() } else { None };
        Some(Self { numbers: [number(major)?, number(minor)?, number(patch)?], before })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let identifier = |one: &&str, other: &&str| match (is_number(one), is_number(other)) {
            (true, true) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => one.cmp(other),
        };
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let differing = self.before.iter().zip(&other.before).map(|(one, other)| identifier(one, other));
                let first = differing.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| self.before.len().cmp(&other.before.len()))
            }
        })
    }
}

pub(super) fn is_valid(arguments: &Arguments<'_>) -> Result<Value> {
    Ok(arguments.text(0).is_ok_and(|text| Version::parse(text).is_some()).into())
}

pub(super) fn compare(arguments: &Arguments<'_>) -> Result<Value> {
    let version = |place| Version::parse(arguments.text(place)?).context("not a version such as 1.2.3");
    Ok(Value::from(match version(0)?.compare(&version(1)?) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::functions::tests::{call, fails};

    #[test]
    fn versions_have_an_order() {
        let order = [
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1.0.0",
            "1.0.1",
            "v1.2.0",
            "10.0.0",
        ];
        for (place, one) in order.iter().enumerate() {
            for (other_place, other) in order.iter().enumerate() {
                let said = call("semver.compare", &[(*one).into(), (*other).into()]);
                assert_eq!(said, Value::from(place.cmp(&other_place) as i64), "{one} {other}");
            }
        }
        assert_eq!(call("semver.compare", &["1.0.0+a".into(), "1.0.0+b".into()]), Value::from(0));
        for bad in ["1.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.0-é", "", "vv1.0.0", "1.0.0.0"] {
            assert_eq!(call("semver.is_valid", &[bad.into()]), Value::from(false), "{bad}");
            fails("semver.compare", &[bad.into(), "1.0.0".into()]);
        }
    }
}
