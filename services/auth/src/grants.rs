//! What a principal may, as its token says it: bindings times roles, narrowed to the requested scope.

use std::collections::BTreeSet;

use runwarden_kit::caller::{Grant, Scope};

use crate::binding;
use crate::permission_scope::{InvalidScope, RequestedScope};
use crate::principal::Principal;
use crate::role::Roles;

/// Everything a principal holds. A binding whose role is gone grants nothing.
pub(crate) fn resolve(principal: &Principal, roles: &Roles) -> Vec<Grant> {
    let grants: Vec<Grant> = principal
        .bindings
        .iter()
        .filter_map(|binding| {
            let permissions = roles.permissions(&binding.role)?;
            let scope = binding::scope(principal.tenant.as_deref(), binding.project.as_deref());
            Some(Grant {
                role: binding.role.clone(),
                scope: scope.into(),
                permissions: permissions.into_iter().map(str::to_owned).collect(),
            })
        })
        .collect();
    without_covered(grants)
}

/// Leaves out a role that holds below a place where the same role holds: it adds nothing but length.
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

/// Narrows grants to the requested permissions. Asking for what one does not hold is refused, not ignored.
pub(crate) fn narrow(grants: Vec<Grant>, requested: &RequestedScope) -> Result<Vec<Grant>, InvalidScope> {
    let Some(wanted) = requested.permissions() else {
        return Ok(grants);
    };
    let held = permissions(&grants);
    if let Some(missing) = wanted.iter().find(|name| !held.contains(name.as_str())) {
        return Err(InvalidScope::NotHeld(missing.clone()));
    }
    Ok(grants
        .into_iter()
        .filter_map(|mut grant| {
            grant.permissions.retain(|name| wanted.contains(name));
            (!grant.permissions.is_empty()).then_some(grant)
        })
        .collect())
}

/// All permissions in some grants, wherever they hold.
pub(crate) fn permissions(grants: &[Grant]) -> BTreeSet<&str> {
    grants.iter().flat_map(|grant| grant.permissions.iter().map(String::as_str)).collect()
}

/// Whether some grants give a permission at a scope.
pub(crate) fn hold(grants: &[Grant], permission: &str, at: &Scope) -> bool {
    grants.iter().any(|grant| grant.permissions.contains(permission) && Scope::from(grant.scope.clone()).covers(at))
}

#[cfg(test)]
mod tests {
    use runwarden_kit::clock::Moment;

    use super::*;
    use crate::binding::Binding;

    fn principal(tenant: Option<&str>, bindings: &[(&str, Option<&str>)]) -> Principal {
        Principal {
            principal: "sa_1".into(),
            client_id: "client_1".into(),
            tenant: tenant.map(str::to_owned),
            bindings: bindings
                .iter()
                .map(|(role, project)| Binding {
                    binding_id: format!("bind_{role}"),
                    role: (*role).to_owned(),
                    project: project.map(str::to_owned),
                    created_at: Moment::from_micros(0),
                })
                .collect(),
        }
    }

    #[test]
    fn a_role_grants_its_permissions_where_it_is_bound() {
        let principal = principal(Some("acme"), &[("launcher", Some("web")), ("auditor", None)]);
        let grants = resolve(&principal, &Roles::default());
        assert!(hold(&grants, "jobs.submit", &Scope::project("acme", "web")));
        assert!(!hold(&grants, "jobs.submit", &Scope::project("acme", "db")));
        assert!(hold(&grants, "audit.read", &Scope::tenant("acme")));
        assert!(!hold(&grants, "audit.read", &Scope::tenant("other")));
    }

    #[test]
    fn the_same_role_below_itself_is_left_out_and_an_unknown_one_grants_nothing() {
        let principal = principal(Some("acme"), &[("launcher", Some("web")), ("launcher", None), ("gone", None)]);
        let grants = resolve(&principal, &Roles::default());
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].scope.project, None);
    }

    #[test]
    fn a_scope_narrows_and_never_widens() {
        let principal = principal(Some("acme"), &[("launcher", Some("web")), ("auditor", None)]);
        let grants = resolve(&principal, &Roles::default());
        let ask = |text: &str| narrow(grants.clone(), &RequestedScope::parse(text).unwrap());
        assert_eq!(ask("").unwrap(), grants);
        let narrowed = ask("jobs.submit").unwrap();
        assert_eq!(narrowed.len(), 1);
        assert_eq!(permissions(&narrowed).into_iter().collect::<Vec<_>>(), ["jobs.submit"]);
        for text in ["tenants.write", "nonsense", "jobs.submit tenants.write"] {
            assert!(matches!(ask(text), Err(InvalidScope::NotHeld(_))), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_the_token_holds_no_more_than_the_client(
            asked in proptest::collection::btree_set(
                proptest::sample::select(runwarden_kit::permission::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
                0..5,
            )
        ) {
            let principal = principal(Some("acme"), &[("launcher", Some("web")), ("cms-admin", None)]);
            let grants = resolve(&principal, &Roles::default());
            let text = crate::permission_scope::join(asked.iter().copied());
            if let Ok(narrowed) = narrow(grants.clone(), &RequestedScope::parse(&text).unwrap()) {
                for grant in &narrowed {
                    let at = Scope::from(grant.scope.clone());
                    for permission in &grant.permissions {
                        proptest::prop_assert!(hold(&grants, permission, &at));
                        proptest::prop_assert!(asked.is_empty() || asked.contains(permission.as_str()));
                    }
                }
            }
        }
    }
}
