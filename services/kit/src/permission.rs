//! What can be permitted, and the roles that come with Runwarden.

/// Every permission with what it allows. RPCs name theirs in `access.permission`; a test holds the two together.
pub const ALL: &[(&str, &str)] = &[
    ("tenants.read", "See tenants."),
    ("tenants.write", "Create, change and disable tenants."),
    ("projects.read", "See projects."),
    ("projects.write", "Create and delete projects."),
    ("controllers.read", "See controllers and what they offer."),
    ("controllers.write", "Map, change and remove controllers and their credentials."),
    ("templates.read", "See templates and their parameters."),
    ("templates.write", "Map, change and remove templates."),
    ("clients.read", "See service accounts and their OAuth clients."),
    ("clients.write", "Create, rotate, disable and remove OAuth clients."),
    ("roles.read", "See roles."),
    ("roles.write", "Create and remove a tenant's own roles."),
    ("bindings.read", "See who holds which role."),
    ("bindings.write", "Grant and revoke roles that the holder has too."),
    ("policies.read", "See policy modules."),
    ("policies.write", "Upload and remove policy modules."),
    ("secrets.list", "See which secrets exist, never their values."),
    ("keys.read", "See the state of master keys."),
    ("keys.rotate", "Rotate master and signing keys."),
    ("audit.read", "Read, prove and export the audit log."),
    ("tokens.introspect", "Introspect the tokens of all tenants."),
    ("jobs.submit", "Submit jobs."),
    ("jobs.read", "See jobs and what they printed."),
    ("jobs.cancel", "Cancel jobs."),
    ("jobs.resolve", "Decide what became of an ambiguous launch."),
];

/// A role that comes with Runwarden.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInRole {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it permits.
    pub permissions: &'static [&'static str],
}

/// The roles that come with Runwarden.
pub const BUILT_IN_ROLES: &[BuiltInRole] = &[
    BuiltInRole {
        name: "platform-admin",
        description: "Runs the platform: everything, in every tenant.",
        permissions: &[
            "tenants.read",
            "tenants.write",
            "projects.read",
            "projects.write",
            "controllers.read",
            "controllers.write",
            "templates.read",
            "templates.write",
            "clients.read",
            "clients.write",
            "roles.read",
            "roles.write",
            "bindings.read",
            "bindings.write",
            "policies.read",
            "policies.write",
            "secrets.list",
            "keys.read",
            "keys.rotate",
            "audit.read",
            "tokens.introspect",
            "jobs.submit",
            "jobs.read",
            "jobs.cancel",
            "jobs.resolve",
        ],
    },
    BuiltInRole {
        name: "cms-admin",
        description: "Manages what may be run and under which policies; cannot run anything or grant rights.",
        permissions: &[
            "tenants.read",
            "projects.read",
            "projects.write",
            "controllers.read",
            "controllers.write",
            "templates.read",
            "templates.write",
            "roles.read",
            "bindings.read",
            "clients.read",
            "policies.read",
            "policies.write",
            "secrets.list",
        ],
    },
    BuiltInRole {
        name: "tenant-admin",
        description: "Runs one tenant: its projects, templates, people and policies.",
        permissions: &[
            "tenants.read",
            "projects.read",
            "projects.write",
            "controllers.read",
            "controllers.write",
            "templates.read",
            "templates.write",
            "clients.read",
            "clients.write",
            "roles.read",
            "roles.write",
            "bindings.read",
            "bindings.write",
            "policies.read",
            "policies.write",
            "secrets.list",
            "audit.read",
            "jobs.submit",
            "jobs.read",
            "jobs.cancel",
            "jobs.resolve",
        ],
    },
    BuiltInRole {
        name: "project-user",
        description: "Works in a project: sees it, runs its templates, cancels its jobs.",
        permissions: &["projects.read", "templates.read", "jobs.submit", "jobs.read", "jobs.cancel"],
    },
    BuiltInRole {
        name: "launcher",
        description: "A machine that runs templates and follows them.",
        permissions: &["templates.read", "jobs.submit", "jobs.read", "jobs.cancel"],
    },
    BuiltInRole {
        name: "auditor",
        description: "Sees everything, changes nothing.",
        permissions: &[
            "tenants.read",
            "projects.read",
            "controllers.read",
            "templates.read",
            "clients.read",
            "roles.read",
            "bindings.read",
            "policies.read",
            "secrets.list",
            "audit.read",
            "jobs.read",
        ],
    },
];

/// Whether a permission exists.
#[must_use]
pub fn exists(permission: &str) -> bool {
    ALL.iter().any(|(name, _)| *name == permission)
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
    fn rpcs_and_roles_use_only_permissions_that_exist_and_each_is_used() {
        for row in runwarden_proto::ACCESS {
            assert!(row.permission.is_empty() || exists(row.permission), "{} wants {}", row.path, row.permission);
        }
        for role in BUILT_IN_ROLES {
            for permission in role.permissions {
                assert!(exists(permission), "{} grants {permission}", role.name);
            }
        }
        for (permission, _) in ALL {
            assert!(
                built_in_role("platform-admin").is_some_and(|r| r.permissions.contains(permission)),
                "nobody could ever use {permission}"
            );
        }
    }

    #[test]
    fn a_tenant_admin_can_give_every_role_but_the_platforms() {
        // Nobody can give what they do not hold, so a tenant must be able to make its own auditors.
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
            for forbidden in ["tenants.write", "keys.rotate", "tokens.introspect"] {
                assert!(!role.permissions.contains(&forbidden), "{} must not hold {forbidden}", role.name);
            }
        }
    }
}
