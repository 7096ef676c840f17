//! Where the auth service keeps its nouns: a catalogue of records, and the reads that know a noun's key and type.

pub(crate) mod keys;

use std::ops::Deref;

use runwarden_engines::catalog::Catalog;
pub(crate) use runwarden_engines::catalog::{Stored, TRIES, Written, guard, put};
use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use crate::client::record::{Client, ClientOwner, SecretUses};
use crate::role::binding::BindingOwner;
use crate::role::principal::Principal;
use crate::role::record::OwnRole;

/// The catalogue of this service, with its nouns.
#[derive(Clone)]
pub(crate) struct Store(Catalog);

impl Deref for Store {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.0
    }
}

impl Store {
    /// The nouns in this catalogue.
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self(catalog)
    }

    /// The client of this owner.
    pub(crate) async fn client(&self, tenant: Option<&TenantId>, client_id: &str) -> Result<Option<Stored<Client>>> {
        self.get(&keys::client(tenant, client_id)).await
    }

    /// Whose client it is.
    pub(crate) async fn client_owner(&self, client_id: &str) -> Result<Option<ClientOwner>> {
        let found = self.get::<ClientOwner>(&keys::client_id(client_id)).await?;
        Ok(found.map(|stored| stored.value))
    }

    /// When a client's secrets were last used.
    pub(crate) async fn secret_uses(&self, client_id: &str) -> Result<SecretUses> {
        let found = self.get::<SecretUses>(&keys::secret_uses(client_id)).await?;
        Ok(found.map(|stored| stored.value).unwrap_or_default())
    }

    /// The principal of this owner.
    pub(crate) async fn principal(
        &self,
        tenant: Option<&TenantId>,
        principal: &str,
    ) -> Result<Option<Stored<Principal>>> {
        self.get(&keys::principal(tenant, principal)).await
    }

    /// Whose binding it is.
    pub(crate) async fn binding_owner(&self, binding_id: &str) -> Result<Option<BindingOwner>> {
        let found = self.get::<BindingOwner>(&keys::binding_id(binding_id)).await?;
        Ok(found.map(|stored| stored.value))
    }

    /// One of the tenant's own roles.
    pub(crate) async fn own_role(&self, tenant: &TenantId, name: &str) -> Result<Option<Stored<OwnRole>>> {
        self.get(&keys::role(tenant, name)).await
    }
}
