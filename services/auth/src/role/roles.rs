//! Listing, making and removing roles.

use std::collections::BTreeSet;
use std::sync::Arc;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope, Visible};
use runwarden_kit::permission::Permission;
use runwarden_kit::text::check_length;
use runwarden_kit::{Error, ErrorReason, Result, permission, slug};
use serde_json::json;

use crate::once::Once;
use crate::role::authority;
use crate::role::record::{self, MAX_OWN_ROLES, OwnRole, Role};
use crate::shared::Shared;
use crate::store::{self, TRIES, keys};
use crate::trust::scopes;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// A role to make.
#[derive(Clone, Debug)]
pub(crate) struct NewRole {
    /// A slug that no built-in role has.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Its permissions.
    pub(crate) permissions: Vec<String>,
}

/// The roles of tenants.
pub(crate) struct RoleBook {
    pub(crate) shared: Arc<Shared>,
}

impl RoleBook {
    /// Lists the built-in roles and the tenant's own. Roles have no project, so a caller who may see them anywhere in
    /// the tenant sees them all.
    pub(crate) async fn list(&self, caller: &Caller) -> Result<Vec<Role>> {
        if caller.visible(Permission::RolesRead) == Visible::Projects(BTreeSet::new()) {
            caller.require(Permission::RolesRead, &caller.acting_scope())?;
        }
        let mut roles: Vec<Role> = record::built_in().collect();
        if let Some(tenant) = caller.tenant() {
            let own = self.shared.store.list_all::<OwnRole>(&keys::roles(tenant)).await?;
            roles.extend(own.into_iter().map(|stored| Role::from(stored.value)));
        }
        Ok(roles)
    }

    /// Makes a role out of permissions that the caller holds in the whole tenant.
    pub(crate) async fn create(&self, caller: &Caller, new: &NewRole, once: &Once<'_, Role>) -> Result<Role> {
        let tenant = caller.require_tenant()?;
        let here = Scope::tenant(tenant);
        caller.require(Permission::RolesWrite, &here)?;
        let permissions = check_new(new)?;
        authority::require_all(caller, permissions.iter().map(String::as_str), &here)?;
        scopes::require_place(&*self.shared.scopes, Some(tenant), None).await?;
        let own = keys::roles(tenant);
        let known = self.shared.store.list::<OwnRole>(&own, None, MAX_OWN_ROLES).await?;
        if known.len() >= MAX_OWN_ROLES {
            return Err(Error::conflict(format!("A tenant has at most {MAX_OWN_ROLES} roles of its own.")));
        }
        let role = OwnRole {
            name: new.name.clone(),
            description: new.description.clone(),
            permissions: permissions.into_iter().collect(),
            created_at: self.shared.now(),
            holders: 0,
        };
        let key = keys::role(tenant, &role.name);
        let mut change = Change::new();
        change.absent(&key);
        store::put(&mut change, &key, &role)?;
        let entry =
            self.shared.entry("role.create", "role", &role.name).details(&json!({ "permissions": role.permissions }));
        let shown = Role::from(role);
        once.keep(&mut change, &shown)?;
        match self.shared.store.commit(change, &entry.build()).await? {
            Commit::Done { .. } => Ok(shown),
            Commit::Refused { key: refused } if refused == key => Err(name_taken(&shown.name)),
            Commit::Refused { key: refused } => {
                once.check_lost(&refused)?;
                Err(Error::contended())
            }
        }
    }

    /// Removes a role that no binding uses.
    pub(crate) async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let tenant = caller.require_tenant()?;
        let missing = || Error::not_found("role");
        slug::check("/name", name)?;
        caller.require(Permission::RolesWrite, &Scope::tenant(tenant))?;
        if permission::built_in_role(name).is_some() {
            return Err(Error::conflict("This role is built into Runwarden and cannot be deleted."));
        }
        for _ in 0..TRIES {
            let role = self.shared.store.own_role(tenant, name).await?.ok_or_else(missing)?;
            if role.value.holders > 0 {
                return Err(Error::conflict(format!(
                    "{} bindings use this role. Delete them first.",
                    role.value.holders
                )));
            }
            let key = keys::role(tenant, name);
            let mut change = Change::new();
            change.at(&key, role.revision).delete(key);
            let entry = self
                .shared
                .entry("role.delete", "role", name)
                .details(&json!({ "permissions": role.value.permissions }));
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                return Ok(());
            }
        }
        Err(Error::contended())
    }
}

fn check_new(new: &NewRole) -> Result<BTreeSet<String>> {
    slug::check("/name", &new.name)?;
    if permission::built_in_role(&new.name).is_some() {
        return Err(name_taken(&new.name));
    }
    check_length("/description", &new.description, MAX_DESCRIPTION)?;
    if new.permissions.is_empty() {
        return Err(Error::invalid("/permissions", "must name at least one"));
    }
    let mut permissions = BTreeSet::new();
    for (index, name) in new.permissions.iter().enumerate() {
        let pointer = format!("/permissions/{index}");
        permission::named(&pointer, name)?;
        if !permissions.insert(name.clone()) {
            return Err(Error::invalid(pointer, "is listed twice"));
        }
    }
    Ok(permissions)
}

fn name_taken(name: &str) -> Error {
    let detail = format!("A role named {name} already exists.");
    Error::new(ErrorReason::AlreadyExists, detail).with_field("/name", "is taken")
}
