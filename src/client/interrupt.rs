//! Ctrl-C: the command ends, what it started goes on.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Exit, Failure};

/// How long a command may take to leave: it may be reading from, or writing to, what does not move.
const GRACE: Duration = Duration::from_secs(2);

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

/// Does something unless it is interrupted before; then this is said. Of several around each other the innermost has the
/// say: it knows best what has been done.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    say: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = interrupted() => Err(say()),
    }
}

/// Ends the process if it is interrupted and does not leave: within [`GRACE`], or before it is interrupted again. Once
/// somebody listens for a signal, it no longer ends the process by itself.
pub(super) async fn insist() {
    interrupted().await;
    tokio::select! {
        () = interrupted() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    std::process::exit(i32::from(Exit::Interrupted as u8))
}
