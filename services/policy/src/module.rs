//! Policy modules: what they are, whose they are, and which of them decide together.

use runwarden_kit::clock::Moment;
use runwarden_rego::set::{ModuleText, Set, digest_of};
pub use runwarden_rego::set::{Named, Owner};

/// The most modules an owner may have.
pub const MAX_MODULES: usize = 100;
/// The most source text an owner may have.
pub const MAX_SET_BYTES: usize = 1024 * 1024;

/// A module as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// A slug, unique with its owner.
    pub name: String,
    /// The source.
    pub rego: String,
    /// SHA-256 of the source, hex.
    pub digest: String,
    /// Counts the changes of this module alone. A new module with the name of a removed one continues above it.
    pub revision: i64,
    /// When it was changed last.
    pub updated_at: Moment,
    /// Who changed it last.
    pub updated_by: String,
}

impl Module {
    /// What an engine needs of it.
    #[must_use]
    pub fn text(&self) -> ModuleText {
        ModuleText { name: self.name.clone(), rego: self.rego.clone() }
    }
}

/// Which modules an owner has: small enough to read for every decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The store's revision of it; 0 when the owner never had any.
    pub revision: i64,
    /// The modules, by name.
    pub modules: Vec<Named>,
}

impl Head {
    /// The digest of the whole set.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.modules)
    }
}

/// All of an owner's modules at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The store's revision of the head it belongs to; 0 when there is none.
    pub revision: i64,
    /// The highest revision that a module had which was removed.
    pub highest_removed: i64,
    /// The modules, by name.
    pub modules: Vec<Module>,
}

impl Shelf {
    /// One of them.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }

    /// The revision that a module of this name gets when it is stored now.
    #[must_use]
    pub fn next_revision(&self, name: &str) -> i64 {
        self.find(name).map_or(self.highest_removed, |module| module.revision).saturating_add(1)
    }

    /// By name and digest.
    #[must_use]
    pub fn named(&self) -> Vec<Named> {
        self.modules.iter().map(|module| Named { name: module.name.clone(), digest: module.digest.clone() }).collect()
    }

    /// The digest of the whole set, the same as its head's.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.named())
    }

    /// The set as it decides.
    #[must_use]
    pub fn set(&self) -> Set {
        Set { digest: self.digest(), named: self.named(), texts: self.texts() }
    }

    /// What an engine needs of them.
    #[must_use]
    pub fn texts(&self) -> Vec<ModuleText> {
        self.modules.iter().map(Module::text).collect()
    }
}
