//! Readers: what becomes of answers that nobody takes. HTTP lets a reader stop reading and keep its connection for as long
//! as it likes; here an answer of which nothing is taken for too long is given up, with the place that it held and all
//! that works for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::limits::room::Place;

/// What the requests of one connection are doing. Travels with each of them.
#[derive(Clone, Default)]
pub struct Readers {
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    /// Requests that have no answer yet.
    requests: usize,
    answers: Vec<Weak<Mutex<Kept>>>,
    idle_since: Option<Instant>,
}

/// A request without an answer yet.
pub struct Request(Readers);

/// What an answer keeps until it was taken, its reader has gone, or it was given up.
enum Kept {
    Here {
        body: Body,
        _place: Place,
        /// Since when it is the reader's turn.
        offered: Option<Instant>,
    },
    GivenUp,
}

impl Readers {
    /// Counts a request until what it answers is dropped.
    #[must_use]
    pub fn request(&self) -> Request {
        self.now().requests += 1;
        Request(self.clone())
    }

    /// A body that keeps its place until its last piece was taken, its reader has gone, or it is given up.
    pub fn taking(&self, body: Body, place: Place) -> Body {
        let kept = Arc::new(Mutex::new(Kept::Here { body, _place: place, offered: Some(Instant::now()) }));
        self.now().answers.push(Arc::downgrade(&kept));
        Body::new(Answer(kept))
    }

    /// Gives up the answers of which nothing was taken for this long, and answers for how long this connection has had
    /// nothing to do.
    pub fn give_up(&self, limit: Duration) -> Duration {
        let mut now = self.now();
        now.answers.retain(|answer| answer.upgrade().is_some_and(|kept| is_kept(&kept, limit)));
        if now.requests > 0 || !now.answers.is_empty() {
            now.idle_since = None;
            return Duration::ZERO;
        }
        now.idle_since.get_or_insert_with(Instant::now).elapsed()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.requests = now.requests.saturating_sub(1);
    }
}

fn is_kept(kept: &Mutex<Kept>, limit: Duration) -> bool {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let given_up = match &*kept {
        Kept::Here { offered, .. } => offered.is_some_and(|since| since.elapsed() > limit),
        Kept::GivenUp => true,
    };
    if given_up {
        *kept = Kept::GivenUp;
    }
    !given_up
}

struct Answer(Arc<Mutex<Kept>>);

impl Answer {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self.kept() {
            Kept::Here { body, offered, .. } => {
                let polled = Pin::new(body).poll_frame(cx);
                *offered = polled.is_ready().then(Instant::now);
                polled
            }
            Kept::GivenUp => Poll::Ready(Some(Err(axum::Error::new("the answer was not taken in time")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &*self.kept() {
            Kept::Here { body, .. } => body.is_end_stream(),
            Kept::GivenUp => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.kept() {
            Kept::Here { body, .. } => body.size_hint(),
            Kept::GivenUp => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::BodyExt as _;

    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_place_is_given_back_with_the_last_piece() {
        let readers = Readers::default();
        let body = readers.taking(Body::from("a"), Place::None);
        assert_eq!(readers.give_up(NEVER), Duration::ZERO);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
        readers.give_up(NEVER);
        assert!(readers.now().idle_since.is_some(), "nothing is under way");
    }

    #[tokio::test]
    async fn only_an_answer_that_its_reader_leaves_is_given_up() {
        let readers = Readers::default();
        let quiet = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let mut quiet = readers.taking(quiet, Place::None);
        let left = readers.taking(Body::from("a"), Place::None);
        assert!(futures::poll!(quiet.frame()).is_pending(), "the reader waits for us");
        readers.give_up(Duration::ZERO);
        assert!(left.collect().await.is_err(), "it is not taken for a whole one");
        assert!(futures::poll!(quiet.frame()).is_pending());
        assert!(readers.now().idle_since.is_none());
    }

    #[test]
    fn a_connection_is_idle_when_it_has_no_request_and_no_answer() {
        let readers = Readers::default();
        let request = readers.request();
        assert!(readers.give_up(NEVER).is_zero() && readers.now().idle_since.is_none());
        drop(request);
        readers.give_up(NEVER);
        assert!(readers.now().idle_since.is_some());
        let _again = readers.request();
        readers.give_up(NEVER);
        assert!(readers.now().idle_since.is_none());
    }
}
