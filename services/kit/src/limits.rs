//! Limits that several services share, each written once.

/// The largest answer that is taken from a service, in bytes: a full page of jobs with large parameters fits, and so do
/// the complete lists of tenants and of revocations that a service reads when it starts.
pub const LARGEST_ANSWER: usize = 64 << 20;
/// The largest answer about templates of a controller, in bytes: surveys can be long, and a page holds many.
pub const LARGEST_OFFERS: usize = 16 << 20;
/// The longest run that can be asked for, in seconds: seven days.
pub const LONGEST_RUN_SECONDS: i64 = 7 * 24 * 3600;
/// The longest reason that a person gives for a decision, in characters.
pub const LONGEST_REASON: usize = 1000;
