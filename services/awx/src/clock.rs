//! What time it is at the controller.

use http::HeaderMap;
use http::header::DATE;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The one date format that RFC 9110, section 5.6.7, still allows senders to write.
const IMF_FIXDATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// When an answer was made, by the controller's clock, to the second. `None` if it does not say, or says it oddly.
pub(super) fn told(headers: &HeaderMap) -> Option<OffsetDateTime> {
    parse(headers.get(DATE)?.to_str().ok()?)
}

/// Reads a time as HTTP writes it.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = Some(text.trim()).filter(|text| text.len() == LENGTH)?;
    PrimitiveDateTime::parse(text, IMF_FIXDATE).ok().map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use time::macros::datetime;

    use super::*;

    fn read(date: &[u8]) -> Option<OffsetDateTime> {
        told(&HeaderMap::from_iter([(DATE, HeaderValue::from_bytes(date).unwrap())]))
    }

    #[test]
    fn the_time_of_an_answer_is_read_to_the_second() {
        assert_eq!(read(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(datetime!(1994-11-06 08:49:37 UTC)));
        assert_eq!(read(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(OffsetDateTime::UNIX_EPOCH));
        // A wrong day of the week does not make the time wrong.
        assert_eq!(read(b"Mon, 06 Nov 1994 08:49:37 GMT"), Some(datetime!(1994-11-06 08:49:37 UTC)));
    }

    #[test]
    fn a_time_told_oddly_is_no_time() {
        assert_eq!(told(&HeaderMap::new()), None);
        for odd in [
            "",
            "now",
            "0",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(read(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(read(b"Sun, 06 Nov 1994 08:49:37 \xff\xff\xff"), None);
        assert_eq!(read(&[b'x'; 100_000]), None);
    }
}
