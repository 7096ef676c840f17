//! Making and reading clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;
use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, SecretString, id, slug};
use serde_json::json;

use crate::client::record::{Client, ClientOwner, ClientView, SecretUses};
use crate::client::secret;
use crate::ids;
use crate::once::Once;
use crate::role::authority;
use crate::role::binding::{self, Binding, BindingOwner, MAX_BINDINGS};
use crate::role::principal::Principal;
use crate::role::record::Roles;
use crate::shared::Shared;
use crate::store::{self, Stored, TRIES, keys};
use crate::trust::scopes;

/// A client to make.
#[derive(Clone, Debug)]
pub(crate) struct NewClient {
    /// A slug, unique in the tenant.
    pub(crate) name: String,
    /// The project it belongs to.
    pub(crate) project: Option<String>,
    /// The roles it gets there.
    pub(crate) roles: Vec<String>,
    /// When it stops working.
    pub(crate) expires_at: Option<Moment>,
}

/// A client with a secret that is shown this once.
pub(crate) struct WithSecret {
    /// The client.
    pub(crate) view: ClientView,
    /// Its new secret.
    pub(crate) secret: SecretString,
}

/// The clients of tenants and of the platform.
pub(crate) struct Clients {
    pub(crate) shared: Arc<Shared>,
    /// How many each may have.
    pub(crate) most: u64,
}

impl Clients {
    /// Makes a client where the caller acts, and gives it roles the caller holds.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: &NewClient,
        once: &Once<'_, WithSecret>,
    ) -> Result<WithSecret> {
        let tenant = caller.tenant();
        let here = binding::scope(tenant, new.project.as_deref());
        check_new(new, self.shared.now())?;
        caller.require(Permission::ClientsWrite, &here)?;
        scopes::require_place(&*self.shared.scopes, tenant, new.project.as_deref()).await?;
        // Several at the same moment may go over that by their number.
        if self.shared.store.count(&keys::clients(tenant)).await? >= self.most {
            return Err(Error::conflict(format!(
                "There are {} clients here, which is the limit. Delete one that is not used.",
                self.most
            )));
        }
        let name_key = keys::client_name(tenant, &new.name);
        for _ in 0..TRIES {
            let names: Vec<&str> = new.roles.iter().map(String::as_str).collect();
            let roles = Roles::load(&self.shared.store, tenant, &names).await?;
            for (index, role) in new.roles.iter().enumerate() {
                authority::require_role(caller, &roles, role, &here, &format!("/roles/{index}"))?;
            }
            let secret = secret::generate()?;
            let client_id = id::new(ids::CLIENT);
            let mut change = Change::new();
            let made = Draft { client_id: &client_id, secret: &secret, tenant, new, now: self.shared.now() };
            let view = made.put(&mut change, &self.shared.pepper, &roles)?;
            let made = WithSecret { view, secret };
            once.keep(&mut change, &made)?;
            let client = &made.view.client;
            let entry = self.shared.entry("client.create", "client", &client_id).details(&json!({
                "name": client.name,
                "principal": client.principal,
                "project": client.project,
                "roles": new.roles,
                "expires_at": client.expires_at.map(Moment::rfc3339),
            }));
            match self.shared.store.commit(change, &entry.build()).await? {
                Commit::Done { .. } => return Ok(made),
                Commit::Refused { key } if key == name_key => return Err(name_taken(&new.name)),
                Commit::Refused { key } => once.check_lost(&key)?,
            }
        }
        Err(Error::contended())
    }

    /// Reads a client that the caller may see.
    pub(crate) async fn get(&self, caller: &Caller, client_id: &str) -> Result<ClientView> {
        let client = self.visible(caller, client_id).await?.value;
        self.view(client).await
    }

    /// A page of the clients the caller may see, by id.
    pub(crate) async fn list(&self, caller: &Caller, request: &PageRequest) -> Result<Page<ClientView>> {
        let listing = Listing::of("clients", caller.tenant().map(TenantId::as_str));
        let is_id = |last: &str| id::is_valid(ids::CLIENT, last);
        let seen = |client: &Client| caller.holds(Permission::ClientsRead, &client.scope());
        let page = self.shared.store.page(&listing, &keys::clients(caller.tenant()), request, is_id, seen).await?;
        let items = try_join_all(page.items.into_iter().map(|client| self.view(client))).await?;
        Ok(Page { items, next: page.next })
    }

    /// A client of the tenant the caller acts for; one that it may not see is not there.
    pub(crate) async fn visible(&self, caller: &Caller, client_id: &str) -> Result<Stored<Client>> {
        if !id::is_valid(ids::CLIENT, client_id) {
            return Err(Error::not_found("client"));
        }
        self.shared
            .store
            .client(caller.tenant(), client_id)
            .await?
            .filter(|stored| {
                let here = stored.value.scope();
                caller.holds(Permission::ClientsRead, &here) || caller.holds(Permission::ClientsWrite, &here)
            })
            .ok_or_else(|| Error::not_found("client"))
    }

    /// The principal of a client.
    pub(crate) async fn principal_of(&self, client: &Client) -> Result<Stored<Principal>> {
        self.shared
            .store
            .principal(client.tenant.as_ref(), &client.principal)
            .await?
            // Both go in one commit: the client was deleted between two reads.
            .ok_or_else(|| Error::not_found("client"))
    }

    /// A client as it is shown.
    pub(crate) async fn view(&self, client: Client) -> Result<ClientView> {
        let principal = self.shared.store.principal(client.tenant.as_ref(), &client.principal).await?;
        let uses = self.shared.store.secret_uses(&client.client_id).await?;
        let bindings = principal.map_or_else(Vec::new, |stored| stored.value.bindings);
        Ok(ClientView::new(client, &bindings, uses))
    }
}

