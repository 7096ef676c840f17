//! The settings of the hook service.

use clap::Args;

/// The settings of the hook service.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "hook_settings")]
pub struct Config {}
