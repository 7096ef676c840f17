//! Narrowing what a token carries to the scope that was asked for.

use runwarden_kit::caller::Grant;

use super::scope::{InvalidScope, RequestedScope};
use crate::role::grants;

/// Narrows grants to the requested permissions. Asking for what one does not hold is refused, not ignored.
pub(crate) fn narrow(grants: Vec<Grant>, requested: &RequestedScope) -> Result<Vec<Grant>, InvalidScope> {
    let Some(wanted) = requested.permissions() else {
        return Ok(grants);
    };
    let held = grants::permissions(&grants);
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

#[cfg(test)]
mod tests {
    use runwarden_kit::caller::Scope;

    use super::*;
    use crate::role::principal::Principal;
    use crate::role::record::Roles;
    use crate::token::scope;

    #[test]
    fn a_scope_narrows_and_never_widens() {
        let principal = Principal::example(Some("acme"), &[("launcher", Some("web")), ("auditor", None)]);
        let grants = grants::resolve(&principal, &Roles::default());
        let ask = |text: &str| narrow(grants.clone(), &RequestedScope::parse(text).unwrap());
        assert_eq!(ask("").unwrap(), grants);
        let narrowed = ask("jobs.submit").unwrap();
        assert_eq!(narrowed.len(), 1);
        assert_eq!(grants::permissions(&narrowed).into_iter().collect::<Vec<_>>(), ["jobs.submit"]);
        for text in ["tenants.write", "nonsense", "jobs.submit tenants.write"] {
            assert!(matches!(ask(text), Err(InvalidScope::NotHeld(_))), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_the_token_holds_no_more_than_the_client(
            asked in proptest::collection::btree_set(
                proptest::sample::select(runwarden_kit::permission::Permission::ALL.iter().map(|p| p.name()).collect::<Vec<_>>()),
                0..5,
            )
        ) {
            let principal = Principal::example(Some("acme"), &[("launcher", Some("web")), ("cms-admin", None)]);
            let grants = grants::resolve(&principal, &Roles::default());
            let text = scope::join(asked.iter().copied());
            if let Ok(narrowed) = narrow(grants.clone(), &RequestedScope::parse(&text).unwrap()) {
                for grant in &narrowed {
                    let at = Scope::from(grant.scope.clone());
                    for permission in &grant.permissions {
                        proptest::prop_assert!(grants::hold(&grants, permission.parse().unwrap(), &at));
                        proptest::prop_assert!(asked.is_empty() || asked.contains(permission.as_str()));
                    }
                }
            }
        }
    }
}
