//! Times as AWX writes them: UTC, microseconds, `Z`.

use serde::{Deserializer, Serializer};
use time::OffsetDateTime;
use time::macros::format_description;

/// `2026-01-31T23:59:59.000000Z`.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

pub(crate) fn serialize<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*time))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    time::serde::rfc3339::deserialize(deserializer)
}
