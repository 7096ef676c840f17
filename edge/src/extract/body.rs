//! The body, read within limits of size and time, and strictly as JSON.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use runwarden_kit::{Error, ErrorReason, json};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned};
use serde_json::Value;

use crate::limits::room::Purse;
use crate::problem::{Problem, Result};

/// How much of an unread body is still taken in after the answer is decided, so that the caller gets to read it.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How large a body may be and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// In bytes.
    pub size: usize,
    /// From the first look at it to its end.
    pub time: Duration,
}

/// Holds a request's body until it is read. What a handler does not read is drained here: closing a connection with
/// unread data makes the peer's system throw our answer away.
///
/// Nothing is read before the gate has said how much may be ([`BodySlot::allow`]). What was read is paid for until the
/// request is answered.
#[derive(Clone)]
pub struct BodySlot(Arc<Mutex<Held>>);

struct Held {
    body: Option<HttpBody>,
    allowed: Option<(BodyLimits, Purse)>,
}

impl BodySlot {
    /// Takes the body out of a request and leaves this in its extensions.
    pub fn park(request: &mut Request) -> Self {
        let body = std::mem::replace(request.body_mut(), HttpBody::empty());
        let slot = Self(Arc::new(Mutex::new(Held { body: Some(body), allowed: None })));
        request.extensions_mut().insert(slot.clone());
        slot
    }

    /// Lets the body be read, within limits and as far as the purse reaches.
    pub fn allow(&self, limits: BodyLimits, purse: Purse) {
        self.held().allowed = Some((limits, purse));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swap(&self, body: Option<HttpBody>) -> Option<HttpBody> {
        std::mem::replace(&mut self.held().body, body)
    }

    /// Reads and discards the unread rest, up to a limit.
    pub async fn drain(&self) {
        let Some(mut body) = self.swap(None) else { return };
        let drained = async {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
        };
        // A body that is still coming after that is cut off with the connection.
        let _finished = tokio::time::timeout(DRAIN_TIME, drained).await;
    }

    /// Forgets the body without reading it: with `Expect: 100-continue` nothing was sent yet.
    pub fn forget(&self) {
        self.swap(None);
    }

    async fn read(&self, headers: &HeaderMap) -> Result<Bytes> {
        let Some((limits, mut purse)) = self.held().allowed.take() else {
            return Err(Problem::from(Error::internal(anyhow::anyhow!("this route does not allow a body to be read"))));
        };
        let read = self.read_within(limits, &mut purse, headers).await;
        self.held().allowed = Some((limits, purse));
        read
    }

    async fn read_within(&self, limits: BodyLimits, purse: &mut Purse, headers: &HeaderMap) -> Result<Bytes> {
        let limit = limits.size;
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
            if headers.contains_key(EXPECT) {
                self.forget();
            }
            return Err(too_large(limit));
        }
        let Some(mut body) = self.swap(None) else { return Ok(Bytes::new()) };
        let mut read = BytesMut::new();
        let outcome = tokio::time::timeout(limits.time, async {
            while let Some(frame) = body.frame().await {
                let frame =
                    frame.map_err(|_| Problem::new(ErrorReason::MalformedRequest, "The body ended too early."))?;
                let Some(data) = frame.data_ref() else { continue };
                if read.len() + data.len() > limit {
                    return Err(too_large(limit));
                }
                purse.pay(data.len())?;
                read.extend_from_slice(data);
            }
            Ok(())
        })
        .await;
        match outcome {
            Ok(Ok(())) => Ok(read.freeze()),
            Ok(Err(problem)) => {
                self.swap(Some(body));
                Err(problem)
            }
            Err(_) => Err(Problem::new(ErrorReason::DeadlineExceeded, "The body did not arrive in time.")
                .with_status(StatusCode::REQUEST_TIMEOUT)),
        }
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(ErrorReason::PayloadTooLarge, format!("The body is larger than the {limit} bytes that are accepted."))
}

/// Reads a request's body as bytes of one of the given media types, and says which it was.
///
/// # Errors
///
/// 413, 415, 408, or 400 when it broke off.
pub async fn bytes(request: Request, types: &[&'static str]) -> Result<(&'static str, Bytes)> {
    let headers = request.headers();
    if headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            ErrorReason::UnsupportedMediaType,
            "Compressed bodies are not accepted. Send the body without Content-Encoding.",
        ));
    }
    let found = media_type(headers).and_then(|given| types.iter().find(|wanted| given == **wanted));
    let Some(found) = found else {
        let wanted = types.join(" or ");
        return Err(Problem::new(
            ErrorReason::UnsupportedMediaType,
            format!("The body must be {wanted} in UTF-8, declared by exactly one Content-Type header."),
        ));
    };
    Ok((found, whole(request).await?))
}

/// Reads a request's body whatever it is.
///
/// # Errors
///
/// 413, 408, or 400 when it broke off.
pub async fn whole(request: Request) -> Result<Bytes> {
    match request.extensions().get::<BodySlot>() {
        Some(slot) => slot.read(request.headers()).await,
        None => Ok(Bytes::new()),
    }
}

