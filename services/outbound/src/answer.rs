use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::Failure;

/// What a receiver answered. All of it is untrusted.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status. A redirect is one, too.
    pub status: StatusCode,
    /// The headers, at most 64 and 64 KiB.
    pub headers: HeaderMap,
    /// The body, or how it begins.
    pub body: Bytes,
    /// Whether [`Answer::body`] is all of it.
    pub is_whole: bool,
}

impl Answer {
    /// Reads up to so many bytes. If there is more, the rest is not read and the connection is not used again.
    pub(crate) async fn read(response: http::Response<Incoming>, limit: usize) -> Result<Self, Failure> {
        let (head, mut body) = response.into_parts();
        let mut read = BytesMut::new();
        let mut is_whole = true;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Failure::Broken)?.into_data() else { continue };
            if data.len() > limit - read.len() {
                read.extend_from_slice(data.get(..limit - read.len()).unwrap_or_default());
                is_whole = false;
                break;
            }
            read.extend_from_slice(&data);
        }
        Ok(Self { status: head.status, headers: head.headers, body: read.freeze(), is_whole })
    }

    /// A header as text, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
