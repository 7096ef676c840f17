//! gRPC: reads a request, asks the domain, writes the answer. One file for each service of the contract.
//!
//! No handler prints a message or keeps one in a span or an error. The contract marks fields with values
//! `debug_redact`; `prost` does not honour that, so the contracts crate replaces `Debug` of such messages. That is the
//! second line of defence, and not a reason to print one.

mod callback;
mod hook;
mod secret;

pub(crate) use callback::CallbackKeyRpc;
pub(crate) use hook::HookKeyRpc;
pub(crate) use secret::SecretRpc;
