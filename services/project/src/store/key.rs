//! Where everything is. Names are slugs, so none can hold the separator.
//!
//! A template leaves a mark under the project and the controller it uses. Whoever removes one of those demands in the
//! same commit that there is no mark, and whoever makes a template demands that both are unchanged: no template can
//! come to stand on nothing, however they race.

use runwarden_engines::watch::Concern;
use runwarden_kit::tenant::TenantId;

/// Where tenants are, by name.
pub const TENANTS: &str = "tenants/";

pub(crate) fn tenant(tenant: &TenantId) -> String {
    format!("{TENANTS}{tenant}")
}

pub(crate) fn projects(tenant: &TenantId) -> String {
    format!("projects/{tenant}/")
}

pub(crate) fn project(tenant: &TenantId, project: &str) -> String {
    format!("projects/{tenant}/{project}")
}

pub(crate) fn controllers(tenant: &TenantId) -> String {
    format!("controllers/{tenant}/")
}

pub(crate) fn controller(tenant: &TenantId, controller: &str) -> String {
    format!("controllers/{tenant}/{controller}")
}

pub(crate) fn templates(tenant: &TenantId) -> String {
    format!("templates/{tenant}/")
}

pub(crate) fn template(tenant: &TenantId, template: &str) -> String {
    format!("templates/{tenant}/{template}")
}

/// What stays of a project that was removed: nobody else gets its name.
pub(crate) fn retired_project(tenant: &TenantId, project: &str) -> String {
    format!("retired/projects/{tenant}/{project}")
}

/// The last revision of a controller that was removed.
pub(crate) fn removed_controller(tenant: &TenantId, controller: &str) -> String {
    format!("removed/controllers/{tenant}/{controller}")
}

/// The last revision of a template that was removed.
pub(crate) fn removed_template(tenant: &TenantId, template: &str) -> String {
    format!("removed/templates/{tenant}/{template}")
}

/// Under this are the marks of the templates of a project.
pub(crate) fn project_uses(tenant: &TenantId, project: &str) -> String {
    format!("uses/projects/{tenant}/{project}/")
}

/// Under this are the marks of the templates on a controller.
pub(crate) fn controller_uses(tenant: &TenantId, controller: &str) -> String {
    format!("uses/controllers/{tenant}/{controller}/")
}

/// Under this are the names of a tenant's credentials that no controller refers to (yet, or any more).
pub(crate) fn orphans(tenant: &TenantId) -> String {
    format!("orphans/{tenant}/")
}

pub(crate) fn orphan(tenant: &TenantId, secret_name: &str) -> String {
    format!("orphans/{tenant}/{secret_name}")
}

/// Who has to hear that a key was changed: whoever keeps something of its tenant.
pub(crate) fn concern(key: &str) -> Concern<'_> {
    let mut parts = key.split('/');
    match (parts.next(), parts.next()) {
        (Some("tenants" | "projects" | "controllers" | "templates"), Some(tenant)) => Concern::Tenant(tenant),
        // What protects names and counts, and is read by this service alone.
        (Some("retired" | "removed" | "uses" | "orphans"), _) => Concern::Nobody,
        _ => Concern::Everyone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_keep_concerns_its_tenant_and_what_is_not_known_everyone() {
        let acme = TenantId::trusted("acme");
        for key in [tenant(&acme), project(&acme, "web"), controller(&acme, "awx"), template(&acme, "deploy")] {
            assert_eq!(concern(&key), Concern::Tenant("acme"), "{key}");
        }
        let own = [
            retired_project(&acme, "web"),
            removed_controller(&acme, "awx"),
            removed_template(&acme, "deploy"),
            format!("{}deploy", project_uses(&acme, "web")),
            format!("{}deploy", controller_uses(&acme, "awx")),
            orphan(&acme, "secret"),
        ];
        for key in own {
            assert_eq!(concern(&key), Concern::Nobody, "{key}");
        }
        assert_eq!(concern("something/new"), Concern::Everyone);
    }
}
