//! A role: a named set of permissions, built in or a tenant's own.

use std::collections::BTreeMap;

use runwarden_engines::config::Change;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::{self, BUILT_IN_ROLES};
use runwarden_kit::tenant::TenantId;
use serde::{Deserialize, Serialize};

use crate::store::{self, Store, Stored, keys};

/// The role that the platform must never be without.
pub(crate) const PLATFORM_ADMIN: &str = "platform-admin";

/// The role that a tenant's principals cannot take from its last holder.
pub(crate) const TENANT_ADMIN: &str = "tenant-admin";

/// A tenant has at most this many roles of its own.
pub(crate) const MAX_OWN_ROLES: usize = 200;

/// A tenant's own role as it is kept. Its permissions never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnRole {
    /// A slug that no built-in role has.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Its permissions, in order.
    pub(crate) permissions: Vec<String>,
    /// When it was made.
    pub(crate) created_at: Moment,
    /// How many bindings use it. Creating a binding writes the role too, so that it cannot be deleted at the same time.
    #[serde(default)]
    pub(crate) holders: u32,
}

/// A role as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its name.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// What it permits.
    pub(crate) permissions: Vec<String>,
    /// Whether it comes with Runwarden.
    pub(crate) built_in: bool,
}

impl From<OwnRole> for Role {
    fn from(role: OwnRole) -> Self {
        Self { name: role.name, description: role.description, permissions: role.permissions, built_in: false }
    }
}

/// The roles that come with Runwarden.
pub(crate) fn built_in() -> impl Iterator<Item = Role> {
    BUILT_IN_ROLES.iter().map(|role| Role {
        name: role.name.to_owned(),
        description: role.description.to_owned(),
        permissions: role.permissions.iter().map(ToString::to_string).collect(),
        built_in: true,
    })
}

/// Some roles, looked up once: built-in ones are always known, own ones are read with their revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    own: BTreeMap<String, Stored<OwnRole>>,
}

impl Roles {
    /// Looks up the named roles as they are in a tenant, or on the platform, which has built-in ones only.
    pub(crate) async fn load(store: &Store, tenant: Option<&TenantId>, names: &[&str]) -> Result<Self> {
        let mut own = BTreeMap::new();
        let Some(tenant) = tenant else {
            return Ok(Self { own });
        };
        for name in names {
            if permission::built_in_role(name).is_none()
                && !own.contains_key(*name)
                && let Some(role) = store.own_role(tenant, name).await?
            {
                own.insert((*name).to_owned(), role);
            }
        }
        Ok(Self { own })
    }

    /// What a role permits; `None` when there is no such role.
    pub(crate) fn permissions(&self, name: &str) -> Option<Vec<&str>> {
        if let Some(role) = permission::built_in_role(name) {
            return Some(role.permissions.iter().map(|permission| permission.name()).collect());
        }
        let role = self.own.get(name)?;
        Some(role.value.permissions.iter().map(String::as_str).collect())
    }

    /// Counts bindings of a role that come or go, in the change that makes or removes them: a role in use cannot be
    /// deleted, and the change fails if the role is deleted at the same time. Each role at most once per change.
    pub(crate) fn hold(&self, change: &mut Change, tenant: Option<&TenantId>, name: &str, by: i64) -> Result<()> {
        let (Some(tenant), Some(stored)) = (tenant, self.own.get(name)) else {
            return Ok(());
        };
        let key = keys::role(tenant, name);
        let mut role = stored.value.clone();
        role.holders = u32::try_from((i64::from(role.holders) + by).max(0)).unwrap_or(u32::MAX);
        change.at(&key, stored.revision);
        store::put(change, key, &role)
    }
}
