//! Ctrl-C: a command leaves, what it asked for goes on.

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Exit, Failure};

/// Waits for SIGINT or SIGTERM.
pub(super) async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Then a signal ends the process as it ends any.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Does something unless it is interrupted before; then this is said.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    say: impl FnOnce() -> String,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = interrupted() => Err(Failure::new(Exit::Interrupted, say())),
    }
}
