//! The listener. Plain hyper rather than a router: dropping a connection without an answer must be possible.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;

use crate::app::App;
use crate::http::door;

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on order")
    }
}

impl std::error::Error for Dropped {}

/// Accepts connections until the sandbox stops.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener) -> Result<(), Infallible> {
    loop {
        let accepted = tokio::select! {
            () = app.stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Small answers must not wait for Nagle.
                let _ = stream.set_nodelay(true);
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    let stop = app.stop.clone();
                    let service = service_fn(move |request: hyper::Request<Incoming>| {
                        let app = Arc::clone(&app);
                        async move { door::enter(app, request.map(Body::new)).await.ok_or(Dropped) }
                    });
                    let builder = Builder::new(TokioExecutor::new());
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        // Clients come and go; how a connection ended is theirs to know.
                        _ = connection => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
