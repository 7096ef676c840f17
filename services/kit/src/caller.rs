//! Who is calling and what they may: read from a verified caller token, never from anything the caller says beside it.

mod wire;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::permission::Permission;
use crate::tenant::TenantId;

/// Where a role holds, or where something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The tenant; `None` for the platform.
    pub tenant: Option<TenantId>,
    /// The project in the tenant; `None` for all of it.
    pub project: Option<String>,
}

impl Scope {
    /// The whole platform.
    #[must_use]
    pub fn platform() -> Self {
        Self::default()
    }

    /// A whole tenant.
    #[must_use]
    pub fn tenant(tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), project: None }
    }

    /// One project.
    #[must_use]
    pub fn project(tenant: &TenantId, project: &str) -> Self {
        Self { tenant: Some(tenant.clone()), project: Some(project.to_owned()) }
    }

    /// Whether what holds here holds there too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.tenant, &self.project) {
            (None, None) => true,
            // A project of no tenant is nothing; above all it is not everything.
            (None, Some(_)) => false,
            (Some(tenant), None) => other.tenant.as_ref() == Some(tenant),
            (Some(tenant), Some(project)) => {
                other.tenant.as_ref() == Some(tenant) && other.project.as_ref() == Some(project)
            }
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.tenant, &self.project) {
            (None, _) => f.write_str("the platform"),
            (Some(tenant), None) => write!(f, "tenant {tenant}"),
            (Some(tenant), Some(project)) => write!(f, "project {project} of tenant {tenant}"),
        }
    }
}

/// One role a caller holds, as the token carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role's name.
    pub role: String,
    /// Where it holds.
    #[serde(flatten)]
    pub scope: GrantScope,
    /// What it permits there, narrowed by the token's scope.
    pub permissions: BTreeSet<String>,
}

/// A grant's scope in the token: absent tenant is the platform, absent project the whole tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantScope {
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl From<GrantScope> for Scope {
    fn from(scope: GrantScope) -> Self {
        Self { tenant: scope.tenant, project: scope.project }
    }
}

impl From<Scope> for GrantScope {
    fn from(scope: Scope) -> Self {
        Self { tenant: scope.tenant, project: scope.project }
    }
}

/// What a caller may see of a tenant's projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of them.
    All,
    /// These only.
    Projects(BTreeSet<String>),
}

impl Visible {
    /// Whether a project is among them.
    #[must_use]
    pub fn includes(&self, project: &str) -> bool {
        match self {
            Self::All => true,
            Self::Projects(projects) => projects.contains(project),
        }
    }
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The principal, `sa_…`.
    pub principal: String,
    /// Its name, for people and records.
    pub name: String,
    /// The OAuth client it proved itself with.
    pub client_id: String,
    /// The tenant it belongs to; `None` for the platform's own.
    pub home_tenant: Option<TenantId>,
    /// The tenant it acts for now: its own, or the one a platform principal named.
    pub acting_tenant: Option<TenantId>,
    /// How it proved itself: `client_credentials`.
    pub authenticated_by: String,
    /// The token's id.
    pub token_id: String,
    /// When the token was issued.
    pub issued_at: Moment,
    /// When the token expires.
    pub expires_at: Moment,
    /// What it may, where.
    pub grants: Vec<Grant>,
}

