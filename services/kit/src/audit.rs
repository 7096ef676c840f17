//! Audit entries: built the same way everywhere, handed over durably.
//!
//! A change in a store carries its entry in the same transaction ([`OutboxStore`]); [`drain`] hands it over, tenant by
//! tenant. What has no store of its own waits for [`Recorder::record`] before it answers. A service with a store keeps
//! how far it [saw](Seen) each log, so that a log that was put back to an older copy is refused.

mod details;
mod drain;
mod entry;
mod memory;
mod outbox;
mod recorder;
mod seen;

pub use runwarden_proto::audit::v1::{Actor, Entry, LogHead, Outcome, UntrustedLog};

pub use details::MAX_DETAILS;
pub use drain::drain;
pub use entry::{EntryBuilder, actor_of};
pub use memory::{MemoryOutbox, MemoryRecorder};
pub use outbox::{Bell, MAX_PENDING, Outbox, OutboxStore, SetAside};
pub use recorder::{MeshRecorder, Recorder};
pub use seen::Seen;

/// The platform's name where a tenant's name is needed: no tenant can have it, since slugs have no underscore.
pub const PLATFORM: &str = "_platform";

/// The name of a tenant's log for people and keys; the platform's for the empty name.
#[must_use]
pub fn log_name(tenant: &str) -> &str {
    if tenant.is_empty() { PLATFORM } else { tenant }
}

/// The tenant a [log's name](log_name) stands for.
#[must_use]
pub fn tenant_of(log: &str) -> &str {
    if log == PLATFORM { "" } else { log }
}

#[cfg(test)]
mod tests;
