//! The body of a writing request, of which it is known whether all of it has left.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How much is handed over at a time, bytes.
const PIECE: usize = 16 * 1024;

/// A body being sent. The system gives up what is not acknowledged; a peer that acknowledges a little at a time could
/// keep a launch on its way for minutes.
pub(super) struct Delivery {
    rest: Bytes,
    left: Arc<AtomicBool>,
}

impl Delivery {
    /// Of these bytes; also whether all of them have been handed over.
    pub(super) fn of(bytes: Bytes) -> (Self, Arc<AtomicBool>) {
        let left = Arc::new(AtomicBool::new(bytes.is_empty()));
        (Self { rest: bytes, left: left.clone() }, left)
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.left.store(true, Ordering::Release);
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
