//! Named values that this service keeps.

use std::sync::Arc;

use runwarden_engines::vault::{Listed, Plaintext, Revealed, SecretName, Vault};
use runwarden_kit::audit::Recorder;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::mesh::Peer;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, slug};

use crate::outbox::Outbox;
use crate::record::{Records, Reveal};

/// The largest value, in bytes.
pub(crate) const MAX_VALUE: usize = 64 << 10;
/// The longest purpose, in bytes.
const MAX_PURPOSE: usize = 200;

/// The secrets of all tenants.
pub(crate) struct Secrets {
    vault: Arc<dyn Vault>,
    outbox: Outbox,
    recorder: Arc<dyn Recorder>,
    records: Records,
}

impl Secrets {
    pub(crate) fn new(vault: Arc<dyn Vault>, outbox: Outbox, recorder: Arc<dyn Recorder>, records: Records) -> Self {
        Self { vault, outbox, recorder, records }
    }

    /// Stores a value under a name of this owner's and answers its version.
    pub(crate) async fn put(
        &self,
        owner: Owner<'_>,
        caller: &Caller,
        tenant: &TenantId,
        name: &str,
        value: Plaintext,
    ) -> Result<i64> {
        owner.check_caller(caller, tenant)?;
        let name = owner.check_name(name)?;
        if value.is_empty() {
            return Err(Error::invalid("/value", "must not be empty"));
        }
        check_size("/value", &value, MAX_VALUE)?;
        let note = |version| self.records.put(tenant, &name, version);
        self.outbox.change(tenant, async { Ok(self.vault.put(tenant, &name, &value, &note).await?) }).await
    }

    /// Reveals a value of this owner's to a service, once the read is on the record.
    pub(crate) async fn read(
        &self,
        owner: Owner<'_>,
        by: &Peer,
        tenant: &TenantId,
        name: &str,
        purpose: &str,
    ) -> Result<Revealed> {
        let name = owner.check_name(name)?;
        check_purpose(purpose)?;
        match self.vault.read(tenant, &name).await {
            Ok(Some(revealed)) => {
                let reveal = Reveal::Version(revealed.version);
                // Without a record the value is wiped here and never leaves.
                self.recorder.record(self.records.read(by, tenant, &name, purpose, &reveal)).await?;
                Ok(revealed)
            }
            // Nothing was revealed, so there is nothing to record.
            Ok(None) => Err(Error::not_found("secret")),
            Err(error) => {
                self.recorder.record(self.records.read(by, tenant, &name, purpose, &Reveal::Failed)).await?;
                Err(error.into())
            }
        }
    }

    /// Lists names and versions of the caller's tenant.
    pub(crate) async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Listed>> {
        let tenant = caller.require_tenant()?;
        caller.require(Permission::SecretsList, &Scope::tenant(tenant))?;
        let size = page.size()?;
        let listing = Listing::of("secrets", Some(tenant.as_str()));
        let after = listing.start(&page.token, |name| SecretName::parse(name).ok())?;
        // One more than asked for tells whether there is another page.
        let secrets = self.vault.list(tenant, after.as_ref(), size.saturating_add(1)).await?;
        Ok(listing.cut(secrets, size, |last| last.name.as_str().to_owned()))
    }

    /// Removes a value of this owner's for good. One that is already gone is not a failure: the mesh may repeat the call.
    pub(crate) async fn delete(&self, owner: Owner<'_>, caller: &Caller, tenant: &TenantId, name: &str) -> Result<()> {
        owner.check_caller(caller, tenant)?;
        let name = owner.check_name(name)?;
        let note = |version| self.records.delete(tenant, &name, version);
        self.outbox.change(tenant, async { Ok(self.vault.delete(tenant, &name, &note).await?) }).await?;
        Ok(())
    }
}

/// Under this are the keys of hooks, and nothing else.
pub(crate) const HOOKS: &str = "hooks/";

/// What a secret belongs to. Neither owner reaches what is the other's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    /// A controller.
    Controller,
    /// A hook of this project.
    Hook {
        /// The project; not looked at where nothing is changed.
        project: &'a str,
    },
}

impl Owner<'_> {
    /// A change is made by somebody who may change what owns the secret, in the very tenant it names.
    fn check_caller(self, caller: &Caller, tenant: &TenantId) -> Result<()> {
        if caller.require_tenant()? != tenant {
            return Err(Error::not_found("tenant"));
        }
        match self {
            Self::Controller => caller.require(Permission::ControllersWrite, &Scope::tenant(tenant)),
            Self::Hook { project } => {
                slug::check("/project", project)?;
                caller.require(Permission::HooksWrite, &Scope::project(tenant, project))
            }
        }
    }

    fn check_name(self, name: &str) -> Result<SecretName> {
        if name.starts_with(HOOKS) != matches!(self, Self::Hook { .. }) {
            return Err(Error::not_found("secret"));
        }
        SecretName::parse(name).map_err(|wrong| Error::invalid("/name", wrong))
    }
}

/// Refuses what is too large, without a word on what it is.
pub(crate) fn check_size(pointer: &str, value: &Plaintext, most: usize) -> Result<()> {
    if value.len() <= most {
        return Ok(());
    }
    let detail = format!("must have at most {} KiB", most >> 10);
    Err(Error::new(ErrorReason::PayloadTooLarge, detail.clone()).with_field(pointer, detail))
}

/// A purpose is one line for people who read the audit log.
pub(crate) fn check_purpose(purpose: &str) -> Result<()> {
    if purpose.trim().is_empty() || purpose.len() > MAX_PURPOSE || purpose.chars().any(char::is_control) {
        return Err(Error::invalid("/purpose", "must say in one line of at most 200 bytes what the value is for"));
    }
    Ok(())
}
