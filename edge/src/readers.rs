//! Readers that stop reading. HTTP lets a client stop reading and keep its connection for as long as it likes; here an
//! answer of which nothing is taken for too long is given up, with the seat that it held and all that works for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::limits::room::HeldSeat;

/// More than HTTP/2 writes by itself between two looks, in bytes.
const BY_ITSELF: usize = 1024;

/// What the requests of one connection are doing. Travels with each of them.
#[derive(Clone, Default)]
pub struct Readers {
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    /// Requests that have no answer yet.
    requests: usize,
    answers: Vec<Weak<Mutex<Kept>>>,
    idle_since: Option<Instant>,
    /// Bytes that the connection took since the last look.
    taken: usize,
}

/// A request without an answer yet.
pub struct Request(Readers);

/// What an answer holds until it was read, its reader has gone, or it is given up.
enum Kept {
    Here {
        body: Body,
        _seat: HeldSeat,
        /// Since when it is the reader's turn.
        offered: Option<Instant>,
    },
    GivenUp,
}

impl Readers {
    /// Counts a request until what it answers is dropped.
    #[must_use]
    pub fn request(&self) -> Request {
        self.lock().requests += 1;
        Request(self.clone())
    }

    /// A body that keeps its seat until its last piece was read, its reader has gone, or it is given up.
    pub fn taking(&self, body: Body, seat: HeldSeat) -> Body {
        let kept = Arc::new(Mutex::new(Kept::Here { body, _seat: seat, offered: Some(Instant::now()) }));
        self.lock().answers.push(Arc::downgrade(&kept));
        Body::new(Answer(kept))
    }

    /// Notes that the connection took some bytes. The last piece of an answer is out of our hands while it is still
    /// being sent, and a slow reader is not idle.
    pub fn took(&self, bytes: usize) {
        let mut under_way = self.lock();
        under_way.taken = under_way.taken.saturating_add(bytes);
    }

    /// Gives up the answers of which nothing was taken for this long, and answers for how long this connection has had
    /// nothing to do.
    pub fn give_up(&self, limit: Duration) -> Duration {
        let mut under_way = self.lock();
        under_way.answers.retain(|answer| answer.upgrade().is_some_and(|kept| is_kept(&kept, limit)));
        let is_taking = std::mem::take(&mut under_way.taken) > BY_ITSELF;
        if is_taking || under_way.requests > 0 || !under_way.answers.is_empty() {
            under_way.idle_since = None;
            return Duration::ZERO;
        }
        under_way.idle_since.get_or_insert_with(Instant::now).elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut under_way = self.0.lock();
        under_way.requests = under_way.requests.saturating_sub(1);
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
        let body = readers.taking(Body::from("a"), HeldSeat::None);
        assert_eq!(readers.give_up(NEVER), Duration::ZERO);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
        readers.give_up(NEVER);
        assert!(readers.lock().idle_since.is_some(), "nothing is under way");
    }

    #[tokio::test]
    async fn only_an_answer_that_its_reader_leaves_is_given_up() {
        let readers = Readers::default();
        let quiet = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let mut quiet = readers.taking(quiet, HeldSeat::None);
        let left = readers.taking(Body::from("a"), HeldSeat::None);
        assert!(futures::poll!(quiet.frame()).is_pending(), "the reader waits for us");
        readers.give_up(Duration::ZERO);
        assert!(left.collect().await.is_err(), "it is not taken for a whole one");
        assert!(futures::poll!(quiet.frame()).is_pending());
        assert!(readers.lock().idle_since.is_none());
    }

    #[test]
    fn a_connection_that_takes_what_was_written_is_not_idle_and_one_that_answers_pings_is() {
        let readers = Readers::default();
        readers.give_up(NEVER);
        readers.took(64);
        readers.give_up(NEVER);
        assert!(readers.lock().idle_since.is_some());
        readers.took(64 * 1024);
        assert!(readers.give_up(NEVER).is_zero() && readers.lock().idle_since.is_none());
        readers.give_up(NEVER);
        assert!(readers.lock().idle_since.is_some());
    }

    #[test]
    fn a_connection_is_idle_when_it_has_no_request_and_no_answer() {
        let readers = Readers::default();
        let request = readers.request();
        assert!(readers.give_up(NEVER).is_zero() && readers.lock().idle_since.is_none());
        drop(request);
        readers.give_up(NEVER);
        assert!(readers.lock().idle_since.is_some());
        let _again = readers.request();
        readers.give_up(NEVER);
        assert!(readers.lock().idle_since.is_none());
    }
}
