//! The command line of `runwarden login`, `logout` and `profiles`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::reach::{Destination, Show, a_slug};

/// Who to be from now on.
#[derive(Args)]
pub(crate) struct Login {
    /// The profile's name
    #[arg(long, env = "RUNWARDEN_PROFILE", value_name = "NAME", default_value = "default", value_parser = a_slug)]
    pub(crate) profile: String,
    /// A file with the client's id and secret: what `POST /api/v1/clients` answered, or `ID:SECRET`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client_id", "client_secret_file", "data_dir"])]
    pub(crate) credentials: Option<PathBuf>,
    /// The tenant to act for, kept in the profile; needed by platform administrators
    #[arg(long, env = "RUNWARDEN_TENANT", value_parser = a_slug)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) destination: Destination,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Which profiles to remove.
#[derive(Args)]
pub(crate) struct Logout {
    /// The profile to remove; the current one if not given [env: RUNWARDEN_PROFILE]
    #[arg(long, value_name = "NAME", value_parser = a_slug)]
    pub(crate) profile: Option<String>,
    /// Remove all of them
    #[arg(long, conflicts_with = "profile")]
    pub(crate) all: bool,
}

/// What to do about profiles; lists them by default.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Profiles {
    #[command(subcommand)]
    pub(crate) command: Option<ProfilesCommand>,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// What to do about profiles.
#[derive(Subcommand)]
pub(crate) enum ProfilesCommand {
    /// List the profiles, without their secrets
    List {
        #[command(flatten)]
        show: Show,
    },
    /// Make a profile the current one
    Use {
        /// Its name
        #[arg(value_parser = a_slug)]
        profile: String,
    },
}
