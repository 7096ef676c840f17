//! What foreign senders send: how each of them proves itself, names its deliveries, and wants to be answered.
//!
//! Pure functions over what arrived: no I/O, no clock, no state. The service around it finds the hook, holds the keys,
//! keeps deliveries and recognises repeats.
//!
//! ```text
//! Receiver::parse(kind, settings)      -> Result<Receiver, Problem>      checked when a hook is configured
//! receiver.key()                       -> Option<KeyForm>                the key it needs, and who makes it
//! receiver.check_key(&key)             -> Result<(), Problem>
//! receiver.weaknesses()                -> what this proof does not prevent, to be shown with the hook
//!
//! receiver.receive(&received, &keys)   -> Result<Arrived, Refusal>
//!     Arrived::Handshake { .. answer }    a proven question of the sender's set-up: answer it, launch nothing
//!     Arrived::Events(Verified)           one event, or several from a batch: keep them, then answer
//! receiver.answer(&received, &Outcome) -> Answer { status, headers, body }
//! receiver.kept_headers(&received)     -> the headers that may be stored and shown; all others are dropped
//! ```
//!
//! Each [`Event`] carries its [`document`](Event::document): what the hook's filter and mapping see as `input`.
//! What must not be seen is not in it: it is in [`Event::secrets`].

mod answer;
mod content;
mod event;
mod form;
mod headers;
mod id_source;
mod json;
mod key;
mod kinds;
mod problem;
mod proof;
mod receiver;
mod refusal;
pub mod run_task;
pub mod standard;

pub use answer::{Answer, Outcome};
pub use event::{DOCUMENT_VERSION, Event, Verified};
pub use headers::{Headers, Received};
pub use key::{KeyForm, KeyFrom, MadeBy};
pub use kinds::{KindInfo, kinds};
pub use problem::Problem;
pub use proof::{ProvedBy, Weakness};
pub use receiver::{Arrived, Receiver};
pub use refusal::{Reason, Refusal};

/// The largest body that is looked at, in bytes. The edge refuses larger ones before they get here.
pub const MAX_BODY: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
