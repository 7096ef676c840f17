//! The headers with a meaning of their own: request id, idempotency key, tenant, entity tags.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use runwarden_kit::{ErrorReason, idempotency, slug};

use crate::problem::{Problem, Result};

/// Carries the request's id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Names the tenant a platform admin acts for.
pub const TENANT: HeaderName = HeaderName::from_static("x-tenant");
/// Makes a creation repeatable.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where an event stream resumes.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The caller's request id, if it is one that may go into logs: 1 to 128 of `[A-Za-z0-9._-]`.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    headers.get(REQUEST_ID)?.to_str().ok().filter(sane)
}

/// The tenant named by `X-Tenant`.
///
/// # Errors
///
/// If it is given twice, or is not a slug.
pub fn tenant(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(text) = single(headers, &TENANT)? else { return Ok(None) };
    if slug::is_slug(text) {
        Ok(Some(text.to_owned()))
    } else {
        Err(Problem::new(
            ErrorReason::ValidationFailed,
            "The header X-Tenant must name a tenant: lower-case letters, digits and hyphens.",
        ))
    }
}

/// The idempotency key: 1 to 255 visible ASCII characters, written plainly or as a structured-field string in quotes.
///
/// # Errors
///
/// When it is given twice, or is something else.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(text) = single(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => Some(text.to_owned()),
    };
    key.filter(|key| idempotency::is_key(key)).map(Some).ok_or_else(|| {
        Problem::new(
            ErrorReason::ValidationFailed,
            format!("The header Idempotency-Key {}, such as a UUID.", idempotency::KEY_RULE),
        )
    })
}

/// The rest of an RFC 8941 string after its opening quote.
fn unquote(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(key),
            '\\' => key.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// A condition on the revision of what a `PUT` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever is there.
    None,
    /// Only if something is there.
    Exists,
    /// Only this revision.
    Revision(i64),
}

/// Reads `If-Match`. Tags are revisions in quotes, as `ETag` gave them.
///
/// # Errors
///
/// For a tag no answer ever carried, several tags, or `If-None-Match`, which is not offered: ignoring a condition would
/// overwrite what the caller meant to protect.
pub fn precondition(headers: &HeaderMap) -> Result<Precondition> {
    if headers.contains_key(IF_NONE_MATCH) {
        return Err(Problem::new(
            ErrorReason::ValidationFailed,
            "The header If-None-Match is not supported here; use If-Match with the ETag you read.",
        ));
    }
    let Some(text) = single(headers, &IF_MATCH)? else { return Ok(Precondition::None) };
    if text == "*" {
        return Ok(Precondition::Exists);
    }
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    digits
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse::<i64>().ok())
        .filter(|revision| *revision > 0)
        .map(Precondition::Revision)
        .ok_or_else(|| {
            Problem::new(
                ErrorReason::ValidationFailed,
                "The header If-Match must be * or one ETag exactly as you received it, such as \"7\".",
            )
        })
}

/// The tag of a revision.
#[must_use]
pub fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// The event a stream resumes after, if the header says so.
///
/// # Errors
///
/// If it is not an id that a stream can have sent.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(text) = single(headers, &LAST_EVENT_ID)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(|| {
        Problem::new(
            ErrorReason::ValidationFailed,
            "The header Last-Event-ID must be the id of an event of this stream.",
        )
    })
}

/// A header that may be given once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(ErrorReason::MalformedRequest, format!("The header {name} is given more than once.")));
    }
    first.to_str().map(|text| Some(text.trim())).map_err(|_| {
        Problem::new(ErrorReason::MalformedRequest, format!("The header {name} holds bytes that are not ASCII."))
    })
}

#[cfg(test)]
mod tests {
    use super::{Precondition, etag, idempotency_key, last_event_id, precondition, request_id, tenant};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn one(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers
    }

    fn key(value: &str) -> Option<String> {
        idempotency_key(&one("idempotency-key", value)).ok().flatten()
    }

    #[test]
    fn a_sane_request_id_is_kept_and_another_is_not() {
        assert_eq!(request_id(&one("x-request-id", "a.B_c-9")), Some("a.B_c-9"));
        for bad in ["", "a b", "x\"y", "a/b", &"x".repeat(129)] {
            assert_eq!(request_id(&one("x-request-id", bad)), None, "{bad}");
        }
    }

    #[test]
    fn quotes_around_a_key_do_not_matter() {
        assert_eq!(key("8e03978e-40d5"), Some("8e03978e-40d5".into()));
        assert_eq!(key("\"8e03978e-40d5\""), key("8e03978e-40d5"));
        assert_eq!(key(r#""a\"b\\c""#), Some(r#"a"b\c"#.into()));
        for bad in ["", "\"\"", "\"open", "\"a\"b", "with space", r#""a\n""#, &"k".repeat(256)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let mut headers = one("idempotency-key", "a");
        headers.append("idempotency-key", HeaderValue::from_static("b"));
        assert!(idempotency_key(&headers).is_err());
    }

    #[test]
    fn a_tenant_is_a_slug() {
        assert_eq!(tenant(&one("x-tenant", "acme")).unwrap().as_deref(), Some("acme"));
        assert!(tenant(&one("x-tenant", "../acme")).is_err());
        assert!(tenant(&one("x-tenant", "")).is_err());
        assert_eq!(tenant(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_revision_survives_as_an_entity_tag() {
        assert_eq!(precondition(&one("if-match", &etag(7))).unwrap(), Precondition::Revision(7));
        assert_eq!(precondition(&one("if-match", "*")).unwrap(), Precondition::Exists);
        assert_eq!(precondition(&HeaderMap::new()).unwrap(), Precondition::None);
        for bad in ["7", "W/\"7\"", "\"x\"", "\"7\", \"8\"", "\"0\"", "\"99999999999999999999\"", "\"+7\""] {
            assert!(precondition(&one("if-match", bad)).is_err(), "{bad}");
        }
        assert!(precondition(&one("if-none-match", "*")).is_err());
    }

    #[test]
    fn a_stream_resumes_at_a_number() {
        assert_eq!(last_event_id(&one("last-event-id", "42")).unwrap(), Some(42));
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
        for bad in ["-1", "abc", "99999999999999999999"] {
            assert!(last_event_id(&one("last-event-id", bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_value_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                for name in ["x-request-id", "x-tenant", "idempotency-key", "if-match", "last-event-id"] {
                    headers.insert(HeaderName::from_static(name), value.clone());
                }
                let _ = (request_id(&headers), tenant(&headers).is_ok(), precondition(&headers).is_ok());
                let _ = last_event_id(&headers).is_ok();
                if let Ok(Some(key)) = idempotency_key(&headers) {
                    prop_assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()));
                }
            }
        }

        #[test]
        fn a_key_means_the_same_plain_and_quoted(plain in "[!#-\\[\\]-~]{1,255}") {
            prop_assert_eq!(key(&plain), key(&format!("\"{plain}\"")));
        }
    }
}
