//! Times of records: microseconds since 1970 in tables, RFC 3339 in UTC with six digits in text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A time between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

/// The number or text is not such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time between the years 1 and 9999")]
pub struct TimestampError;

impl Timestamp {
    /// The time so many microseconds after the beginning of 1970.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
            .ok()
            .filter(|time| (1..=9999).contains(&time.year()))
            .map(Self)
            .ok_or(TimestampError)
    }

    /// Microseconds since the beginning of 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.unix_timestamp() * 1_000_000 + i64::from(self.0.microsecond())
    }

    /// Reads the one form in which times are written here.
    ///
    /// # Errors
    /// When it is another form or no time.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let time = time::PrimitiveDateTime::parse(text, FORMAT).map_err(|_| TimestampError)?;
        Self::from_micros(Self(time.assume_utc()).micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
