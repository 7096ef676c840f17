//! Responses, and what they mean before their content is read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Response;
use serde::de::IgnoredAny;
use serde_json::Value;
use time::OffsetDateTime;

use super::memory::{FREE, Held, Memory};
use super::{AwxError, Refusal, clock, tree};

/// How much is kept of an answer that is too large: enough to see how it begins.
const BEGINNING: usize = 64 * 1024;
/// The longest `Retry-After` that is honoured.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// The most of a refusal, bytes: AWX quotes all choices of a survey if the answer is not one of them.
const LONGEST_REFUSAL: usize = 1024 * 1024;
/// The most memory that an answer to a writing request takes as values, bytes.
const LARGEST_TREE: usize = 16 * 1024 * 1024;

/// What came back, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, AwxError>,
    /// What a body that is too large begins with.
    pub(super) beginning: Bytes,
    /// How many bytes of it were read.
    pub(super) read: usize,
    /// The memory it takes.
    pub(super) held: Held,
}

impl Answer {
    /// Reads a body of up to `limit` bytes. One that is announced to be larger is not read to the end.
    pub(super) async fn read(
        mut response: Response,
        limit: usize,
        authorization: &HeaderValue,
        memory: &Memory,
    ) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let limit = if status.is_success() { limit } else { limit.min(LONGEST_REFUSAL) };
        let mut held: Option<Held> = None;
        let announced = response.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let room = if announced.is_some_and(|length| length > limit) { limit.min(BEGINNING) } else { limit };
        let mut read = BytesMut::new();
        let mut beginning = Bytes::new();
        let mut taken = 0;
        let body = loop {
            let chunk = response.chunk().await;
            let more = chunk.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
            taken += more;
            if held.is_none() && taken > FREE && taken <= room {
                // Everything at once: readers that hold a part and wait for the rest could wait for each other.
                match memory.hold(announced.map_or(room, |length| length.min(room))).await {
                    Ok(room) => held = Some(room),
                    Err(busy) => break Err(busy),
                }
            }
            match chunk {
                Ok(Some(chunk)) if taken > room => {
                    read.extend_from_slice(&chunk);
                    read.truncate(BEGINNING);
                    beginning = read.freeze();
                    break Err(AwxError::TooLarge { limit });
                }
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                Ok(None) if status.is_success() => break Ok(read.freeze()),
                Ok(None) => break Ok(without_credential(read.freeze(), authorization)),
                Err(error) if error.is_timeout() => break Err(AwxError::Timeout),
                Err(_) => break Err(AwxError::bad("it ended before it was complete")),
            }
        };
        Self { status, headers, body, beginning, read: taken, held: held.unwrap_or_default() }
    }

    /// `Err` for everything but success.
    pub(super) fn check(&self) -> Result<(), AwxError> {
        let status = self.status.as_u16();
        match status {
            200..=299 => Ok(()),
            300..=399 if self.is_migrating() => Err(AwxError::Migrating),
            300..=399 => Err(AwxError::bad("it redirects to another address; configure its real address and api_root")),
            // Some gateways check the credential on AWX's behalf, so any 401 counts.
            401 => Err(AwxError::Unauthorized),
            429 => Err(AwxError::Throttled { retry_after: self.retry_after() }),
            500.. => Err(AwxError::ServerError { status }),
            404 if !self.is_own() => {
                Err(AwxError::bad("there is no AWX API at this address (404); is api_root right?"))
            }
            _ if !self.is_own() => Err(AwxError::InFront { status }),
            403 => Err(AwxError::Forbidden { detail: self.refusal().to_string() }),
            404 => Err(AwxError::NotFound { detail: self.refusal().to_string() }),
            _ => Err(AwxError::Refused { status, refusal: self.refusal() }),
        }
    }

    /// Whether AWX redirects everything while its database is being migrated. A login page that is told where its
    /// visitor came from does not count.
    pub(super) fn is_migrating(&self) -> bool {
        let path = |location: &str| location.split(['?', '#']).next().is_some_and(|l| l.contains("/migrations_notran"));
        self.header(LOCATION.as_str()).is_some_and(path)
    }

    /// How long it asks to be left alone, at most an hour. A time of day counts from the answer's own `Date`, for its
    /// clock and ours may differ; from ours if it has none.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let now = clock::told(&self.headers).unwrap_or_else(OffsetDateTime::now_utc);
                Duration::try_from(clock::parse(text)? - now).unwrap_or_default()
            }
        };
        Some(wait.min(LONGEST_RETRY))
    }

    /// Whether it is a page: what AWX answers is JSON, or empty.
    pub(super) fn is_page(&self) -> bool {
        match &self.body {
            Ok(body) => !body.trim_ascii().is_empty() && serde_json::from_slice::<IgnoredAny>(body).is_err(),
            Err(_) => true,
        }
    }

    /// Why it refused, if AWX itself says so. Nobody else's text is passed on.
    pub(super) fn refusal(&self) -> Refusal {
        match &self.body {
            Ok(body) if self.is_own() => Refusal::read(body),
            Ok(_) => Refusal::plain("the response does not come from AWX, so its text is not passed on"),
            Err(_) => Refusal::plain("its reason could not be read"),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A refusal is shown to people, and a server may echo what it was sent.
fn without_credential(body: Bytes, authorization: &HeaderValue) -> Bytes {
    let sent = authorization.as_bytes();
    let secret = sent.iter().position(|byte| *byte == b' ').and_then(|space| sent.get(space + 1..)).unwrap_or_default();
    if secret.is_empty() || !body.windows(secret.len()).any(|part| part == secret) {
        return body;
    }
    let (mut rest, mut kept) = (body.as_ref(), BytesMut::new());
    while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
        let (before, after) = rest.split_at(at);
        kept.extend_from_slice(before);
        kept.extend_from_slice(b"[credential]");
        rest = after.get(secret.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    kept.freeze()
}

/// Reads the answer to a writing request.
pub(super) fn json(body: &[u8]) -> Result<Value, AwxError> {
    tree::read(body, &mut { LARGEST_TREE })
}

/// Why something that was read as JSON could not be.
pub(super) fn no_json(body: &[u8]) -> AwxError {
    if body.trim_ascii_start().starts_with(b"<") {
        AwxError::bad("it is a web page, not JSON; is api_root right?")
    } else {
        AwxError::bad("it is not JSON")
    }
}
