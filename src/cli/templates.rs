//! The command line of `runwarden templates`.

use clap::{Args, Subcommand};

use super::reach::{Reach, Show, a_slug};

/// What to know about templates.
#[derive(Subcommand)]
pub(crate) enum Templates {
    /// List the templates that you may see
    List(ListTemplates),
    /// Show a template: what it runs, and the parameters that it takes
    Show(ShowTemplate),
}

/// Which templates.
#[derive(Args)]
pub(crate) struct ListTemplates {
    /// Only templates of this project
    #[arg(long, value_parser = a_slug)]
    pub(crate) project: Option<String>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// One template.
#[derive(Args)]
pub(crate) struct ShowTemplate {
    /// Its name
    #[arg(value_parser = a_slug)]
    pub(crate) template: String,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) reach: Reach,
}
