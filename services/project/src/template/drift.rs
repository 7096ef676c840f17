//! What the executor sees when it launches: that a controller's template is no longer what was mapped, or is again.

use runwarden_engines::catalog::TRIES;
use runwarden_engines::config::{Change, Commit};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};
use serde_json::json;

use super::Templates;
use crate::store::{Stored, put};

/// How many differences are kept, and how many characters of each.
const MOST: usize = 50;
const LONGEST: usize = 300;
/// How many of them an audit entry tells.
const RECORDED: usize = 10;

impl Templates {
    /// Records drift seen against a fingerprint. A report about another mapping than the present one says nothing.
    pub async fn report_drift(
        &self,
        tenant: &TenantId,
        name: &str,
        fingerprint: &str,
        drift: Vec<String>,
    ) -> Result<()> {
        if fingerprint.is_empty() {
            return Err(Error::invalid("/fingerprint", "must be the fingerprint that was compared"));
        }
        let drift: Vec<String> = drift.into_iter().take(MOST).map(shown).collect();
        // An audit entry has room for the first few.
        let recorded = drift.get(..RECORDED).unwrap_or(&drift);
        for _ in 0..TRIES {
            let Stored { key, value: mut template, revision: at } = self.find(tenant, name).await?;
            if template.fingerprint != fingerprint || template.drift == drift {
                return Ok(());
            }
            template.drift.clone_from(&drift);
            template.revision += 1;
            let mut change = Change::new();
            change.at(&key, at);
            put(&mut change, &key, &template)?;
            let entry = self
                .catalog
                .entry(tenant, "template.drift", "template", name)
                .details(&json!({ "fingerprint": fingerprint, "differences": drift.len(), "drift": recorded }))
                .build();
            if let Commit::Done { .. } = self.catalog.commit(change, &entry).await? {
                return Ok(());
            }
        }
        Err(Error::contended())
    }
}

/// A difference as it may be kept: one line, not too long. Its words hold names from the controller.
fn shown(difference: String) -> String {
    difference.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
