//! Mapping, changing and removing controllers.

use std::sync::Arc;

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, id, slug};
use serde_json::json;

use super::orphan::{self, Orphan};
use super::{Controller, ControllerLimits, ControllerLimitsUpdate, Credential, address, authority, find};
use crate::port::{Account, ControllerAccess, Login, Offers, SecretKeeper};
use crate::refusal::{creation, taken};
use crate::store::{Begun, Catalog, Repeat, Stored, keep, key, put, retire_revision};
use crate::tenant::{self, Tenant};

/// A controller to be mapped.
#[derive(Debug)]
pub struct NewController {
    /// A slug.
    pub name: String,
    /// Scheme, host and port.
    pub url: String,
    /// Where its API begins; empty for AWX's own place.
    pub api_root: String,
    /// How to log in.
    pub credential: Credential,
    /// A certificate authority to trust for it, PEM.
    pub ca_pem: String,
    /// How much may run on it.
    pub limits: ControllerLimitsUpdate,
}

/// What shall change; `None` leaves it.
#[derive(Debug, Default)]
pub struct ControllerUpdate {
    /// The address. A new one needs the credential again.
    pub url: Option<String>,
    /// Where its API begins.
    pub api_root: Option<String>,
    /// How to log in.
    pub credential: Option<Credential>,
    /// The certificate authority.
    pub ca_pem: Option<String>,
    /// How much may run on it.
    pub limits: ControllerLimitsUpdate,
}

impl ControllerUpdate {
    /// Whether nothing but limits shall change. That needs no word with the controller: one that is down, or overrun,
    /// can be held back.
    fn is_only_limits(&self) -> bool {
        let Self { url, api_root, credential, ca_pem, limits } = self;
        limits.is_some() && url.is_none() && api_root.is_none() && credential.is_none() && ca_pem.is_none()
    }
}

/// Manages controllers.
#[derive(Clone)]
pub struct Controllers {
    catalog: Catalog,
    access: Arc<dyn ControllerAccess>,
    secrets: Arc<dyn SecretKeeper>,
    allow_plain_http: bool,
}

impl Controllers {
    /// Over a catalog, reaching controllers by `access` and leaving their credentials with `secrets`.
    pub fn new(
        catalog: Catalog,
        access: Arc<dyn ControllerAccess>,
        secrets: Arc<dyn SecretKeeper>,
        allow_plain_http: bool,
    ) -> Self {
        Self { catalog, access, secrets, allow_plain_http }
    }

    /// Maps a controller: tries it, seals the credential, stores the rest.
    pub async fn create(&self, caller: &Caller, new: NewController, repeat: &Repeat) -> Result<Controller> {
        let tenant = tenant::open(&self.catalog, caller).await?.name;
        let ticket = match self.catalog.begin(caller, "controller.create", repeat).await? {
            Begun::Replay(controller) => return Ok(controller),
            Begun::Fresh(ticket) => ticket,
        };
        caller.require(Permission::ControllersWrite, &Scope::tenant(&tenant))?;
        slug::check("/name", &new.name)?;
        let mut limits = ControllerLimits::default();
        limits.set(&new.limits)?;
        let mut controller = Controller {
            url: address::url(&new.url, self.allow_plain_http)?,
            api_root: address::api_root(&new.api_root)?,
            ca_pem: authority::ca_pem(&new.ca_pem)?,
            product: String::new(),
            version: String::new(),
            account_id: 0,
            account_name: String::new(),
            limits,
            created_at: self.catalog.now(),
            revision: 0,
            secret_name: secret_name(&new.name),
            retired_secret: None,
            name: new.name,
            tenant,
        };
        if find(&self.catalog, &controller.tenant, &controller.name).await?.is_some() {
            return Err(taken("controller", &controller.name));
        }
        let mut change = Change::new();
        let removed = key::removed_controller(&controller.tenant, &controller.name);
        controller.revision = self.catalog.first_revision(&mut change, &removed).await?;
        self.introduce(&mut controller, Login::Given(&new.credential)).await?;
        let orphan = self.store(&controller.tenant, &controller.secret_name, &new.credential).await?;
        let own = key::controller(&controller.tenant, &controller.name);
        change.absent(&own);
        put(&mut change, &own, &controller)?;
        keep(&ticket, &mut change, &controller)?;
        let details = json!({
            "url": controller.url, "api_root": controller.api_root, "account": controller.account_name,
            "credential": new.credential.kind(), "own_authority": !controller.ca_pem.is_empty(),
            "limits": controller.limits,
        });
        match self.commit_with(change, Some(orphan), "controller.create", &controller, &details).await? {
            Commit::Done { .. } => Ok(controller),
            Commit::Refused { key } => Err(creation(&ticket, &key, &own, "controller", &controller.name)),
        }
    }

