//! `runwarden audit …`: what there is to say on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The three ways to call `verify`, each with what it needs.
const VERIFY_USAGE: &str = "\
runwarden audit verify --records <EXPORT> --key <KEY> [OPTIONS]
       runwarden audit verify --records <RECORDS> --checkpoint <CHECKPOINT> --key <KEY> [OPTIONS]
       runwarden audit verify --data-dir <DATA_DIR> [OPTIONS]";

/// What to do about the audit log.
#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Verify that nothing was changed, removed or reordered; exit 0 only if all is whole
    #[command(override_usage = VERIFY_USAGE, after_help = "\
Examples:
  # what GET /api/v1/audit/export answered, on any machine; it ends with the checkpoint that covers it:
  runwarden audit verify --records export.ndjson --key 'runwarden-audit/acme+…'
  # records with a checkpoint that came another way, such as from GET /api/v1/audit/checkpoint:
  runwarden audit verify --records records.ndjson --checkpoint checkpoint.txt --key 'runwarden-audit/acme+…'
  # every log of a data folder, while it runs or not:
  runwarden audit verify --data-dir runwarden-data --since kept-elsewhere.txt")]
    Verify(Verify),
    /// Print how much of each log every service has seen, for a comparison elsewhere: one JSON line each
    Seen(Folder),
    /// After restoring the audit folder from a backup: accept that its logs are older than what services saw
    #[command(after_help = "\
Stop Runwarden (or the audit service) first. The reason becomes a record in each of the logs.

Example:
  runwarden audit accept-restore --data-dir runwarden-data --all --reason 'disk failed, backup of 02:00'")]
    AcceptRestore(AcceptRestore),
    /// Look after entries that the audit log refused
    #[command(subcommand)]
    SetAside(SetAside),
}

/// A data folder.
#[derive(Args)]
pub(crate) struct Folder {
    /// The data folder of `up`, or a service's own
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// The executors' jobs file, if it is not in the data folder
    #[arg(long)]
    pub(crate) jobs_file: Option<PathBuf>,
}

/// What to verify.
#[derive(Args)]
pub(crate) struct Verify {
    /// Exported records, one JSON line each from index 0; - for standard input
    #[arg(long, requires = "key", conflicts_with = "data_dir", required_unless_present = "data_dir")]
    pub(crate) records: Option<PathBuf>,
    /// The signed checkpoint that covers them; not needed if the export ends with it
    #[arg(long, requires = "records")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The log's verifier key (`verifier_key` of a checkpoint), from a source you trust
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The data folder of `up`, or the audit service's own: verifies every log in it
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The executors' jobs file, if it is not in the data folder
    #[arg(long, requires = "data_dir")]
    pub(crate) jobs_file: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must have only grown since
    #[arg(long)]
    pub(crate) since: Vec<PathBuf>,
    /// What services saw of the logs, as `runwarden audit seen` printed it where they run
    #[arg(long, requires = "data_dir")]
    pub(crate) seen: Vec<PathBuf>,
}

/// What to accept.
#[derive(Args)]
pub(crate) struct AcceptRestore {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The log of this tenant
    #[arg(long, required_unless_present_any = ["platform", "all"])]
    pub(crate) tenant: Vec<String>,
    /// The platform's own log
    #[arg(long)]
    pub(crate) platform: bool,
    /// Every log that is older than what the services in this folder saw
    #[arg(long, conflicts_with_all = ["tenant", "platform"])]
    pub(crate) all: bool,
    /// What services saw of the logs, as `runwarden audit seen` printed it where they run
    #[arg(long)]
    pub(crate) seen: Vec<PathBuf>,
    /// Why, for those who read the log
    #[arg(long)]
    pub(crate) reason: String,
}

/// What to do about refused entries.
#[derive(Subcommand)]
pub(crate) enum SetAside {
    /// List them with the reason each was refused for, one JSON line each
    List(Folder),
    /// Send them again, for example after an upgrade that accepts them
    SendAgain(SendAgain),
}

/// What to send again.
#[derive(Args)]
pub(crate) struct SendAgain {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The entry with this id
    #[arg(long, required_unless_present = "all")]
    pub(crate) entry: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "entry")]
    pub(crate) all: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Arguments;

    #[test]
    fn verify_names_the_three_ways_to_call_it_whatever_is_missing() {
        for line in
            [&[][..], &["--records", "r"], &["--data-dir", "d", "--records", "r", "--key", "k"], &["--key", "k"]]
        {
            let line = [&["runwarden", "audit", "verify"], line].concat();
            let Err(error) = Arguments::try_parse_from(&line) else { panic!("{line:?} makes sense") };
            let text = error.to_string();
            for way in ["--records <EXPORT> --key", "--records <RECORDS> --checkpoint", "--data-dir <DATA_DIR> ["] {
                assert!(text.contains(&format!("runwarden audit verify {way}")), "{line:?}: {text}");
            }
        }
    }
}
