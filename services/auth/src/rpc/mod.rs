//! The only place that knows gRPC: one file per service of the contract, and the project service as a port.

pub(crate) mod client;
pub(crate) mod hook;
pub(crate) mod project;
pub(crate) mod role;
pub(crate) mod standing;
pub(crate) mod token;

/// An optional name in proto3, where absent is empty.
fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
