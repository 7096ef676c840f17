//! Answers that come piece by piece: Server-Sent Events, output, exports.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use runwarden_kit::context;
use runwarden_kit::trust::Trust;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::problem::Problem;

/// How many pieces wait for their reader. Pieces of output are large, and readers may be slow.
const ROOM: usize = 1;
/// How long a reader has to take the last piece when its token holds no more.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A comment line: keeps proxies from closing a quiet stream, and clients ignore it.
pub const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// Tells clients how long to wait before they come back, in milliseconds.
pub const RETRY: &str = "retry: 2000\n\n";

/// One event. JSON holds no line breaks, so the data is always one line.
#[must_use]
pub fn event(name: &str, id: Option<i64>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {name}\ndata: {data}\n\n"))
}

/// Where the pieces of an answer go.
#[derive(Clone)]
pub struct Pieces {
    sender: mpsc::Sender<Bytes>,
    broken: Arc<AtomicBool>,
}

/// The caller has gone.
#[derive(Debug)]
pub struct Gone;

impl Pieces {
    /// Sends a piece and waits until there is room for the next.
    ///
    /// # Errors
    ///
    /// When the reader has gone.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.sender.send(piece.into()).await.map_err(|_| Gone)
    }

    /// Cuts the answer off after what was sent, so that its reader does not take the part for the whole.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

/// How an answer ends when the caller's token is revoked or expires.
#[derive(Clone, Copy)]
pub enum Ending {
    /// It is broken off, so that its reader does not take the part for the whole.
    BreakOff,
    /// With a last piece that says why.
    Event(fn(&Problem) -> Bytes),
}

/// A body whose pieces come from a task, which runs in the context of the request, without its deadline, and for no
/// longer than the caller's token holds.
pub fn body<F, W>(trust: &Arc<Trust>, ending: Ending, write: W) -> Body
where
    W: FnOnce(Pieces) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ROOM);
    let last = Pieces { sender, broken: Arc::default() };
    let whole = Arc::new(AtomicBool::new(false));
    let mut context = Arc::unwrap_or_clone(context::current());
    context.deadline = None;
    let span = tracing::Span::current();
    let (trust, caller, told) = (trust.clone(), context.caller.clone(), whole.clone());
    let writing = write(last.clone());
    let task = async move {
        let not_any_more = async {
            match &caller {
                Some(caller) => trust.ended(caller).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            () = writing => return told.store(!last.broken.load(Ordering::Acquire), Ordering::Release),
            () = last.sender.closed() => return,
            why = not_any_more => why,
        };
        tracing::info!(reason = ?why.reason(), "a response ended because its caller's token is no longer valid");
        if let Ending::Event(event) = ending {
            // It does not wait for a reader that reads nothing.
            let sent = tokio::time::timeout(LAST_WORD, last.send(event(&Problem::from(why)))).await;
            told.store(matches!(sent, Ok(Ok(()))), Ordering::Release);
        }
    };
    tokio::spawn(tracing::Instrument::instrument(context::scope(context, task), span));
    // What ended in any other way than in order, be it by a panic, is broken off.
    let end = async move {
        let broken = !whole.load(Ordering::Acquire);
        broken.then(|| Err(io::Error::other("the response could not be completed")))
    };
    Body::from_stream(ReceiverStream::new(receiver).map(Ok).chain(stream::once(end).filter_map(std::future::ready)))
}

#[cfg(test)]
mod tests {
    use super::{Ending, Gone, body, event};
    use bytes::Bytes;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use runwarden_kit::caller::{Caller, Scope};
    use runwarden_kit::clock::Moment;
    use runwarden_kit::context::{self, RequestContext};
    use runwarden_kit::permission::Permission;
    use runwarden_kit::tenant::TenantId;
    use runwarden_kit::token::Verifier;
    use runwarden_kit::trust::Trust;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn an_event_is_written_as_the_standard_says() {
        assert_eq!(
            event("state", Some(3), &json!({"state": "running"})),
            "id: 3\nevent: state\ndata: {\"state\":\"running\"}\n\n"
        );
        assert_eq!(event("end", None, &json!({})), "event: end\ndata: {}\n\n");
    }

    fn trust() -> Arc<Trust> {
        Trust::fixed(Verifier::default())
    }

    #[tokio::test]
    async fn pieces_arrive_in_order() {
        let whole = body(&trust(), Ending::BreakOff, async |pieces| {
            for piece in ["a", "b", "c"] {
                if let Err(Gone) = pieces.send(piece).await {
                    return;
                }
            }
        });
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_broken_answer_is_not_taken_for_a_whole_one() {
        let broken = body(&trust(), Ending::BreakOff, async |pieces| {
            let _gone = pieces.send("a").await;
            pieces.break_off();
        });
        assert!(broken.collect().await.is_err());
        let panicking = body(&trust(), Ending::BreakOff, async |pieces| {
            let _gone = pieces.send("a").await;
            panic!("on purpose");
        });
        assert!(panicking.collect().await.is_err());
    }

    /// A caller whose token has expired, with a body that wrote something and never ends.
    async fn outlived(ending: Ending) -> Result<Bytes, axum::Error> {
        let mut caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")));
        caller.expires_at = Moment::from_micros(0);
        let context = RequestContext { caller: Some(Arc::new(caller)), ..RequestContext::default() };
        let endless = context::scope(context, async {
            body(&trust(), ending, async |pieces| {
                let _gone = pieces.send("a").await;
                std::future::pending::<()>().await;
            })
        });
        Ok(endless.await.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn an_answer_does_not_outlive_its_caller_s_token() {
        assert!(outlived(Ending::BreakOff).await.is_err());
        let told = outlived(Ending::Event(|problem| Bytes::from(format!("{:?}", problem.reason())))).await;
        assert_eq!(told.unwrap(), "aTokenExpired");
    }

    #[tokio::test]
    async fn a_reader_who_takes_nothing_holds_up_nobody() {
        let mut caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")));
        caller.expires_at = Moment::from_micros(0);
        let caller = Arc::new(caller);
        let context = RequestContext { caller: Some(caller.clone()), ..RequestContext::default() };
        let stuck =
            context::scope(context, async {
                body(&trust(), Ending::Event(|_| Bytes::from_static(b"end")), async move |pieces| {
                    while pieces.send("more").await.is_ok() {}
                })
            });
        let stuck = stuck.await;
        // The task holds the caller for as long as it runs.
        while Arc::strong_count(&caller) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(stuck.collect().await.is_err(), "and what is left is not taken for the whole");
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_event(text in "\\PC*|(\\s|[a-z:])*") {
            let written = event("output", Some(1), &json!({"text": text}));
            let written = std::str::from_utf8(&written).unwrap();
            prop_assert_eq!(written.lines().count(), 4);
            prop_assert_eq!(written.matches("\n\n").count(), 1);
        }
    }
}
