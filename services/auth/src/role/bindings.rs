//! Giving, listing and taking roles.

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::Caller;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, id, slug};
use serde_json::json;

use crate::ids;
use crate::once::Once;
use crate::role::administrators::{self, Pair};
use crate::role::authority;
use crate::role::binding::{self, Binding, BindingOwner, BindingView, MAX_BINDINGS};
use crate::role::principal::Principal;
use crate::role::record::Roles;
use crate::shared::Shared;
use crate::store::{self, Stored, TRIES, keys};
use crate::trust::revocation;
use crate::trust::scopes;

/// A binding to make.
#[derive(Clone, Debug)]
pub(crate) struct NewBinding {
    /// Who gets the role.
    pub(crate) principal: String,
    /// The role.
    pub(crate) role: String,
    /// The project it is limited to.
    pub(crate) project: Option<String>,
}

/// Which bindings to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct BindingFilter {
    /// Only those of this principal.
    pub(crate) principal: Option<String>,
    /// Only those at this project.
    pub(crate) project: Option<String>,
}

/// The last binding of a page.
#[derive(Clone, Debug)]
pub(crate) struct BindingMark {
    /// Its principal.
    pub(crate) principal: String,
    /// Its id.
    pub(crate) binding_id: String,
}

impl BindingMark {
    /// As it appears in a page token.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}", self.principal, self.binding_id)
    }

    /// From a page token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (principal, binding_id) = text.split_once('/')?;
        let valid = id::is_valid(ids::PRINCIPAL, principal) && id::is_valid(ids::BINDING, binding_id);
        valid.then(|| Self { principal: principal.to_owned(), binding_id: binding_id.to_owned() })
    }
}

/// Bindings of roles to principals.
pub(crate) struct Bindings {
    pub(crate) shared: Arc<Shared>,
}

