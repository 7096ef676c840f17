//! What an answer means, and when a message is sent again. Pure, so that it can be published and checked.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use runwarden_kit::json;
use runwarden_outbound::{Answer, Failure};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The pauses after the first attempt, the second, and so on; after the last one follows one more attempt. All together
/// about three days and a half.
pub const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];
/// Up to how much longer a pause becomes, so that what failed together is not sent again together.
const JITTER: f64 = 0.2;
/// The longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);
/// A receiver that has accepted nothing for so long, although it was sent something, is sent nothing more.
pub const LONGEST_FAILURE: Duration = Duration::from_secs(5 * 24 * HOUR);
/// The pause before something is tried again that was not the receiver's fault.
pub const OUR_PAUSE: Duration = Duration::from_secs(2);

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// The receiver wants nothing more, ever.
    Gone,
    /// It is to be sent again; not before this pause is over, if the receiver asked for one.
    Again {
        /// The pause that the receiver asked for.
        asked: Option<Duration>,
    },
    /// Nothing was sent, and not because of the receiver: it does not count as an attempt.
    NotTried,
}

/// What an answer that came at this moment means, or that there is none.
#[must_use]
pub fn verdict(heard: &Result<Answer, Failure>, now: Moment) -> Verdict {
    match heard {
        Ok(answer) => {
            let asked = answer.header("retry-after").and_then(|text| retry_after(text, answer.header("date"), now));
            judged(answer.status.as_u16(), asked)
        }
        Err(Failure::Busy) => Verdict::NotTried,
        Err(
            Failure::Refused(_)
            | Failure::Unresolved
            | Failure::Unreachable(_)
            | Failure::Proxy(_)
            | Failure::Tls(_)
            | Failure::TimedOut(_)
            | Failure::Broken,
        ) => Verdict::Again { asked: None },
    }
}

/// What a status means. A redirect is a failure: the address is to be corrected, not followed.
fn judged(status: u16, asked: Option<Duration>) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Gone,
        429 | 500..=599 => Verdict::Again { asked },
        _ => Verdict::Again { asked: None },
    }
}

/// The pause that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3). A date is that of the
/// receiver's clock, so it is compared with the answer's own `Date` if there is one, and with ours if not.
fn retry_after(text: &str, date: Option<&str>, now: Moment) -> Option<Duration> {
    let text = text.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = http_date(text)?;
            let now = date.and_then(http_date).unwrap_or_else(|| now.seconds());
            Duration::from_secs(u64::try_from(then.saturating_sub(now)).ok()?)
        }
    };
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// A date as HTTP has it, in the form that is sent today, in seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    PrimitiveDateTime::parse(text.trim(), FORM).ok().map(|date| date.assume_utc().unix_timestamp())
}

/// How long to wait after so many attempts at a message; `None` when it is not sent again. The pause that a receiver
/// asked for is never cut short, up to [`LONGEST_RETRY_AFTER`].
#[must_use]
pub fn pause(message: &str, attempts: u32, asked: Option<Duration>) -> Option<Duration> {
    let last = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let usual = PAUSES.get(last)?.mul_f64(1.0 + JITTER * spread(message, attempts));
    Some(usual.max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER)))
}

/// Between 0 and 1, different for each message and attempt and the same whenever it is asked for.
fn spread(message: &str, attempt: u32) -> f64 {
    let digest = json::sha256_hex(format!("{message} {attempt}").as_bytes());
    let number = digest.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default();
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_tried_ten_times_over_three_days_and_a_half() {
        assert!((1..=9).all(|attempts| pause("msg_1", attempts, None).is_some()));
        assert_eq!(pause("msg_1", 10, None), None);
        assert_eq!(pause("msg_1", 0, None), None);
        let all: Duration = PAUSES.iter().sum();
        assert!(all > Duration::from_secs(75 * HOUR) && all < LONGEST_FAILURE, "{all:?}");
    }

    #[test]
    fn an_answer_means_what_the_specification_says() {
        let again = |asked| Verdict::Again { asked };
        let minute = Some(Duration::from_secs(60));
        for (status, asked, means) in [
            (200, None, Verdict::Delivered),
            (204, minute, Verdict::Delivered),
            (299, None, Verdict::Delivered),
            (301, None, again(None)),
            (308, minute, again(None)),
            (400, None, again(None)),
            (401, None, again(None)),
            (404, minute, again(None)),
            (410, None, Verdict::Gone),
            (429, minute, again(minute)),
            (503, minute, again(minute)),
            (504, None, again(None)),
        ] {
            assert_eq!(judged(status, asked), means, "{status} {asked:?}");
        }
        let now = Moment::from_micros(0);
        assert_eq!(verdict(&Err(Failure::Busy), now), Verdict::NotTried);
        assert_eq!(verdict(&Err(Failure::Broken), now), again(None));
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_as_a_date() {
        // One second before the second date below.
        let now = Moment::from_micros(1_792_567_679_900_000);
        for (text, date, pause) in [
            ("60", None, Some(60)),
            (" 7 ", None, Some(7)),
            ("0", None, Some(0)),
            ("999999999", None, Some(86_400)),
            ("-1", None, None),
            ("", None, None),
            ("soon", None, None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None, Some(1)),
            ("Wed, 21 Oct 2026 08:28:00 GMT", None, Some(3601)),
            ("Thu, 21 Oct 2027 07:28:00 GMT", None, Some(86_400)),
            // A receiver whose clock is an hour behind means the pause that it sees.
            ("Wed, 21 Oct 2026 06:28:30 GMT", Some("Wed, 21 Oct 2026 06:28:00 GMT"), Some(30)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some("yesterday"), Some(31)),
            // It is over.
            ("Wed, 21 Oct 2026 07:00:00 GMT", None, None),
            ("Wed, 21 Oct 2026 07:28:00 CET", None, None),
            ("Wed, 41 Oct 2026 07:28:00 GMT", None, None),
        ] {
            assert_eq!(retry_after(text, date, now), pause.map(Duration::from_secs), "{text} {date:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_it_is_published_nor_much_longer(message in "[a-z0-9]{1,40}", attempts in 1u32..=9) {
            let published = PAUSES[attempts as usize - 1];
            let pause = pause(&message, attempts, None).unwrap();
            prop_assert!(pause >= published && pause <= published.mul_f64(1.0 + JITTER + 1e-9), "{pause:?}");
            prop_assert_eq!(Some(pause), super::pause(&message, attempts, None), "it does not change");
        }

        #[test]
        fn what_a_receiver_asks_for_is_never_cut_short(asked in 0u64..=2 * 86_400, attempts in 1u32..=9) {
            let asked = Duration::from_secs(asked);
            let with = pause("m", attempts, Some(asked)).unwrap();
            prop_assert!(with >= asked.min(LONGEST_RETRY_AFTER) && with >= pause("m", attempts, None).unwrap());
            prop_assert!(with <= LONGEST_RETRY_AFTER.mul_f64(1.0 + JITTER));
        }

        #[test]
        fn no_status_but_success_counts_as_delivered(status in 100u16..=999, text in "[ -~]{0,32}") {
            let verdict = judged(status, retry_after(&text, None, Moment::from_micros(0)));
            prop_assert_eq!(verdict == Verdict::Delivered, (200..300).contains(&status));
            prop_assert_eq!(verdict == Verdict::Gone, status == 410);
        }
    }
}
