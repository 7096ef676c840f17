//! Callers can grant only what they hold, be it as a role, as a client with that role, or as a secret for such a
//! client. And they cannot take rights from a principal that holds more.

use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::{Error, Result};

use crate::role::grants;
use crate::role::principal::Principal;
use crate::role::record::Roles;

/// Demands that the caller holds every one of these permissions at the scope, to give them away.
pub(crate) fn require_all<'a>(
    caller: &Caller,
    permissions: impl IntoIterator<Item = &'a str>,
    at: &Scope,
) -> Result<()> {
    require(caller, permissions, at, "You can only grant permissions that you hold yourself.")
}

/// Whether the caller holds a permission that a role names. Nobody holds a permission that this version does not know.
fn holds(caller: &Caller, permission: &str, at: &Scope) -> bool {
    permission.parse().is_ok_and(|permission| caller.holds(permission, at))
}

fn require<'a>(caller: &Caller, permissions: impl IntoIterator<Item = &'a str>, at: &Scope, why: &str) -> Result<()> {
    let missing: Vec<&str> = permissions.into_iter().filter(|permission| !holds(caller, permission, at)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::denied(format!("{why} At {at} you lack: {}.", missing.join(", "))))
}

/// Demands that the caller holds all that a role permits, at the scope where it is to hold.
pub(crate) fn require_role(caller: &Caller, roles: &Roles, role: &str, at: &Scope, pointer: &str) -> Result<()> {
    let permissions =
        roles.permissions(role).ok_or_else(|| Error::invalid(pointer, format!("there is no role {role:?} here")))?;
    require_all(caller, permissions, at)
}

/// Requires that the caller holds everything a principal holds: its secret lets the caller act as it, and a caller with
/// fewer rights must not take any from it.
pub(crate) fn require_principal(caller: &Caller, roles: &Roles, principal: &Principal) -> Result<()> {
    for grant in grants::resolve(principal, roles) {
        let at = Scope::from(grant.scope.clone());
        let permissions = grant.permissions.iter().map(String::as_str);
        require(caller, permissions, &at, "To change a principal you must hold every permission it holds.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_kit::permission::Permission;
    use runwarden_kit::tenant::TenantId;

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let caller = Caller::example(&[Permission::JobsRead], Scope::project(&TenantId::trusted("acme"), "web"));
        let web = Scope::project(&TenantId::trusted("acme"), "web");
        assert!(require_all(&caller, ["jobs.read"], &web).is_ok());
        let error = require_all(&caller, ["jobs.read", "jobs.submit"], &web).unwrap_err();
        assert!(error.detail().contains("jobs.submit") && !error.detail().contains("jobs.read"));
        assert!(require_all(&caller, ["jobs.read"], &Scope::tenant(&TenantId::trusted("acme"))).is_err());
    }

    #[test]
    fn an_unknown_role_is_a_mistake_in_the_request() {
        let caller = Caller::example(&[Permission::JobsRead], Scope::platform());
        let error = require_role(&caller, &Roles::default(), "nope", &Scope::platform(), "/roles/0").unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/roles/0");
    }
}