impl Bindings {
    /// Grants a role that the caller holds itself.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: &NewBinding,
        once: &Once<'_, BindingView>,
    ) -> Result<BindingView> {
        let tenant = caller.tenant();
        let here = binding::scope(tenant, new.project.as_deref());
        if let Some(project) = &new.project {
            slug::check("/project", project)?;
        }
        slug::check("/role", &new.role)?;
        caller.require(Permission::BindingsWrite, &here)?;
        scopes::require_place(&*self.shared.scopes, tenant, new.project.as_deref()).await?;
        for _ in 0..TRIES {
            let mut principal = self.principal(tenant, &new.principal).await?;
            let roles = Roles::load(&self.shared.store, tenant, &[&new.role]).await?;
            authority::require_role(caller, &roles, &new.role, &here, "/role")?;
            let held = &mut principal.value;
            if held.has(&new.role, new.project.as_deref()) {
                return Err(Error::new(ErrorReason::AlreadyExists, "The principal already has this role there."));
            }
            if held.bindings.len() >= MAX_BINDINGS {
                return Err(Error::conflict(format!(
                    "The principal holds {MAX_BINDINGS} roles, which is the most a token carries."
                )));
            }
            let given = Binding {
                binding_id: id::new(ids::BINDING),
                role: new.role.clone(),
                project: new.project.clone(),
                created_at: self.shared.now(),
            };
            held.bindings.push(given.clone());
            let mut change = Change::new();
            put_principal(&mut change, &principal)?;
            let view = view(given, &principal.value);
            let key = keys::binding_id(&view.binding.binding_id);
            store::put(&mut change, key, &view.owner)?;
            roles.hold(&mut change, tenant, &new.role, 1)?;
            once.keep(&mut change, &view)?;
            let entry =
                self.shared.entry("binding.create", "binding", &view.binding.binding_id).details(&details(&view));
            match self.shared.store.commit(change, &entry.build()).await? {
                Commit::Done { .. } => return Ok(view),
                Commit::Refused { key } => once.check_lost(&key)?,
            }
        }
        Err(Error::contended())
    }

    /// Lists the bindings the caller may see, by principal and then in the order they were given.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        filter: &BindingFilter,
        page: &PageRequest,
    ) -> Result<Page<BindingView>> {
        let tenant = caller.tenant();
        let size = page.size()?;
        let listing = Listing::of("bindings", tenant.map(TenantId::as_str))
            .filter("principal", filter.principal.as_deref().unwrap_or_default())
            .filter("project", filter.project.as_deref().unwrap_or_default());
        let after = listing.start(&page.token, BindingMark::parse)?;
        let mut found: Vec<BindingView> = Vec::new();
        let mut take = |principal: &Principal| {
            for binding in &principal.bindings {
                let wanted = filter.project.as_ref().is_none_or(|project| binding.project.as_ref() == Some(project));
                let told = after.as_ref().is_some_and(|mark| {
                    (&principal.principal, &binding.binding_id) <= (&mark.principal, &mark.binding_id)
                });
                let view = view(binding.clone(), principal);
                if wanted && !told && caller.holds(Permission::BindingsRead, &view.scope()) {
                    found.push(view);
                }
            }
            found.len() > size
        };
        if let Some(only) = &filter.principal {
            if id::is_valid(ids::PRINCIPAL, only)
                && let Some(stored) = self.shared.store.principal(tenant, only).await?
            {
                take(&stored.value);
            }
        } else {
            let prefix = keys::principals(tenant);
            let mut from = None;
            if let Some(mark) = &after {
                // The page may have ended in the middle of a principal.
                if let Some(stored) = self.shared.store.principal(tenant, &mark.principal).await? {
                    take(&stored.value);
                }
                from = Some(keys::principal(tenant, &mark.principal));
            }
            loop {
                let batch = self.shared.store.list::<Principal>(&prefix, from.as_deref(), size).await?;
                let last = batch.len() < size;
                let full = batch.iter().any(|stored| take(&stored.value));
                if full || last {
                    break;
                }
                from = batch.last().map(|stored| stored.key.clone());
            }
        }
        let mark = |last: &BindingView| {
            BindingMark { principal: last.owner.principal.clone(), binding_id: last.binding.binding_id.clone() }.text()
        };
        Ok(listing.cut(found, size, mark))
    }

    /// Takes a role away and ends the tokens that carry it.
    pub(crate) async fn delete(&self, caller: &Caller, binding_id: &str) -> Result<()> {
        let tenant = caller.tenant();
        for _ in 0..TRIES {
            let (mut principal, at) = self.find(caller, binding_id).await?;
            let before = principal.value.clone();
            let taken = view(principal.value.bindings.remove(at), &principal.value);
            caller.require(Permission::BindingsWrite, &taken.scope())?;
            authority::require_principal(caller, &self.shared.roles_of(&before).await?, &before)?;
            let holder = before.principal.clone();
            let mut change = Change::new();
            if let Some(client) = self.shared.store.client(tenant, &before.client_id).await? {
                let pair = |principal| Pair { client: &client.value, principal };
                let (was, becomes) = (pair(&before), Some(pair(&principal.value)));
                administrators::keep_one(&self.shared.store, &mut change, caller, self.shared.now(), was, becomes)
                    .await?;
            }
            let roles = Roles::load(&self.shared.store, tenant, &[&taken.binding.role]).await?;
            roles.hold(&mut change, tenant, &taken.binding.role, -1)?;
            put_principal(&mut change, &principal)?;
            change.delete(keys::binding_id(binding_id));
            revocation::end_principal(&self.shared.store, &mut change, &holder, self.shared.now()).await?;
            let entry = self.shared.entry("binding.delete", "binding", binding_id).details(&details(&taken));
            if self.shared.store.commit(change, &entry.build()).await?.is_done() {
                self.shared.trust.changed();
                return Ok(());
            }
        }
        Err(Error::contended())
    }

    /// A binding that the caller may see: its principal, and its place there.
    async fn find(&self, caller: &Caller, binding_id: &str) -> Result<(Stored<Principal>, usize)> {
        let missing = || Error::not_found("binding");
        if !id::is_valid(ids::BINDING, binding_id) {
            return Err(missing());
        }
        let owner: BindingOwner = self
            .shared
            .store
            .binding_owner(binding_id)
            .await?
            .filter(|owner| owner.tenant.as_ref() == caller.tenant())
            .ok_or_else(missing)?;
        let principal = self.shared.store.principal(caller.tenant(), &owner.principal).await?.ok_or_else(missing)?;
        let at =
            principal.value.bindings.iter().position(|binding| binding.binding_id == binding_id).ok_or_else(missing)?;
        let scope = principal
            .value
            .bindings
            .get(at)
            .map(|binding| binding::scope(caller.tenant(), binding.project.as_deref()))
            .ok_or_else(missing)?;
        let sees = caller.holds(Permission::BindingsRead, &scope) || caller.holds(Permission::BindingsWrite, &scope);
        if sees { Ok((principal, at)) } else { Err(missing()) }
    }

    async fn principal(&self, tenant: Option<&TenantId>, principal: &str) -> Result<Stored<Principal>> {
        let missing = || Error::invalid("/principal", "there is no such principal here");
        if !id::is_valid(ids::PRINCIPAL, principal) {
            return Err(missing());
        }
        self.shared.store.principal(tenant, principal).await?.ok_or_else(missing)
    }
}

fn view(binding: Binding, principal: &Principal) -> BindingView {
    BindingView {
        binding,
        owner: BindingOwner { tenant: principal.tenant.clone(), principal: principal.principal.clone() },
    }
}

fn details(view: &BindingView) -> serde_json::Value {
    json!({
        "principal": view.owner.principal,
        "role": view.binding.role,
        "project": view.binding.project,
    })
}

fn put_principal(change: &mut Change, principal: &Stored<Principal>) -> Result<()> {
    let tenant = principal.value.tenant.as_ref();
    let key = keys::principal(tenant, &principal.value.principal);
    change.at(&key, principal.revision);
    store::put(change, key, &principal.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_page_token() {
        let mark = BindingMark { principal: id::new(ids::PRINCIPAL), binding_id: id::new(ids::BINDING) };
        let back = BindingMark::parse(&mark.text()).unwrap();
        assert_eq!((back.principal, back.binding_id), (mark.principal, mark.binding_id));
    }

    proptest::proptest! {
        #[test]
        fn no_text_but_a_mark_is_taken_for_one(text in "(sa_|bind_|/|[a-f0-9]){0,8}\\PC{0,20}") {
            if let Some(mark) = BindingMark::parse(&text) {
                proptest::prop_assert_eq!(mark.text(), text);
            }
        }
    }
}
