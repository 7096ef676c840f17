//! Sets of modules: whose they are, and what names them.

use runwarden_kit::json;
use runwarden_kit::tenant::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Whose modules these are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The platform's: they decide about every tenant.
    Platform,
    /// A tenant's: they decide about it alone.
    Tenant(TenantId),
}

impl Owner {
    /// Whose modules somebody who acts for this tenant, or for none, works on.
    #[must_use]
    pub fn of(tenant: Option<&TenantId>) -> Self {
        tenant.map_or(Self::Platform, |tenant| Self::Tenant(tenant.clone()))
    }

    /// As a part of a key. No tenant's name begins with an underscore.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Platform => "_platform",
            Self::Tenant(tenant) => tenant,
        }
    }

    /// The tenant; empty for the platform.
    #[must_use]
    pub fn tenant(&self) -> &str {
        match self {
            Self::Platform => "",
            Self::Tenant(tenant) => tenant,
        }
    }

    /// For people, as the owner of something: "the platform's".
    #[must_use]
    pub fn possessive(&self) -> &'static str {
        match self {
            Self::Platform => "the platform's",
            Self::Tenant(_) => "the tenant's",
        }
    }
}

/// A module as an engine needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleText {
    /// Its name, for messages about it.
    pub name: String,
    /// Its source.
    pub rego: String,
}

/// A module by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The module's name.
    pub name: String,
    /// The digest of its source.
    pub digest: String,
}

impl Named {
    /// A module's name and digest.
    #[must_use]
    pub fn of(module: &ModuleText) -> Self {
        Self { name: module.name.clone(), digest: json::sha256_hex(module.rego.as_bytes()) }
    }
}

/// An owner's modules as they decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The digest of all of it.
    pub digest: String,
    /// The modules by name and digest, in the order of their names.
    pub named: Vec<Named>,
    /// Their text, in the same order.
    pub texts: Vec<ModuleText>,
}

impl Set {
    /// The set of these modules.
    #[must_use]
    pub fn of(mut texts: Vec<ModuleText>) -> Self {
        texts.sort_by(|one, other| one.name.cmp(&other.name));
        let named: Vec<Named> = texts.iter().map(Named::of).collect();
        Self { digest: digest_of(&named), named, texts }
    }
}

/// The digest of a whole set.
#[must_use]
pub fn digest_of(modules: &[Named]) -> String {
    let modules: Vec<_> = modules.iter().map(|module| json!([module.name, module.digest])).collect();
    json::digest(&json!(modules))
}
