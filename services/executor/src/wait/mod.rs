//! Waiting: which job is next, what limits it, and which waiting jobs end before they start.
//!
//! May use `job`, `store` and the ports, and the rules of `launch` about ending a job. Talks to no controller.

pub mod deadlines;
pub mod limits;
pub mod place;
pub mod scheduler;
