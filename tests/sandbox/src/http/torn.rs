//! Bodies that no good server sends: one that breaks off, and one that does not end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long what was written has to leave before the connection breaks.
const LEAVE: Duration = Duration::from_millis(30);

/// The beginning of a body, and then the connection breaks.
pub(crate) struct Torn {
    /// What still arrives.
    first: Option<Bytes>,
    /// How long the whole would be.
    announced: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Torn {
    /// At most `after` bytes of the whole arrive, and never all of it.
    pub(crate) fn new(mut whole: Bytes, after: u64) -> Self {
        let announced = whole.len().max(1);
        let after = usize::try_from(after).unwrap_or(usize::MAX).min(announced - 1);
        whole.truncate(after);
        let first = (!whole.is_empty()).then_some(whole);
        Self { first, announced: u64::try_from(announced).unwrap_or(u64::MAX), pause: None }
    }
}

/// Why a body breaks off.
#[derive(Debug)]
pub(crate) struct OnOrder;

impl std::fmt::Display for OnOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off on order")
    }
}

impl std::error::Error for OnOrder {}

impl Body for Torn {
    type Data = Bytes;
    type Error = OnOrder;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OnOrder>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        // Failing at once would take along what is only buffered yet.
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(LEAVE)));
        pause.as_mut().poll(cx).map(|()| Some(Err(OnOrder)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

/// One piece of what a body is filled up with.
static SPACES: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// A body of whatever size that takes no memory: something, very many spaces, something.
pub(crate) struct Padded {
    before: Option<Bytes>,
    spaces: u64,
    after: Option<Bytes>,
}

impl Padded {
    /// Fills a body up to this many bytes. An object stays one: the first thing in it is then a field with nothing but
    /// spaces, so that nothing else of it is read before that. To anything else spaces are added, which JSON allows.
    pub(crate) fn new(whole: Bytes, bytes: u64) -> Self {
        const OPEN: &[u8] = b"{\"padding\":\"";
        let json = whole.first() == Some(&b'{') && whole.last() == Some(&b'}');
        let (before, after) = if json {
            let rest = whole.slice(1..);
            let close: &[u8] = if rest.as_ref() == b"}" { b"\"" } else { b"\"," };
            (Bytes::from_static(OPEN), Bytes::from([close, rest.as_ref()].concat()))
        } else {
            (whole, Bytes::new())
        };
        let length = u64::try_from(before.len() + after.len()).unwrap_or(u64::MAX);
        Self { before: Some(before), spaces: bytes.saturating_sub(length), after: Some(after) }
    }
}

impl Body for Padded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = if let Some(before) = self.before.take() {
            before
        } else if self.spaces > 0 {
            let piece = SPACES.len().min(usize::try_from(self.spaces).unwrap_or(usize::MAX));
            self.spaces -= u64::try_from(piece).unwrap_or(self.spaces);
            Bytes::from_static(SPACES.get(..piece).unwrap_or(&SPACES))
        } else if let Some(after) = self.after.take() {
            after
        } else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = |piece: &Option<Bytes>| piece.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0));
        SizeHint::with_exact(length(&self.before) + self.spaces + length(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn read(body: Padded) -> Vec<u8> {
        axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn padding_keeps_json_what_it_is_and_comes_to_the_size_that_was_ordered() {
        for (text, size) in [(r#"{"id":7,"type":"job"}"#, 200_000), ("{}", 1000), ("[1,2]", 70_000), ("", 10)] {
            let padded = Padded::new(Bytes::from(text), size);
            assert_eq!(padded.size_hint().exact(), Some(size), "{text}");
            let bytes = read(padded).await;
            assert_eq!(u64::try_from(bytes.len()).unwrap(), size, "{text}");
            let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
                assert!(text.is_empty());
                continue;
            };
            if let Some(object) = value.as_object_mut() {
                object.remove("padding");
            }
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        }
        assert_eq!(read(Padded::new(Bytes::from("[1]"), 1)).await, b"[1]", "nothing is cut off");
        assert_eq!(
            serde_json::from_slice::<Value>(&read(Padded::new(Bytes::from("{}"), 0)).await).unwrap(),
            json!({"padding": ""})
        );
    }
}