/// The media type of a body in lower case; `None` if there is not exactly one. Its parameters do not matter: neither JSON
/// nor a form has a charset (RFC 8259 section 11, WHATWG URL), and what is not UTF-8 is found out when it is read.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let text = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (_, bytes) = bytes(request, &["application/json"]).await?;
        from_json(&bytes).map(Self)
    }
}

/// A call that takes no body; an empty JSON object is as good as none.
#[derive(Debug)]
pub struct NoBody;

impl<S: Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let bytes = whole(request).await?;
        if bytes.is_empty() || parse(&bytes)? == Value::Object(serde_json::Map::new()) {
            return Ok(Self);
        }
        Err(Problem::invalid("", "This call takes no body."))
    }
}

/// Reads JSON strictly into a type.
///
/// # Errors
///
/// 400 for invalid or ambiguous JSON; 422 with a pointer for valid JSON that does not fit.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let value = parse(bytes)?;
    serde_path_to_error::deserialize(value).map(|Object(read)| read).map_err(|error| {
        let mut pointer = String::new();
        for step in error.path().iter() {
            use serde_path_to_error::Segment;
            match step {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&json::pointer_step(key)),
                Segment::Enum { variant } => pointer.push_str(&json::pointer_step(variant)),
                Segment::Unknown => {}
            }
        }
        let detail = error.into_inner().to_string();
        if let Some(name) = quoted_after(&detail, "missing field ") {
            pointer.push_str(&json::pointer_step(name));
            return Problem::invalid(pointer, "is missing");
        }
        Problem::invalid(pointer, plainly(&detail))
    })
}

/// serde's words without what it adds: the value, which may be a secret in the wrong place, and names of Rust types.
fn plainly(detail: &str) -> String {
    // The value comes first and may hold anything, so the last `expected` is serde's own.
    let split = |prefix: &str| detail.strip_prefix(prefix)?.rsplit_once(", expected ");
    if let Some((found, wanted)) = split("invalid type: ") {
        return format!("must be {}, not {}", in_json(wanted), in_json(found));
    }
    if let Some((_, wanted)) = split("invalid value: ") {
        return format!("must be {} within its range", in_json(wanted));
    }
    if let Some((_, wanted)) = split("unknown variant ") {
        return format!("must be {wanted}");
    }
    detail.to_owned()
}

/// What serde says is there or should be, in JSON's terms.
fn in_json(words: &str) -> &str {
    let first = words.split([' ', '"', '`']).next().unwrap_or_default();
    match first {
        "string" => "a string",
        "boolean" => "a boolean",
        "floating" => "a number with a fraction",
        "integer" | "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "null" | "unit" => "null",
        "sequence" => "an array",
        "map" => "an object",
        _ => match words {
            "a map" => "an object",
            "a sequence" => "an array",
            other => other,
        },
    }
}

/// A value that must be written as a JSON object: serde by itself takes an array for a struct, field by field.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> std::result::Result<T, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

fn quoted_after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

