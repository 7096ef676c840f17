//! How far a service saw a log: what a log that was put back to an older copy cannot take back.

use runwarden_kit::audit::{LogHead, log_name, tenant_of};
use serde::{Deserialize, Serialize};

use crate::merkle::{Hash, empty_root};

/// How far a service saw a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenHead {
    /// The service.
    pub by: String,
    /// The log, by its tenant; [`PLATFORM`](crate::record::PLATFORM) for the platform's.
    pub log: String,
    /// How many times an operator had accepted that the log was restored from a copy.
    pub restores: u64,
    /// How many records it had; 0 when the service saw none.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The key that signed it, as [`VerifierKey`](crate::note::VerifierKey) is written.
    pub key: String,
}

/// The message is not how far a log can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not possible for a log")]
pub struct SeenError(pub &'static str);

impl SeenHead {
    /// Reads what a service presents, or keeps.
    ///
    /// # Errors
    /// Naming the field that cannot be.
    pub fn from_wire(by: &str, head: &LogHead) -> Result<Self, SeenError> {
        let number = |number: i64, what| u64::try_from(number).map_err(|_| SeenError(what));
        let size = number(head.size, "size")?;
        let root = if size == 0 {
            empty_root()
        } else {
            Hash::from_hex(&head.root_hash).map_err(|_| SeenError("root_hash"))?
        };
        Ok(Self {
            by: by.to_owned(),
            log: log_name(&head.tenant).to_owned(),
            restores: number(head.restores, "restores")?,
            size,
            root,
            key: head.verifier_key.clone(),
        })
    }

    /// The message that says the same; `None` beyond what a message can say.
    #[must_use]
    pub fn to_wire(&self) -> Option<LogHead> {
        Some(LogHead {
            tenant: tenant_of(&self.log).to_owned(),
            restores: i64::try_from(self.restores).ok()?,
            size: i64::try_from(self.size).ok()?,
            root_hash: self.root.to_string(),
            verifier_key: self.key.clone(),
        })
    }
}
