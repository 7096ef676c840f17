//! Accepting a job: from a caller's request to the transaction that writes it.
//!
//! May use `job`, `store` and the ports; of `launch` only the proof of an authority, and of `wait` only the limits.
//! Knows nothing of controllers.

pub mod options;
pub mod parameters;
pub mod repeats;
pub mod submit;
