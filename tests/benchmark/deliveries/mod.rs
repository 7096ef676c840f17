//! Events in, results out: from a webhook to the launch, beside `ansible-rulebook`; and callbacks to receivers of which
//! one is slow and one is dead.

mod accepted;
mod callbacks;
mod events;
mod hook;
mod launched;
mod receiver;
mod rulebook;

use std::time::Duration;

use crate::machine;

/// How long is waited for what has been accepted, after the last event was sent.
const PATIENCE: Duration = Duration::from_secs(15);

/// Measures all of it. Answers false where `ansible-rulebook` is missing, having said so; Runwarden is measured anyway.
pub(crate) async fn measure(quick: bool) -> bool {
    let peer = rulebook::find();
    if peer.is_none() {
        println!(
            "\nRunwarden is measured alone: the comparison needs Java 17 and what `tests/tools/backends rulebook` gets."
        );
    }
    accepted::measure(peer.as_deref(), quick).await;
    launched::measure(peer.as_deref(), quick).await;
    println!("\nLoad average after it: {}", machine::load());
    callbacks::measure(quick).await;
    println!("\nLoad average after it: {}", machine::load());
    peer.is_some()
}
