//! What can be permitted, and the roles that come with Runwarden.

pub use runwarden_proto::common::v1::Permission;

use crate::error::{Error, Result};

use Permission as P;

/// A role that comes with Runwarden.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInRole {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it permits.
    pub permissions: &'static [Permission],
}

/// The roles that come with Runwarden.
pub const BUILT_IN_ROLES: &[BuiltInRole] = &[
    BuiltInRole {
        name: "platform-admin",
        description: "Runs the platform: everything, in every tenant.",
        permissions: Permission::ALL,
    },
    BuiltInRole {
        name: "cms-admin",
        description: "Manages what may be run and under which policies; cannot run anything or grant rights.",
        permissions: &[
            P::TenantsRead,
            P::ProjectsRead,
            P::ProjectsWrite,
            P::ControllersRead,
            P::ControllersWrite,
            P::TemplatesRead,
            P::TemplatesWrite,
            P::RolesRead,
            P::BindingsRead,
            P::ClientsRead,
            P::PoliciesRead,
            P::PoliciesWrite,
            P::SecretsList,
            P::HooksRead,
            P::CallbacksRead,
        ],
    },
    BuiltInRole {
        name: "tenant-admin",
        description: "Runs one tenant: its projects, templates, people and policies.",
        permissions: &[
            P::TenantsRead,
            P::ProjectsRead,
            P::ProjectsWrite,
            P::ControllersRead,
            P::ControllersWrite,
            P::TemplatesRead,
            P::TemplatesWrite,
            P::ClientsRead,
            P::ClientsWrite,
            P::RolesRead,
            P::RolesWrite,
            P::BindingsRead,
            P::BindingsWrite,
            P::PoliciesRead,
            P::PoliciesWrite,
            P::SecretsList,
            P::AuditRead,
            P::JobsSubmit,
            P::JobsRead,
            P::JobsCancel,
            P::JobsResolve,
            P::HooksRead,
            P::HooksWrite,
            P::DeliveriesRead,
            P::CallbacksRead,
            P::CallbacksWrite,
            P::ControllersHint,
        ],
    },
    BuiltInRole {
        name: "project-user",
        description: "Works in a project: sees it, runs its templates, cancels its jobs.",
        permissions: &[P::ProjectsRead, P::TemplatesRead, P::JobsSubmit, P::JobsRead, P::JobsCancel, P::HooksRead],
    },
    BuiltInRole {
        name: "launcher",
        description: "A machine that runs templates and follows them.",
        permissions: &[P::TemplatesRead, P::JobsSubmit, P::JobsRead, P::JobsCancel],
    },
    BuiltInRole {
        name: "notifier",
        description: "A controller that says when something happened to its runs, and may do nothing else.",
        permissions: &[P::ControllersHint],
    },
    BuiltInRole {
        name: "auditor",
        description: "Sees everything, changes nothing.",
        permissions: &[
            P::TenantsRead,
            P::ProjectsRead,
            P::ControllersRead,
            P::TemplatesRead,
            P::ClientsRead,
            P::RolesRead,
            P::BindingsRead,
            P::PoliciesRead,
            P::SecretsList,
            P::AuditRead,
            P::JobsRead,
            P::HooksRead,
            P::DeliveriesRead,
            P::CallbacksRead,
        ],
    },
];

/// The permission with the name given at `pointer`.
///
/// # Errors
/// `VALIDATION_FAILED` when there is none.
pub fn named(pointer: &str, name: &str) -> Result<Permission> {
    name.parse().map_err(|_| Error::invalid(pointer, "is not a permission"))
}

/// A built-in role by name.
#[must_use]
pub fn built_in_role(name: &str) -> Option<&'static BuiltInRole> {
    BUILT_IN_ROLES.iter().find(|role| role.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_needed_by_some_rpc_and_held_by_the_platform() {
        let admin = built_in_role("platform-admin").map(|role| role.permissions).unwrap_or_default();
        for permission in Permission::ALL {
            // Every client may introspect its own tokens; this permission widens that.
            let needed = *permission == P::TokensIntrospect
                || runwarden_proto::ACCESS.iter().any(|row| row.permission == Some(*permission));
            assert!(needed, "no RPC needs {permission}");
            assert!(admin.contains(permission), "nobody could ever use {permission}");
        }
    }

    #[test]
    fn a_tenant_admin_can_give_every_role_but_the_platforms() {
        // Callers can grant only what they hold, so a tenant must be able to create its own auditors.
        let held = built_in_role("tenant-admin").map(|r| r.permissions).unwrap_or_default();
        for role in BUILT_IN_ROLES.iter().filter(|r| r.name != "platform-admin") {
            for permission in role.permissions {
                assert!(held.contains(permission), "{} holds {permission}, tenant-admin does not", role.name);
            }
        }
    }

    #[test]
    fn only_the_platform_makes_tenants_and_rotates_keys() {
        for role in BUILT_IN_ROLES.iter().filter(|r| r.name != "platform-admin") {
            for forbidden in [P::TenantsWrite, P::KeysRotate, P::TokensIntrospect] {
                assert!(!role.permissions.contains(&forbidden), "{} must not hold {forbidden}", role.name);
            }
        }
    }
}
