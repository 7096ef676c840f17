//! Tenants: the walls that nothing crosses.

mod limits;

use runwarden_engines::catalog::Written;
use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, id, slug};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use limits::{TenantLimits, TenantLimitsUpdate};

use crate::refusal::creation;
use crate::store::{Begun, Catalog, Repeat, Stored, keep, key, put};
use crate::text;

/// Names no tenant may have: they stand for Runwarden itself in logs, records and addresses.
const RESERVED: &[&str] = &[
    "admin",
    "all",
    "anonymous",
    "any",
    "api",
    "audit",
    "auth",
    "edge",
    "executor",
    "health",
    "internal",
    "none",
    "null",
    "operator",
    "platform",
    "policy",
    "project",
    "root",
    "runwarden",
    "secret",
    "service",
    "system",
];

/// A customer or organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// A slug, for ever.
    pub name: TenantId,
    /// For people.
    pub display_name: String,
    /// Whether its principals are refused everywhere.
    pub disabled: bool,
    /// Its share and limits.
    #[serde(flatten)]
    pub limits: TenantLimits,
    /// When it was made.
    pub created_at: Moment,
    /// Grows with every change, from 1.
    pub revision: i64,
}

impl Tenant {
    /// Refuses what a principal of a disabled tenant wants to change, exactly; the gate does so by what it heard a moment
    /// ago, and says what the platform still may.
    pub(crate) fn check_open(&self, caller: &Caller) -> Result<()> {
        if self.disabled && caller.home_tenant.is_some() {
            return Err(Error::new(ErrorReason::TenantDisabled, "This tenant is disabled."));
        }
        Ok(())
    }
}

/// A tenant to be made.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// A slug.
    pub name: String,
    /// For people; empty takes the name.
    pub display_name: String,
    /// Its share and limits.
    pub limits: TenantLimitsUpdate,
}

/// What shall change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TenantUpdate {
    /// For people.
    pub display_name: Option<String>,
    /// Whether its requests shall be refused.
    pub disabled: Option<bool>,
    /// Its share and limits.
    pub limits: TenantLimitsUpdate,
}

/// The tenant a caller acts for. A platform principal may have named one that does not exist.
pub(crate) async fn acting(catalog: &Catalog, caller: &Caller) -> Result<Tenant> {
    let name = caller.require_tenant()?;
    Ok(find(catalog, name).await?.ok_or_else(|| Error::not_found("tenant"))?.value)
}

/// The tenant a caller acts for, if it may change anything there. Whoever creates something asks this before it looks
/// for a first answer: a repeat gets that one whatever has changed since, but not from a tenant that was closed.
pub(crate) async fn open(catalog: &Catalog, caller: &Caller) -> Result<Tenant> {
    let tenant = acting(catalog, caller).await?;
    tenant.check_open(caller)?;
    Ok(tenant)
}

pub(crate) async fn find(catalog: &Catalog, name: &TenantId) -> Result<Option<Stored<Tenant>>> {
    catalog.get(&key::tenant(name)).await
}

/// Manages tenants.
#[derive(Clone)]
pub struct Tenants {
    catalog: Catalog,
    /// Names this process. The store's revisions do not identify a state across a restored backup.
    process: String,
}

