//! A streamed answer that ends when its caller's token is revoked or expires, or its tenant is disabled: a stream must
//! not outlive the right to it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::Status;
use tonic::body::Body;

use crate::caller::Caller;
use crate::trust::{INTERVAL, Trust};

pub(super) struct Revocable {
    inner: Body,
    caller: Arc<Caller>,
    trust: Arc<Trust>,
    look: Interval,
    ended: bool,
}

impl Revocable {
    pub(super) fn around(body: Body, caller: Arc<Caller>, trust: Arc<Trust>) -> Body {
        let mut look = tokio::time::interval(INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Body::new(Self { inner: body, caller, trust, look, ended: false })
    }
}

impl http_body::Body for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        while self.look.poll_tick(cx).is_ready() {
            if let Err(why) = self.trust.standing(&self.caller) {
                self.ended = true;
                let status = Status::from(why);
                // The status of a stream is in its trailers.
                let mut trailers = HeaderMap::new();
                return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
            }
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}
