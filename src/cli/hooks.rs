//! The command line of `runwarden hooks`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::reach::{Reach, Show, a_slug};

/// What to do with hooks.
#[derive(Subcommand)]
pub(crate) enum Hooks {
    /// Try out what a hook would do with an event: its filter, its parameters, the schema and the policies; nothing is
    /// launched
    #[command(after_help = "\
Examples:
  runwarden hooks test deploy-on-push --delivery dlv_01990f9a0c6f7c52b8f54ee30bd5d1a1
  runwarden hooks test deploy-on-push --event push --body push.json
  runwarden hooks test deploy-on-push --event push --body push.json --module new.rego   # before it is stored

Exit codes: 0 if a job would be accepted, 4 if not. It needs the admin listener's address.")]
    Test(TestHook),
}

/// What to try.
#[derive(Args)]
pub(crate) struct TestHook {
    /// The hook's name
    #[arg(value_parser = a_slug)]
    pub(crate) hook: String,
    /// Try a stored delivery
    #[arg(long, value_name = "ID", value_parser = a_delivery, conflicts_with_all = ["event", "body"], required_unless_present = "body")]
    pub(crate) delivery: Option<String>,
    /// Try an event with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Try an event with this body: a file with JSON, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// Try this module instead of the hook's: a file with Rego
    #[arg(long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

fn a_delivery(text: &str) -> Result<String, &'static str> {
    if runwarden_edge::extract::path::is_id(text) {
        Ok(text.to_owned())
    } else {
        Err("must be a delivery's id: dlv_…")
    }
}
