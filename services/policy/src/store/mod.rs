//! Where modules are kept.

mod config;

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::audit::Entry;

pub use config::ConfigModules;
pub(crate) use config::concern;

use crate::module::{Head, Module, Owner, Shelf};

/// What shall become of a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// This module stands there.
    Put(Module),
    /// The module of this name is gone.
    Remove(String),
}

/// How saving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is durable.
    Done,
    /// Somebody else changed the shelf in between; nothing happened.
    Overtaken,
}

/// Keeps modules. An owner's modules change one at a time, and only as a whole: the set that was
/// tried is the set that is stored.
#[async_trait]
pub trait ModuleStore: Send + Sync + 'static {
    /// Which modules an owner has.
    async fn head(&self, owner: &Owner) -> Result<Head>;

    /// All of an owner's modules, from one moment.
    async fn shelf(&self, owner: &Owner) -> Result<Shelf>;

    /// Changes a shelf as it was read, together with the record of it.
    async fn save(&self, owner: &Owner, read: &Shelf, edit: Edit, entry: Entry) -> Result<Saved>;
}
