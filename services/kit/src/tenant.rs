//! A tenant's name as a type: what separates tenants is not passed around as just another text.
//!
//! ```
//! use runwarden_kit::caller::Scope;
//! use runwarden_kit::tenant::TenantId;
//!
//! let tenant: TenantId = "acme".parse().unwrap();
//! let scope = Scope::project(&tenant, "web");
//! ```
//!
//! A tenant and a project cannot be swapped:
//!
//! ```compile_fail,E0308
//! # use runwarden_kit::{caller::Scope, tenant::TenantId};
//! # let tenant: TenantId = "acme".parse().unwrap();
//! let scope = Scope::project("web", &tenant);
//! ```
//!
//! And a text is not a tenant before it was parsed:
//!
//! ```compile_fail,E0308
//! # use runwarden_kit::caller::Scope;
//! let scope = Scope::tenant("acme");
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::slug;

/// The name of a tenant: a slug. It reads like a `&str`; a `&str` does not become one without being checked. Clones
/// share the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant that somebody named at `pointer`.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` with the pointer when it is not a slug.
    pub fn named(pointer: &str, text: &str) -> Result<Self> {
        slug::check(pointer, text)?;
        Ok(Self(text.into()))
    }

    /// A tenant from where only checked names are kept: our own storage, or another service's answer. Not checked again.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a tenant of our own storage, for `#[serde(deserialize_with)]`: as [`TenantId::trusted`]. Everywhere else a tenant
/// is checked as it is read.
///
/// # Errors
/// When there is no text.
pub fn stored<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<TenantId, D::Error> {
    String::deserialize(from).map(|text| TenantId::trusted(&text))
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::named("", text)
    }
}

impl TryFrom<String> for TenantId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.as_str().to_owned()
    }
}

impl Deref for TenantId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for TenantId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slug_becomes_a_tenant() {
        for wrong in ["", "_platform", "Acme", "a/b", "-a"] {
            assert!(wrong.parse::<TenantId>().is_err(), "{wrong:?}");
            assert!(serde_json::from_value::<TenantId>(wrong.into()).is_err(), "{wrong:?}");
        }
        let acme: TenantId = serde_json::from_value("acme".into()).unwrap();
        assert_eq!((acme.as_str(), serde_json::to_value(&acme).unwrap()), ("acme", "acme".into()));
    }
}
