//! Values that are sealed for somebody else to keep.

use std::sync::Arc;

use runwarden_engines::vault::{Plaintext, Sealed, Vault};
use runwarden_kit::audit::Recorder;
use runwarden_kit::mesh::Peer;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};

use crate::record::Records;
use crate::secrets::{check_purpose, check_size};

/// The largest value, in bytes.
pub(crate) const MAX_VALUE: usize = 1 << 20;
/// How contexts of what was delivered to hooks begin.
pub(crate) const DELIVERED: &str = "delivered/";
/// The longest context, in bytes.
const MAX_CONTEXT: usize = 200;

/// Seals and opens values.
pub(crate) struct Sealing {
    vault: Arc<dyn Vault>,
    recorder: Arc<dyn Recorder>,
    records: Records,
}

impl Sealing {
    pub(crate) fn new(vault: Arc<dyn Vault>, recorder: Arc<dyn Recorder>, records: Records) -> Self {
        Self { vault, recorder, records }
    }

    /// Seals a value. That reveals nothing, so nothing is recorded: the caller knows the value already.
    pub(crate) async fn seal(&self, tenant: &TenantId, context: &str, value: Plaintext) -> Result<Sealed> {
        check_context(context)?;
        check_size("/plaintext", &value, MAX_VALUE)?;
        Ok(self.vault.seal(tenant, context, &value).await?)
    }

    /// Opens a sealed value for a service, once the opening is on the record. A value that does not open is recorded
    /// too: somebody may have moved it here from elsewhere.
    pub(crate) async fn open(
        &self,
        by: &Peer,
        tenant: &TenantId,
        sealed: &[u8],
        context: &str,
        purpose: &str,
    ) -> Result<Plaintext> {
        check_context(context)?;
        check_purpose(purpose)?;
        let opened = self.vault.open(tenant, context, sealed).await?;
        // Without a record the value is wiped here and never leaves.
        self.recorder.record(self.records.open(by, tenant, context, purpose, opened.is_some())).await?;
        opened.ok_or_else(|| {
            Error::invalid("/sealed", "was not sealed for this tenant and context, or was changed since")
        })
    }
}

fn check_context(context: &str) -> Result<()> {
    if context.is_empty() || context.len() > MAX_CONTEXT || context.chars().any(char::is_control) {
        return Err(Error::invalid("/context", "must say in at most 200 bytes what the value belongs to"));
    }
    Ok(())
}