    /// Reads a controller.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Controller> {
        Ok(self.readable(caller, name).await?.value)
    }

    /// Lists the controllers of the tenant the caller acts for.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Controller>> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        caller.require(Permission::ControllersRead, &Scope::tenant(&tenant.name))?;
        let listing = Listing::of("controllers", Some(tenant.name.as_str()));
        self.catalog.page(&listing, &key::controllers(&tenant.name), page, slug::is_slug, |_: &Controller| true).await
    }

    /// Changes a controller after trying it as it would be, unless only its limits change.
    pub async fn update(&self, caller: &Caller, name: &str, update: ControllerUpdate) -> Result<Controller> {
        let tenant = self.writable(caller).await?.name;
        let Stored { key, value: before, revision: at } = self.find(&tenant, name).await?;
        let mut after = before.clone();
        if let Some(url) = &update.url {
            after.url = address::url(url, self.allow_plain_http)?;
        }
        if let Some(api_root) = &update.api_root {
            after.api_root = address::api_root(api_root)?;
        }
        if let Some(ca_pem) = &update.ca_pem {
            after.ca_pem = authority::ca_pem(ca_pem)?;
        }
        if update.credential.is_none() && (after.url != before.url || after.ca_pem != before.ca_pem) {
            // Otherwise anybody who may change the address could have the stored credential sent to their own host.
            return Err(Error::invalid("/credential", "must be given again when the address or its authority changes"));
        }
        after.limits.set(&update.limits)?;
        if !update.is_only_limits() {
            let login = match &update.credential {
                Some(credential) => Login::Given(credential),
                None => Login::Stored(&before.secret_name),
            };
            self.introduce(&mut after, login).await?;
        }
        if update.credential.is_none() && after == before {
            return Ok(before);
        }
        after.revision += 1;
        let mut change = Change::new();
        change.at(&key, at);
        let mut orphan = None;
        if let Some(credential) = &update.credential {
            after.secret_name = secret_name(name);
            if let Some(older) = after.retired_secret.replace(before.secret_name) {
                orphan::abandon(&mut change, &tenant, &older)?;
            }
            orphan = Some(self.store(&tenant, &after.secret_name, credential).await?);
        }
        put(&mut change, &key, &after)?;
        let details = json!({
            "url": after.url, "api_root": after.api_root, "account": after.account_name,
            "credential_replaced": update.credential.is_some(), "own_authority": !after.ca_pem.is_empty(),
            "limits": after.limits,
        });
        match self.commit_with(change, orphan, "controller.update", &after, &details).await? {
            Commit::Done { .. } => Ok(after),
            Commit::Refused { .. } => Err(Error::changed("controller")),
        }
    }

    /// Removes a controller that no template uses, and its credential.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let tenant = self.writable(caller).await?.name;
        let Stored { key, value: controller, revision: at } = self.find(&tenant, name).await?;
        let uses = key::controller_uses(&tenant, name);
        let mut change = Change::new();
        change.vacant(&uses).at(&key, at).delete(&key);
        retire_revision(&mut change, &key::removed_controller(&tenant, name), controller.revision)?;
        for secret in controller.retired_secret.iter().chain([&controller.secret_name]) {
            orphan::abandon(&mut change, &tenant, secret)?;
        }
        match self
            .commit_with(change, None, "controller.delete", &controller, &json!({ "url": controller.url }))
            .await?
        {
            Commit::Done { .. } => Ok(()),
            Commit::Refused { key } if key == uses => {
                Err(Error::conflict("Templates still use the controller. Remove them first."))
            }
            Commit::Refused { .. } => Err(Error::changed("controller")),
        }
    }

    /// Lists what the controller offers.
    pub async fn offers(&self, caller: &Caller, name: &str, page: &PageRequest) -> Result<Offers> {
        runwarden_kit::page::size(page.size)?;
        let controller = self.readable(caller, name).await?.value;
        self.access.browse(&controller, page.size, &page.token).await
    }

    /// What the executor needs to reach a controller.
    pub async fn resolve(&self, tenant: &TenantId, name: &str) -> Result<Controller> {
        Ok(self.find(tenant, name).await?.value)
    }

    async fn writable(&self, caller: &Caller) -> Result<Tenant> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        caller.require(Permission::ControllersWrite, &Scope::tenant(&tenant.name))?;
        tenant.check_open(caller)?;
        Ok(tenant)
    }

    async fn readable(&self, caller: &Caller, name: &str) -> Result<Stored<Controller>> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        caller.require(Permission::ControllersRead, &Scope::tenant(&tenant.name))?;
        self.find(&tenant.name, name).await
    }

    async fn find(&self, tenant: &TenantId, name: &str) -> Result<Stored<Controller>> {
        slug::check("/name", name)?;
        find(&self.catalog, tenant, name).await?.ok_or_else(|| Error::not_found("controller"))
    }

    /// Tries the controller and notes who it is and who we are there.
    async fn introduce(&self, controller: &mut Controller, login: Login<'_>) -> Result<()> {
        let Account { product, version, id, name } = self.access.check(controller, login).await?;
        controller.product = product;
        controller.version = version;
        controller.account_id = id;
        controller.account_name = name;
        Ok(())
    }

    /// Seals a credential under a name that nothing refers to yet.
    async fn store(&self, tenant: &TenantId, secret_name: &str, credential: &Credential) -> Result<Stored<Orphan>> {
        let orphan = orphan::expect(&self.catalog, tenant, secret_name).await?;
        match self.secrets.put(tenant, secret_name, &credential.to_stored()).await {
            Ok(()) => Ok(orphan),
            Err(error) => {
                // It may have been stored all the same.
                orphan::give_up(&self.catalog, &*self.secrets, tenant, orphan).await;
                Err(error)
            }
        }
    }

    /// Commits a change of a controller; afterwards nothing is left of credentials that nothing refers to.
    async fn commit_with(
        &self,
        mut change: Change,
        orphan: Option<Stored<Orphan>>,
        action: &str,
        controller: &Controller,
        details: &serde_json::Value,
    ) -> Result<Commit> {
        let tenant = &controller.tenant;
        if let Some(orphan) = &orphan {
            orphan::adopt(&mut change, orphan);
        }
        let entry = self.catalog.entry(tenant, action, "controller", &controller.name).details(details).build();
        let done = self.catalog.commit(change, &entry).await;
        if !matches!(done, Ok(Commit::Done { .. }))
            && let Some(orphan) = orphan
        {
            // If the commit did happen though its answer was lost, the orphan is no more and this does nothing.
            orphan::give_up(&self.catalog, &*self.secrets, tenant, orphan).await;
        }
        orphan::sweep(&self.catalog, &*self.secrets, tenant).await;
        done
    }
}

/// A new name for a controller's credential.
fn secret_name(controller: &str) -> String {
    format!("controllers/{controller}/{}", id::new("credential"))
}
