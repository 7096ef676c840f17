use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::Address;

/// Headers that say how a message is carried; they are the client's own business.
const OURS: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// The most headers, and the most bytes of their names and values.
const MOST_HEADERS: usize = 32;
const MOST_HEADER_BYTES: usize = 16 * 1024;

/// One request.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) address: Address,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) within: Duration,
    pub(crate) answer_bytes: usize,
}

/// Why a header cannot be sent, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestProblem(&'static str);

impl Request {
    /// A request that may take 20 seconds, of whose answer at most 64 KiB are kept.
    #[must_use]
    pub fn new(method: Method, address: Address) -> Self {
        Self {
            method,
            address,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            within: Duration::from_secs(20),
            answer_bytes: 64 * 1024,
        }
    }

    /// Adds a header. One that is secret is not printed.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, RequestProblem> {
        let name = HeaderName::try_from(name).map_err(|_| RequestProblem("is not a header name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| RequestProblem("is not a header value"))?;
        if OURS.contains(&name) {
            return Err(RequestProblem("is a header that cannot be set"));
        }
        value.set_sensitive(name == header::AUTHORIZATION);
        self.headers.append(name, value);
        let bytes: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if self.headers.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
            return Err(RequestProblem("makes the headers too many or too large"));
        }
        Ok(self)
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// How long the whole of it may take, connecting included.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// How much of the answer's body is kept, bytes. If there is more, [`crate::Answer::is_whole`] is false.
    #[must_use]
    pub fn answer_bytes(mut self, bytes: usize) -> Self {
        self.answer_bytes = bytes;
        self
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {:?})", self.method, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_bounded_and_say_nothing_about_the_connection() {
        let request = || {
            let address = Address::parse("https://receiver.example/", &crate::Exceptions::default()).unwrap();
            Request::new(Method::POST, address)
        };
        assert!(request().header("webhook-id", "msg_1").is_ok());
        for (name, value) in [
            ("Host", "x"),
            ("content-length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("cookie", "a=b"),
            ("connection", "x"),
            ("proxy-connection", "x"),
            ("a b", "x"),
            ("", "x"),
            ("x", "a\r\nb: c"),
            ("x", "a\nb"),
            ("x\r\ny", "z"),
        ] {
            assert!(request().header(name, value).is_err(), "{name}: {value}");
        }
        assert!(request().header("x", &"y".repeat(17 * 1024)).is_err());
        let full = (0..32).fold(request(), |request, i| request.header(&format!("x-{i}"), "y").unwrap());
        assert!(full.header("x-32", "y").is_err());
        assert!(!format!("{:?}", request().header("authorization", "Bearer t0ken").unwrap().headers).contains("t0ken"));
    }
}
