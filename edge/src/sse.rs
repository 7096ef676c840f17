//! Answers that come piece by piece: Server-Sent Events, output, exports.

use std::future::Future;
use std::io;

use axum::body::Body;
use bytes::Bytes;
use runwarden_kit::context;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

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
pub struct Pieces(mpsc::Sender<io::Result<Bytes>>);

/// The caller has gone.
#[derive(Debug)]
pub struct Gone;

impl Pieces {
    /// Sends a piece and waits until there is room for the next.
    ///
    /// # Errors
    ///
    /// When nobody reads any more.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Breaks the answer off, so that its reader does not take the part for the whole.
    pub async fn break_off(&self) {
        // Nobody reading is as good as broken off.
        let _gone = self.0.send(Err(io::Error::other("the answer could not be finished"))).await;
    }

    /// Waits until nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A body whose pieces come from a task, which runs in the context of the request, without its deadline.
pub fn body<F, W>(write: W) -> Body
where
    W: FnOnce(Pieces) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(8);
    let mut context = context::current();
    context.deadline = None;
    let span = tracing::Span::current();
    let writing = write(Pieces(sender));
    // The task ends by itself once its reader has gone: the next send fails, and `closed` tells those that wait.
    tokio::spawn(tracing::Instrument::instrument(context::scope(context, writing), span));
    Body::from_stream(ReceiverStream::new(receiver))
}

#[cfg(test)]
mod tests {
    use super::{Gone, body, event};
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_event_is_written_as_the_standard_says() {
        assert_eq!(
            event("state", Some(3), &json!({"state": "running"})),
            "id: 3\nevent: state\ndata: {\"state\":\"running\"}\n\n"
        );
        assert_eq!(event("end", None, &json!({})), "event: end\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn pieces_arrive_in_order() {
        let whole = body(|pieces| async move {
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
        let broken = body(|pieces| async move {
            let _gone = pieces.send("a").await;
            pieces.break_off().await;
        });
        assert!(broken.collect().await.is_err());
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
