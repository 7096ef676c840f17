//! Where to go, as whom, and how to show what came of it: what all commands that call the API have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use reqwest::Url;
use runwarden_kit::slug;

/// Where to go, and as whom, as flags say it. The variables with the same meaning are not read here: to clap a variable
/// is as good as a flag, and one in the environment would be in conflict with a flag that is there to replace it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where and who")]
pub(crate) struct Reach {
    /// The profile to use, as `runwarden login` stored it; the current one if nothing else says where to go
    /// [env: RUNWARDEN_PROFILE]
    #[arg(long, value_name = "NAME", value_parser = a_slug)]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// The tenant to act for; needed by platform administrators
    #[arg(long, env = "RUNWARDEN_TENANT", value_parser = a_slug)]
    pub(crate) tenant: Option<String>,
}

/// Where to go and as whom, without a profile.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where and who")]
pub(crate) struct Destination {
    /// The address, such as https://runwarden.example; operators' commands need the admin listener's
    /// [env: RUNWARDEN_URL]
    #[arg(long, value_parser = a_url)]
    pub(crate) url: Option<Url>,
    /// The data folder of a `runwarden up` on this machine: has the address of its admin listener and, while
    /// bootstrap.json is there, the credentials of its first administrator [env: RUNWARDEN_DATA_DIR]
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The OAuth client to act as [env: RUNWARDEN_CLIENT_ID]
    #[arg(long)]
    pub(crate) client_id: Option<String>,
    /// The file with its secret, or - for standard input; or set the variable RUNWARDEN_CLIENT_SECRET to the secret
    /// [env: RUNWARDEN_CLIENT_SECRET_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The certificate authorities to trust for the address, PEM; the system's if not given
    #[arg(long, env = "RUNWARDEN_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Allow an http:// address that is not on this machine; the secret then travels in clear text
    #[arg(long, env = "RUNWARDEN_ALLOW_PLAIN_HTTP")]
    pub(crate) allow_plain_http: bool,
}

/// How to print the answer, where to go, and as whom.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// How to print the answer.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Show {
    /// How to print the answer: for people, or as one JSON document for programs
    #[arg(short, long, value_enum, env = "RUNWARDEN_OUTPUT", default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// The same as --output json
    #[arg(long)]
    pub(crate) json: bool,
}

impl Show {
    /// Whether for programs.
    pub(crate) fn is_json(self) -> bool {
        self.json || self.output == Format::Json
    }
}

/// A form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Text with a name that the API takes.
pub(crate) fn a_slug(text: &str) -> Result<String, &'static str> {
    if slug::is_slug(text) {
        return Ok(text.to_owned());
    }
    Err(slug::RULE)
}

/// An id becomes a part of a path as it is.
pub(crate) fn an_id(text: &str) -> Result<String, &'static str> {
    if runwarden_edge::extract::path::is_id(text) { Ok(text.to_owned()) } else { Err("must be a job's id: job_…") }
}

/// An address of the API.
pub(crate) fn a_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an address such as https://runwarden.example")?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && url.fragment().is_none() {
        return Ok(url);
    }
    Err("must be http:// or https:// with a host, and nothing after its path")
}