/// A text without the byte order mark that some editors and shells put in front of it.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads JSON strictly.
///
/// # Errors
///
/// 400 for invalid or ambiguous JSON; 422 with a pointer for a NUL character.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    let value = json::parse(without_mark(bytes))?;
    match json::find_nul(&value) {
        Some(pointer) => Err(Problem::invalid(pointer, "must not contain a NUL character")),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyLimits, BodySlot, Object, bytes, from_json, media_type, whole};
    use crate::config::Config;
    use crate::limits::room::Room;
    use crate::route_table::Takes;
    use axum::body::Body as HttpBody;
    use axum::extract::Request;
    use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::prelude::*;
    use runwarden_kit::ErrorReason;
    use serde::Deserialize;
    use std::time::Duration;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        name: String,
        #[serde(default)]
        inner: Option<Object<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: i32,
    }

    fn refusal(body: &[u8]) -> (StatusCode, Option<String>) {
        let problem = from_json::<Thing>(body).unwrap_err();
        (problem.status(), problem.error().fields().first().map(|field| field.pointer.clone()))
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_said_again() {
        let detail = |body: &str| from_json::<Thing>(body.as_bytes()).unwrap_err().error().detail().to_owned();
        assert_eq!(detail(r#"{"name":"a","inner":"hunter2, expected x"}"#), "must be an object, not a string");
        assert_eq!(detail(r#"{"name":["hunter2"]}"#), "must be a string, not an array");
        assert_eq!(detail(r#"{"name":4711}"#), "must be a string, not a whole number");
        assert_eq!(detail(r#"{"name":"a","inner":{"count":"4"}}"#), "must be a whole number, not a string");
        assert_eq!(detail(r#"{"name":"a","inner":{"count":4000000000}}"#), "must be a whole number within its range");
        assert_eq!(detail(r#"{"name":true}"#), "must be a string, not a boolean");
        assert_eq!(detail("[]"), "must be an object, not an array");
    }

    fn wrong(pointer: &str) -> (StatusCode, Option<String>) {
        (StatusCode::UNPROCESSABLE_ENTITY, Some(pointer.into()))
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let thing: Thing = from_json(br#"{"name":"a","inner":{"count":3}}"#).unwrap();
        assert_eq!((thing.name.as_str(), thing.inner.unwrap().0.count), ("a", 3));
        assert_eq!(refusal(br#"{"name":"a","what":1}"#), wrong("/what"));
        assert_eq!(refusal(br#"{"name":"a","inner":{"count":1,"x/y":2}}"#), wrong("/inner/x~1y"));
        assert_eq!(refusal(br#"{"name":7}"#), wrong("/name"));
        assert_eq!(refusal(br#"{"name":"a","inner":{"count":1.5}}"#), wrong("/inner/count"));
        assert_eq!(refusal(br#"{"name":"a","inner":{"count":99999999999}}"#), wrong("/inner/count"));
        assert_eq!(refusal(b"{}"), wrong("/name"));
        assert_eq!(refusal(b"{\"name\":\"a\\u0000\"}"), wrong("/name"));
        assert_eq!(refusal(br#"["a"]"#), wrong(""));
        assert_eq!(refusal(br#"{"name":"a","inner":[1]}"#), wrong("/inner"));
    }

    #[test]
    fn what_is_no_json_or_ambiguous_is_malformed() {
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        let bad: [&[u8]; 6] =
            [b"", b"{", b"{\"name\":1,\"name\":2}", b"{\"name\":\"\xff\"}", b"{\"name\":1e999}", &deep];
        for body in bad {
            assert_eq!(refusal(body).0, StatusCode::BAD_REQUEST);
        }
    }

    fn request(headers: &[(http::HeaderName, &str)], body: HttpBody, size: usize) -> Request {
        let mut request = Request::new(body);
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let purse = Room::new(&Config::default()).purse(Takes::Little, [192, 0, 2, 1].into(), None);
        BodySlot::park(&mut request).allow(BodyLimits { size, time: Duration::from_millis(50) }, purse);
        request
    }

    #[tokio::test]
    async fn a_body_is_paid_for_as_it_arrives_and_until_the_request_is_answered() {
        let room = Room::new(&Config { open_bytes: 80, ..Config::default() });
        let limits = BodyLimits { size: 100, time: Duration::from_secs(5) };
        let send = |body: &'static str| {
            let mut request = Request::new(HttpBody::from(body));
            let slot = BodySlot::park(&mut request);
            slot.allow(limits, room.purse(Takes::Little, [192, 0, 2, 1].into(), None));
            (request, slot)
        };
        let (first, held) = send("123456");
        assert_eq!(whole(first).await.unwrap(), "123456");
        let (second, _) = send("12345");
        assert_eq!(whole(second).await.unwrap_err().reason(), ErrorReason::RateLimited);
        drop(held);
        let (third, _) = send("12345");
        assert_eq!(whole(third).await.unwrap(), "12345");
    }

    #[tokio::test]
    async fn nothing_is_read_that_the_gate_has_not_allowed() {
        let mut request = Request::new(HttpBody::from("123"));
        BodySlot::park(&mut request);
        assert_eq!(whole(request).await.unwrap_err().reason(), ErrorReason::Internal);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        let announced = request(&[(CONTENT_LENGTH, "9")], HttpBody::from("123456789"), 8);
        assert_eq!(whole(announced).await.unwrap_err().reason(), ErrorReason::PayloadTooLarge);
        let pieces = futures::stream::iter(["12345", "6789"].map(Ok::<_, std::io::Error>));
        let chunked = request(&[], HttpBody::from_stream(pieces), 8);
        let slot = chunked.extensions().get::<BodySlot>().unwrap().clone();
        assert_eq!(whole(chunked).await.unwrap_err().reason(), ErrorReason::PayloadTooLarge);
        slot.drain().await;
        assert_eq!(whole(request(&[], HttpBody::from("12345678"), 8)).await.unwrap(), "12345678");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let silent = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let problem = whole(request(&[], HttpBody::from_stream(silent), 8)).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn other_media_types_are_refused() {
        for kind in ["text/plain", "application/jsonp", ""] {
            let asked = request(&[(CONTENT_TYPE, kind)], HttpBody::from("{}"), 8);
            let problem = bytes(asked, &["application/json"]).await.unwrap_err();
            assert_eq!(problem.reason(), ErrorReason::UnsupportedMediaType, "{kind}");
        }
        for kind in
            ["Application/JSON; charset=\"UTF-8\"", "application/json;charset=iso-8859-1", "application/json; v=2"]
        {
            let asked = request(&[(CONTENT_TYPE, kind)], HttpBody::from("{}"), 8);
            assert_eq!(bytes(asked, &["application/json"]).await.unwrap().1, "{}", "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_json::<Thing>(&body).is_ok();
        }

        #[test]
        fn any_content_type_is_read_or_refused(line in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(&line).unwrap());
            let _ = media_type(&headers);
        }
    }
}
