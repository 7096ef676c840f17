//! A binding: a principal holds a role at a scope.

use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use serde::{Deserialize, Serialize};

/// A principal holds at most this many roles: tokens carry them all.
pub(crate) const MAX_BINDINGS: usize = 50;

/// A binding as it is kept, inside its principal's record. Its tenant is the principal's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// `bind_…`
    pub(crate) binding_id: String,
    /// The role.
    pub(crate) role: String,
    /// The project it is limited to; `None` for all of the tenant, or of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// When it was given.
    pub(crate) created_at: Moment,
}

/// Whose a binding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindingOwner {
    /// The principal's tenant; `None` for a platform principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
    /// The principal.
    pub(crate) principal: String,
}

/// A binding as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BindingView {
    /// The binding.
    pub(crate) binding: Binding,
    /// Whose it is.
    pub(crate) owner: BindingOwner,
}

impl BindingView {
    /// Where it holds.
    pub(crate) fn scope(&self) -> Scope {
        scope(self.owner.tenant.as_ref(), self.binding.project.as_deref())
    }
}

/// The scope of a tenant and a project in it; without a tenant, the platform.
pub(crate) fn scope(tenant: Option<&TenantId>, project: Option<&str>) -> Scope {
    match (tenant, project) {
        (None, _) => Scope::platform(),
        (Some(tenant), None) => Scope::tenant(tenant),
        (Some(tenant), Some(project)) => Scope::project(tenant, project),
    }
}
