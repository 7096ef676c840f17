//! Accepting a job: from a caller's request to the transaction that writes it.
//!
//! May use `job`, `store`, the ports, and of `launch` only what was shown of an authority ([`crate::launch::authority`])
//! and of `wait` only what is known of limits. Knows nothing of controllers.

pub mod parameters;
pub mod repeats;
pub mod submit;
pub mod wishes;