impl Tenants {
    /// Over a catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, process: id::new("tenants") }
    }

    /// Makes a tenant.
    pub async fn create(&self, caller: &Caller, new: NewTenant, repeat: &Repeat) -> Result<Tenant> {
        let ticket = match self.catalog.begin(caller, "tenant.create", repeat).await? {
            Begun::Replay(tenant) => return Ok(tenant),
            Begun::Fresh(ticket) => ticket,
        };
        caller.require(Permission::TenantsWrite, &Scope::platform())?;
        let name = TenantId::named("/name", &new.name)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Error::invalid("/name", "is reserved"));
        }
        let display_name = text::display_name(&new.display_name, &name)?;
        let mut limits = TenantLimits::default();
        limits.set(&new.limits)?;
        let own = key::tenant(&name);
        let created_at = self.catalog.now();
        let tenant = Tenant { name, display_name, disabled: false, limits, created_at, revision: 1 };
        let mut change = Change::new();
        change.absent(&own);
        put(&mut change, &own, &tenant)?;
        keep(&ticket, &mut change, &tenant)?;
        let entry = self.entry("tenant.create", &tenant);
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(tenant),
            Commit::Refused { key } => Err(creation(&ticket, &key, &own, "tenant", &tenant.name)),
        }
    }

    /// Reads a tenant the caller may see.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Tenant> {
        Ok(self.visible(caller, name).await?.value)
    }

    async fn visible(&self, caller: &Caller, name: &str) -> Result<Stored<Tenant>> {
        let name = TenantId::named("/name", name)?;
        if !caller.holds(Permission::TenantsRead, &Scope::tenant(&name)) {
            return Err(Error::not_found("tenant"));
        }
        find(&self.catalog, &name).await?.ok_or_else(|| Error::not_found("tenant"))
    }

    /// Lists the tenants the caller may see.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Tenant>> {
        let seen = |tenant: &Tenant| caller.holds(Permission::TenantsRead, &Scope::tenant(&tenant.name));
        self.catalog.page(&Listing::of("tenants", None), key::TENANTS, page, slug::is_slug, seen).await
    }

    /// Changes a tenant. Only the platform can: a tenant cannot end its own suspension.
    pub async fn update(&self, caller: &Caller, name: &str, update: TenantUpdate) -> Result<Tenant> {
        let Stored { key, value: mut tenant, revision: at } = self.visible(caller, name).await?;
        caller.require(Permission::TenantsWrite, &Scope::platform())?;
        let before = tenant.clone();
        if let Some(display_name) = update.display_name {
            tenant.display_name = text::display_name(&display_name, name)?;
        }
        if let Some(disabled) = update.disabled {
            tenant.disabled = disabled;
        }
        tenant.limits.set(&update.limits)?;
        if tenant == before {
            return Ok(tenant);
        }
        tenant.revision += 1;
        let mut change = Change::new();
        change.at(&key, at);
        put(&mut change, &key, &tenant)?;
        let action = match (before.disabled, tenant.disabled) {
            (false, true) => "tenant.disable",
            (true, false) => "tenant.enable",
            (false, false) | (true, true) => "tenant.update",
        };
        match self.catalog.commit(change, &self.entry(action, &tenant)).await? {
            Commit::Done { .. } => Ok(tenant),
            Commit::Refused { .. } => Err(Error::changed("tenant")),
        }
    }

    /// An entry in the platform's log: a tenant does not manage itself.
    fn entry(&self, action: &str, tenant: &Tenant) -> runwarden_kit::audit::Entry {
        self.catalog
            .entry("", action, "tenant", &tenant.name)
            .details(&json!({
                "display_name": tenant.display_name, "disabled": tenant.disabled, "limits": tenant.limits,
            }))
            .build()
    }

    /// The tenants there are, or what was written of them since the list of a version of ours.
    pub async fn states(&self, known_version: &str) -> Result<TenantStates> {
        let known = known_version.split_once(' ').filter(|(process, _)| *process == self.process);
        let known: Option<i64> = known.and_then(|(_, at)| at.parse().ok());
        let Written { records: written, head: at } =
            self.catalog.written_since::<Tenant>(key::TENANTS, known.unwrap_or(0)).await?;
        Ok(TenantStates {
            version: format!("{} {at}", self.process),
            only_changes: known.is_some(),
            tenants: written.into_iter().map(|stored| (stored.value.name.into(), stored.value.disabled)).collect(),
        })
    }

    /// Whether a tenant, and a project in it, exist.
    pub async fn check_scope(&self, tenant: &TenantId, project: &str) -> Result<ScopeState> {
        let found = find(&self.catalog, tenant).await?;
        let project_exists = project.is_empty()
            || (found.is_some() && crate::project::find(&self.catalog, tenant, project).await?.is_some());
        Ok(ScopeState {
            tenant_exists: found.is_some(),
            tenant_disabled: found.is_some_and(|tenant| tenant.value.disabled),
            project_exists,
        })
    }
}

/// The tenants there are, or what was written of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStates {
    /// Names the list.
    pub version: String,
    /// Whether it adds to the list that was asked from.
    pub only_changes: bool,
    /// Each tenant, and whether it is disabled.
    pub tenants: Vec<(String, bool)>,
}

/// What exists of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeState {
    /// Whether the tenant exists.
    pub tenant_exists: bool,
    /// Whether it is disabled.
    pub tenant_disabled: bool,
    /// Whether the project exists in it; true when none was asked about.
    pub project_exists: bool,
}
