//! Authorisation as a value: [`Authorized`] is the proof that a caller may do one thing to something, and only the
//! check can make it. What needs a permission takes the proof, so that a forgotten check does not compile.
//!
//! ```
//! use runwarden_kit::access::{Authorized, Guarded, right};
//! use runwarden_kit::caller::{Caller, Scope};
//! use runwarden_kit::permission::Permission;
//! use runwarden_kit::tenant::TenantId;
//!
//! struct Door;
//!
//! impl Guarded for Door {
//!     const SEEN_WITH: Permission = Permission::ProjectsRead;
//!
//!     fn scope(&self) -> Scope {
//!         Scope::project(&TenantId::trusted("acme"), "web")
//!     }
//!
//!     fn missing() -> runwarden_kit::Error {
//!         runwarden_kit::Error::not_found("door")
//!     }
//! }
//!
//! fn open(_door: &Authorized<Door, right::ProjectsWrite>) {}
//!
//! let caller = Caller::example(&[Permission::ProjectsWrite], Scope::project(&TenantId::trusted("acme"), "web"));
//! let door = caller.authorize::<_, right::ProjectsWrite>(Door).unwrap();
//! open(&door);
//! ```
//!
//! A proof is not made by hand:
//!
//! ```compile_fail,E0423
//! # use runwarden_kit::access::{Authorized, right};
//! let door: Authorized<&str, right::ProjectsWrite> = Authorized("door", std::marker::PhantomData);
//! ```
//!
//! A permission that does not exist is neither a type nor a value:
//!
//! ```compile_fail,E0425
//! # use runwarden_kit::access::{Authorized, right};
//! fn open(_door: &Authorized<&str, right::ProjectsPaint>) {}
//! ```
//!
//! ```compile_fail,E0599
//! let paint = runwarden_kit::permission::Permission::ProjectsPaint;
//! ```

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::caller::{Caller, Scope};
use crate::error::{Error, Result};
use crate::permission::Permission;

/// Something that a caller needs a permission for.
pub trait Guarded {
    /// With this permission a caller sees that it exists, whatever else they may do to it.
    const SEEN_WITH: Permission;

    /// Where it is: the scope at which a permission is needed.
    fn scope(&self) -> Scope;

    /// The answer to a caller who may not see it: the same as if it did not exist.
    fn missing() -> Error;
}

impl<T: Guarded> Guarded for Arc<T> {
    const SEEN_WITH: Permission = T::SEEN_WITH;

    fn scope(&self) -> Scope {
        T::scope(self)
    }

    fn missing() -> Error {
        T::missing()
    }
}

/// A permission as a type, so that a signature can ask for it.
pub trait Right {
    /// The permission.
    const PERMISSION: Permission;
}

/// Each [`Permission`] as a type.
pub mod right {
    use super::{Permission, Right};

    macro_rules! rights {
        ($($name:ident)*) => {
            $(
                #[doc = concat!("[`Permission::", stringify!($name), "`].")]
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                pub enum $name {}

                impl Right for $name {
                    const PERMISSION: Permission = Permission::$name;
                }
            )*

            #[cfg(test)]
            pub(super) const ALL: &[Permission] = &[$($name::PERMISSION),*];
        };
    }

    rights! {
        AuditRead BindingsRead BindingsWrite CallbacksRead CallbacksWrite ClientsRead ClientsWrite ControllersRead ControllersWrite
        ControllersHint DeliveriesRead HooksRead HooksWrite JobsCancel JobsRead JobsResolve JobsSubmit KeysRead KeysRotate PoliciesRead PoliciesWrite ProjectsRead
        ProjectsWrite RolesRead RolesWrite SecretsList TemplatesRead TemplatesWrite TenantsRead TenantsWrite
        TokensIntrospect
    }
}

/// Something together with the proof that a caller holds a permission where it is. It was true at the moment of the
/// check: code that keeps one for long checks again, or ends with the caller's token.
#[derive(Debug)]
pub struct Authorized<T, R>(T, PhantomData<fn() -> R>);

impl<T, R> Authorized<T, R> {
    /// What it is about, without the proof.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T, R> Deref for Authorized<T, R> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Caller {
    /// Checks that this caller, acting for the tenant it acts for, holds a permission where something is.
    ///
    /// # Errors
    /// What [`Guarded::missing`] says if the caller may not see it either; `PERMISSION_DENIED` if only the permission
    /// is missing.
    pub fn authorize<T: Guarded, R: Right>(&self, thing: T) -> Result<Authorized<T, R>> {
        let scope = thing.scope();
        let seen = self.holds(T::SEEN_WITH, &scope) || self.holds(R::PERMISSION, &scope);
        if !seen || !self.acting_scope().covers(&scope) {
            return Err(T::missing());
        }
        self.require(R::PERMISSION, &scope)?;
        Ok(Authorized(thing, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reason::ErrorReason;
    use crate::tenant::TenantId;

    struct Door(Scope);

    impl Guarded for Door {
        const SEEN_WITH: Permission = Permission::ProjectsRead;

        fn scope(&self) -> Scope {
            self.0.clone()
        }

        fn missing() -> Error {
            Error::not_found("door")
        }
    }

    fn refusal(caller: &Caller, at: &Scope) -> Option<ErrorReason> {
        caller.authorize::<_, right::ProjectsWrite>(Door(at.clone())).err().map(|error| error.reason())
    }

    #[test]
    fn what_a_caller_may_not_see_is_missing_and_what_it_may_only_see_is_denied() {
        let web = Scope::project(&TenantId::trusted("acme"), "web");
        let may = |permissions: &[Permission], at: &Scope| Caller::example(permissions, at.clone());
        assert_eq!(refusal(&may(&[Permission::ProjectsWrite], &web), &web), None, "who may change it sees it");
        assert_eq!(refusal(&may(&[Permission::ProjectsRead], &web), &web), Some(ErrorReason::PermissionDenied));
        assert_eq!(refusal(&may(&[Permission::JobsRead], &web), &web), Some(ErrorReason::NotFound));
        let elsewhere = Scope::project(&TenantId::trusted("acme"), "db");
        assert_eq!(refusal(&may(&[Permission::ProjectsWrite], &elsewhere), &web), Some(ErrorReason::NotFound));
    }

    #[test]
    fn who_acts_for_one_tenant_reaches_no_other_whatever_it_holds() {
        let web = Scope::project(&TenantId::trusted("acme"), "web");
        let admin = Caller::example(&[Permission::ProjectsWrite], Scope::platform());
        assert_eq!(refusal(&admin, &web), None, "it acts for the platform");
        let for_acme = Caller { acting_tenant: Some(TenantId::trusted("acme")), ..admin.clone() };
        assert_eq!(refusal(&for_acme, &web), None);
        let for_umbrella = Caller { acting_tenant: Some(TenantId::trusted("umbrella")), ..admin };
        assert_eq!(refusal(&for_umbrella, &web), Some(ErrorReason::NotFound));
    }

    #[test]
    fn every_permission_is_a_type() {
        let all = |permissions: &[Permission]| permissions.iter().map(|one| one.name()).collect::<BTreeSet<_>>();
        assert_eq!(all(right::ALL), all(Permission::ALL));
    }
}