impl Caller {
    /// The tenant it acts for; `None` when a platform principal named none.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.acting_tenant.as_ref()
    }

    /// The tenant it acts for, which this call cannot do without.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` telling a platform principal to name one.
    pub fn require_tenant(&self) -> Result<&TenantId> {
        self.tenant().ok_or_else(|| {
            Error::invalid(
                "",
                "This call needs a tenant: name it with the X-Tenant header (x-runwarden-tenant in gRPC).",
            )
        })
    }

    /// The scope of the tenant it acts for, or the platform when it names none.
    #[must_use]
    pub fn acting_scope(&self) -> Scope {
        Scope { tenant: self.acting_tenant.clone(), project: None }
    }

    /// Whether it holds a permission at a scope.
    #[must_use]
    pub fn holds(&self, permission: Permission, at: &Scope) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.permissions.contains(permission.name()) && Scope::from(grant.scope.clone()).covers(at))
    }

    /// Whether it holds a permission anywhere at all.
    #[must_use]
    pub fn holds_somewhere(&self, permission: Permission) -> bool {
        self.grants.iter().any(|grant| grant.permissions.contains(permission.name()))
    }

    /// Demands a permission at a scope.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, naming what is missing where.
    pub fn require(&self, permission: Permission, at: &Scope) -> Result<()> {
        if self.holds(permission, at) {
            return Ok(());
        }
        Err(Error::denied(format!("This needs the permission {permission} at {at}.")))
    }

    /// Which projects of the tenant it acts for a permission lets it see.
    #[must_use]
    pub fn visible(&self, permission: Permission) -> Visible {
        let here = self.acting_scope();
        if self.holds(permission, &here) {
            return Visible::All;
        }
        Visible::Projects(
            self.grants
                .iter()
                .filter(|g| g.permissions.contains(permission.name()) && g.scope.tenant == self.acting_tenant)
                .filter_map(|g| g.scope.project.clone())
                .collect(),
        )
    }

    /// The roles it holds at a scope.
    #[must_use]
    pub fn roles_at(&self, at: &Scope) -> BTreeSet<&str> {
        self.grants.iter().filter(|g| Scope::from(g.scope.clone()).covers(at)).map(|g| g.role.as_str()).collect()
    }

    /// The permissions it holds at a scope.
    #[must_use]
    pub fn permissions_at(&self, at: &Scope) -> BTreeSet<&str> {
        self.grants
            .iter()
            .filter(|g| Scope::from(g.scope.clone()).covers(at))
            .flat_map(|g| g.permissions.iter().map(String::as_str))
            .collect()
    }

    /// A caller for tests of other crates: one grant at one scope, acting in that scope's tenant.
    #[must_use]
    pub fn example(permissions: &[Permission], at: Scope) -> Self {
        Self {
            principal: "sa_00000000000000000000000000000001".into(),
            name: "example".into(),
            client_id: "client_00000000000000000000000000000001".into(),
            home_tenant: at.tenant.clone(),
            acting_tenant: at.tenant.clone(),
            authenticated_by: "client_credentials".into(),
            token_id: "tok_example".into(),
            issued_at: Moment::from_micros(0),
            expires_at: Moment::from_micros(i64::MAX),
            grants: vec![Grant {
                role: "example".into(),
                scope: at.into(),
                permissions: permissions.iter().map(ToString::to_string).collect(),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_holds_at_its_scope_and_below_and_nowhere_else() {
        let caller = Caller::example(&[Permission::JobsRead], Scope::project(&TenantId::trusted("acme"), "web"));
        assert!(caller.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "web")));
        assert!(!caller.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "db")));
        assert!(!caller.holds(Permission::JobsRead, &Scope::tenant(&TenantId::trusted("acme"))));
        assert!(!caller.holds(Permission::JobsRead, &Scope::platform()));
        assert!(!caller.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "web")));
        let tenant = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")));
        assert!(tenant.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "web")));
        assert!(!tenant.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("other"), "web")));
        assert!(
            Caller::example(&[Permission::JobsRead], Scope::platform())
                .holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("a"), "b"))
        );
        let admin = Caller::example(&[Permission::JobsRead], Scope::platform());
        assert!(!admin.holds(Permission::Unspecified, &Scope::project(&TenantId::trusted("acme"), "web")));
        let nowhere = Scope { tenant: None, project: Some("web".into()) };
        assert!(
            !Caller::example(&[Permission::JobsRead], nowhere)
                .holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "web"))
        );
    }

    #[test]
    fn visibility_is_the_callers_projects_in_the_tenant_it_acts_for() {
        let caller = Caller::example(&[Permission::JobsRead], Scope::project(&TenantId::trusted("acme"), "web"));
        let visible = caller.visible(Permission::JobsRead);
        assert!(visible.includes("web") && !visible.includes("db"));
        assert_eq!(
            Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")))
                .visible(Permission::JobsRead),
            Visible::All
        );
        assert!(!caller.visible(Permission::JobsSubmit).includes("web"));
    }
}