/// Everything that is written when a client is made.
pub(crate) struct Draft<'a> {
    /// Its id.
    pub(crate) client_id: &'a str,
    /// Its secret.
    pub(crate) secret: &'a SecretString,
    /// Its tenant; `None` for the platform.
    pub(crate) tenant: Option<&'a TenantId>,
    /// The rest.
    pub(crate) new: &'a NewClient,
    /// When it is made.
    pub(crate) now: Moment,
}

impl Draft<'_> {
    /// Adds the client, its principal and its bindings to a change.
    pub(crate) fn put(&self, change: &mut Change, pepper: &secret::Pepper, roles: &Roles) -> Result<ClientView> {
        let tenant = self.tenant;
        let client = Client {
            client_id: self.client_id.to_owned(),
            principal: id::new(ids::PRINCIPAL),
            name: self.new.name.clone(),
            tenant: tenant.cloned(),
            project: self.new.project.clone(),
            disabled: false,
            created_at: self.now,
            expires_at: self.new.expires_at,
            secrets: vec![pepper.store(self.client_id, self.secret, self.now)],
        };
        let principal = Principal {
            principal: client.principal.clone(),
            client_id: client.client_id.clone(),
            tenant: client.tenant.clone(),
            bindings: self.new.roles.iter().map(|role| self.binding(role)).collect(),
        };
        // The name first: if several conditions fail, this is the one to report.
        let name_key = keys::client_name(tenant, &client.name);
        let client_key = keys::client(tenant, &client.client_id);
        let owner = ClientOwner { tenant: client.tenant.clone() };
        change.absent(&name_key).absent(&client_key);
        store::put(change, name_key, &client.client_id)?;
        store::put(change, client_key, &client)?;
        store::put(change, keys::client_id(&client.client_id), &owner)?;
        store::put(change, keys::principal(tenant, &client.principal), &principal)?;
        for binding in &principal.bindings {
            let owner = BindingOwner { tenant: client.tenant.clone(), principal: client.principal.clone() };
            store::put(change, keys::binding_id(&binding.binding_id), &owner)?;
            roles.hold(change, tenant, &binding.role, 1)?;
        }
        Ok(ClientView::new(client, &principal.bindings, SecretUses::default()))
    }

    fn binding(&self, role: &str) -> Binding {
        Binding {
            binding_id: id::new(ids::BINDING),
            role: role.to_owned(),
            project: self.new.project.clone(),
            created_at: self.now,
        }
    }
}

fn check_new(new: &NewClient, now: Moment) -> Result<()> {
    slug::check("/name", &new.name)?;
    if let Some(project) = &new.project {
        slug::check("/project", project)?;
    }
    if new.roles.len() > MAX_BINDINGS {
        return Err(Error::invalid("/roles", format!("must be at most {MAX_BINDINGS}")));
    }
    let mut seen = BTreeSet::new();
    for (index, role) in new.roles.iter().enumerate() {
        let pointer = format!("/roles/{index}");
        slug::check(&pointer, role)?;
        if !seen.insert(role) {
            return Err(Error::invalid(pointer, "is listed twice"));
        }
    }
    check_expiry(new.expires_at, now)
}

/// An expiry must lie ahead.
pub(crate) fn check_expiry(expires_at: Option<Moment>, now: Moment) -> Result<()> {
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("/expires_at", "must be in the future"));
    }
    Ok(())
}

fn name_taken(name: &str) -> Error {
    let detail = format!("A client named {name} already exists.");
    Error::new(ErrorReason::AlreadyExists, detail).with_field("/name", "is taken")
}
