//! What this service asks of the project service.

use async_trait::async_trait;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result};

/// What is known of a tenant and a project in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeStatus {
    /// Whether the tenant exists.
    pub(crate) tenant_exists: bool,
    /// Whether it is disabled.
    pub(crate) tenant_disabled: bool,
    /// Whether the project exists in it; true when none was asked about.
    pub(crate) project_exists: bool,
}

/// The tenants there are, or what has changed of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantList {
    /// Names this list.
    pub(crate) version: String,
    /// Whether it adds to the one that was asked from; else it is complete.
    pub(crate) only_changes: bool,
    /// Each tenant, and whether it is disabled.
    pub(crate) tenants: Vec<(String, bool)>,
}

/// Knows which tenants and projects exist.
#[async_trait]
pub(crate) trait Scopes: Send + Sync + 'static {
    /// Looks a tenant up, and a project in it.
    async fn check(&self, tenant: &TenantId, project: Option<&str>) -> Result<ScopeStatus>;

    /// Lists the tenants, or what changed since the list of this version.
    async fn tenants(&self, known_version: &str) -> Result<TenantList>;
}

/// Demands that roles can be given at this place: the tenant exists and is enabled, and so does the project.
pub(crate) async fn require_place(scopes: &dyn Scopes, tenant: Option<&TenantId>, project: Option<&str>) -> Result<()> {
    let Some(tenant) = tenant else {
        // The platform has no projects.
        return match project {
            None => Ok(()),
            Some(_) => Err(Error::invalid(
                "/project",
                "names a project without a tenant: name the tenant with the X-Tenant header (x-runwarden-tenant in gRPC)",
            )),
        };
    };
    let status = scopes.check(tenant, project).await?;
    if !status.tenant_exists {
        return Err(Error::not_found("tenant"));
    }
    if status.tenant_disabled {
        return Err(Error::new(ErrorReason::TenantDisabled, "The tenant is disabled."));
    }
    if !status.project_exists {
        return Err(Error::invalid("/project", "there is no such project"));
    }
    Ok(())
}
