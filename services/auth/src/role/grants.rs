//! What a principal may do, as its token says it: its bindings, each with what its role permits.

use std::collections::BTreeSet;

use runwarden_kit::caller::{Grant, Scope};
use runwarden_kit::permission::Permission;

use crate::role::binding;
use crate::role::principal::Principal;
use crate::role::record::Roles;

/// Everything a principal holds. A binding whose role is gone grants nothing.
pub(crate) fn resolve(principal: &Principal, roles: &Roles) -> Vec<Grant> {
    let grants: Vec<Grant> = principal
        .bindings
        .iter()
        .filter_map(|binding| {
            let permissions = roles.permissions(&binding.role)?;
            let scope = binding::scope(principal.tenant.as_ref(), binding.project.as_deref());
            Some(Grant {
                role: binding.role.clone(),
                scope: scope.into(),
                permissions: permissions.into_iter().map(str::to_owned).collect(),
            })
        })
        .collect();
    without_covered(grants)
}

/// Leaves out a role that is already granted at a scope above: it would add nothing but length.
fn without_covered(grants: Vec<Grant>) -> Vec<Grant> {
    let kept: Vec<Grant> = grants
        .iter()
        .enumerate()
        .filter(|(index, grant)| {
            let here = Scope::from(grant.scope.clone());
            !grants.iter().enumerate().any(|(other_index, other)| {
                let there = Scope::from(other.scope.clone());
                other.role == grant.role
                    && there.covers(&here)
                    // Of two equal ones the first stays.
                    && (there != here || other_index < *index)
            })
        })
        .map(|(_, grant)| grant.clone())
        .collect();
    kept
}

/// All permissions in some grants, wherever they hold.
pub(crate) fn permissions(grants: &[Grant]) -> BTreeSet<&str> {
    grants.iter().flat_map(|grant| grant.permissions.iter().map(String::as_str)).collect()
}

/// Whether some grants give a permission at a scope.
pub(crate) fn hold(grants: &[Grant], permission: Permission, at: &Scope) -> bool {
    grants
        .iter()
        .any(|grant| grant.permissions.contains(permission.name()) && Scope::from(grant.scope.clone()).covers(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_kit::tenant::TenantId;

    #[test]
    fn a_role_grants_its_permissions_where_it_is_bound() {
        let principal = Principal::example(Some("acme"), &[("launcher", Some("web")), ("auditor", None)]);
        let grants = resolve(&principal, &Roles::default());
        assert!(hold(&grants, Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "web")));
        assert!(!hold(&grants, Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "db")));
        assert!(hold(&grants, Permission::AuditRead, &Scope::tenant(&TenantId::trusted("acme"))));
        assert!(!hold(&grants, Permission::AuditRead, &Scope::tenant(&TenantId::trusted("other"))));
    }

    #[test]
    fn the_same_role_below_itself_is_left_out_and_an_unknown_one_grants_nothing() {
        let principal =
            Principal::example(Some("acme"), &[("launcher", Some("web")), ("launcher", None), ("gone", None)]);
        let grants = resolve(&principal, &Roles::default());
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].scope.project, None);
    }
}
