//! What belongs to one request and travels with it from service to service: ids, deadline, caller token.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::idempotency;

/// gRPC metadata with the request's id.
pub const REQUEST_ID: &str = "x-request-id";
/// gRPC metadata with the tenant a platform principal acts for.
pub const TENANT: &str = "x-runwarden-tenant";
/// gRPC metadata with the address the request came from, set by the edge alone.
pub const SOURCE_ADDRESS: &str = "x-runwarden-source-address";
/// gRPC metadata with the caller's idempotency key.
pub const IDEMPOTENCY_KEY: &str = "x-runwarden-idempotency-key";
/// gRPC metadata of an answer that says that it is an earlier one's again, by the idempotency key.
pub const REPLAYED: &str = "x-runwarden-replayed";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The context of one request.
#[derive(Clone, Default)]
pub struct RequestContext {
    /// The request's id, from the edge or the caller.
    pub request_id: String,
    /// The trace's id, 32 hex digits; empty outside a trace.
    pub trace_id: String,
    /// Where the request came from: an IP address; empty for what Runwarden does by itself.
    pub source_address: String,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// The tenant named beside the token.
    pub tenant: Option<String>,
    /// The caller token as it came.
    pub token: Option<SecretString>,
    /// Who the token says is calling, once verified.
    pub caller: Option<Arc<Caller>>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Set once the request turned out to be a repeat (see [`mark_replayed`]).
    pub replayed: Arc<AtomicBool>,
}

impl fmt::Debug for RequestContext {
    /// Without the idempotency key: stored answers are sealed with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("request_id", &self.request_id)
            .field("trace_id", &self.trace_id)
            .field("source_address", &self.source_address)
            .field("tenant", &self.tenant)
            .field("principal", &self.caller.as_ref().map(|caller| &caller.principal))
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// The context of the request being served; an empty one outside of any.
#[must_use]
pub fn current() -> Arc<RequestContext> {
    CURRENT.try_with(Arc::clone).unwrap_or_default()
}

/// Reads the context of the request being served without copying it; nothing outside of any.
pub fn with_current<T>(read: impl FnOnce(&RequestContext) -> T) -> Option<T> {
    CURRENT.try_with(|context| read(context)).ok()
}

/// Notes that the request being served is a repeat and gets the first one's answer.
pub fn mark_replayed() {
    with_current(|context| context.replayed.store(true, Ordering::Relaxed));
}

/// Runs a future within a context.
pub async fn scope<F: Future>(context: impl Into<Arc<RequestContext>>, future: F) -> F::Output {
    CURRENT.scope(context.into(), future).await
}

impl RequestContext {
    /// Reads what a mesh peer sent along.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Self {
            request_id: text(REQUEST_ID).filter(|id| is_sane_id(id)).unwrap_or_else(|| crate::id::new("req")),
            trace_id: text(TRACEPARENT).and_then(|t| trace_id_of(&t)).unwrap_or_default(),
            source_address: text(SOURCE_ADDRESS).filter(|a| a.parse::<std::net::IpAddr>().is_ok()).unwrap_or_default(),
            idempotency_key: idempotency_key(headers).unwrap_or_default(),
            tenant: text(TENANT).filter(|t| !t.is_empty()),
            token: bearer(headers),
            caller: None,
            replayed: Arc::default(),
            deadline: text("grpc-timeout").and_then(|t| Instant::now().checked_add(parse_timeout(&t)?)),
        }
    }

    /// Whether the request turned out to be a repeat.
    #[must_use]
    pub fn was_replayed(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }

    /// How long the caller still waits; `None` when it named no end.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The caller token in the clear, to send it on or to verify it.
    #[must_use]
    pub fn token_text(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// The bearer token of a request (RFC 6750 section 2.1); the scheme's case does not matter.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(token.trim().to_owned()))
}

/// The idempotency key a mesh peer sent along, if it sent one.
///
/// # Errors
/// `VALIDATION_FAILED` when it is given twice or cannot be one. A key that was left out instead would make a request
/// that is sent again count as another one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| values.next().is_none() && idempotency::is_key(key));
    let key = key.ok_or_else(|| {
        Error::invalid("", format!("{IDEMPOTENCY_KEY} must be given once, and {}", idempotency::KEY_RULE))
    })?;
    Ok(Some(key.to_owned()))
}

/// Whether a request id from outside may be kept: short, printable, harmless in logs and headers.
#[must_use]
pub fn is_sane_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The trace id in a `traceparent`, if it is a valid one (W3C Trace Context level 1).
#[must_use]
pub fn trace_id_of(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(span, 16)
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0');
    valid.then(|| trace.to_owned())
}

/// Reads `grpc-timeout`: up to 8 digits and a unit.
#[must_use]
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(amount.saturating_mul(3600))),
        'M' => Some(Duration::from_secs(amount.saturating_mul(60))),
        'S' => Some(Duration::from_secs(amount)),
        'm' => Some(Duration::from_millis(amount)),
        'u' => Some(Duration::from_micros(amount)),
        'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Writes `grpc-timeout`, in milliseconds as long as they fit its 8 digits.
#[must_use]
pub fn format_timeout(left: Duration) -> String {
    let millis = left.as_millis();
    if millis < 100_000_000 { format!("{}m", millis.max(1)) } else { format!("{}S", left.as_secs().min(99_999_999)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_valid_traceparents_are_continued() {
        assert!(trace_id_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
        for bad in [
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_bearer_scheme_is_case_insensitive_and_others_are_ignored() {
        let with = |v: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", v.parse().expect("a header"));
            bearer(&headers).map(|t| t.expose_secret().to_owned())
        };
        assert_eq!(with("bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("Basic abc"), None);
        assert_eq!(with("abc"), None);
    }

    #[test]
    fn what_a_peer_sends_beyond_reason_is_left_out_and_nothing_panics() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (REQUEST_ID, "x".repeat(200).as_str()),
            (SOURCE_ADDRESS, "not an address"),
            (IDEMPOTENCY_KEY, "k".repeat(300).as_str()),
            ("grpc-timeout", "99999999H"),
        ] {
            headers
                .insert(http::HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("text"));
        }
        let context = RequestContext::from_headers(&headers);
        assert!(crate::id::is_valid("req", &context.request_id));
        assert_eq!((context.source_address.as_str(), &context.idempotency_key), ("", &None));
        assert!(context.remaining().is_none_or(|left| left > Duration::from_secs(1)));
    }

    #[test]
    fn debug_output_holds_neither_token_nor_idempotency_key() {
        let context = RequestContext {
            token: Some("secret-token".to_owned().into()),
            idempotency_key: Some("secret-key".into()),
            ..RequestContext::default()
        };
        assert!(!format!("{context:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn a_timeout_survives_the_wire_to_the_millisecond(millis in 1u64..99_999_999) {
            let left = Duration::from_millis(millis);
            prop_assert_eq!(parse_timeout(&format_timeout(left)), Some(left));
        }

        #[test]
        fn no_header_text_panics(text in ".*") {
            let _outcome = (parse_timeout(&text), trace_id_of(&text), is_sane_id(&text));
        }
    }
}
