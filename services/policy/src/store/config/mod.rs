//! Modules in a config store, whatever engine that has.

mod modules;

pub use modules::ConfigModules;
pub(crate) use modules::concern;
