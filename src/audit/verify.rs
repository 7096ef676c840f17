//! `runwarden audit verify` and `runwarden audit seen`.

use std::path::PathBuf;

use anyhow::Context as _;
use runwarden_audit::cli::{Against, Records, Verdict, verify_database, verify_export, verify_files};

use super::{audit_folder, print_line, stores};
use crate::cli::{Folder, Verify};
use crate::terminal::say;

pub(super) async fn run(verify: Verify) -> anyhow::Result<bool> {
    let verdict = match (&verify.records, &verify.data_dir) {
        (Some(records), None) => exported(&verify, Records::from(records.as_path()))?,
        (None, Some(data_dir)) => {
            let folder = Folder { data_dir: data_dir.clone(), jobs_file: verify.jobs_file.clone() };
            // Before the logs are opened: then no service can have seen more than they have.
            let known = stores::known(&folder, &verify.seen).await?;
            let path = runwarden_audit::database_path(&audit_folder(data_dir));
            let against = Against { key: verify.key.as_deref(), since: &verify.since, known };
            verify_database(&path, against).await?
        }
        (Some(_), Some(_)) | (None, None) => anyhow::bail!("say what to verify: --records with --key, or --data-dir"),
    };
    print_line(&verdict)?;
    Ok(verdict.is_whole())
}

fn exported(verify: &Verify, records: Records<'_>) -> anyhow::Result<Verdict> {
    let key = verify.key.as_deref().context("--key is needed with --records")?;
    anyhow::ensure!(verify.since.len() <= 1, "--since can be given once with --records");
    let since = verify.since.first().map(PathBuf::as_path);
    let report = match &verify.checkpoint {
        Some(checkpoint) => verify_files(records, checkpoint, key, since)?,
        None => verify_export(records, key, since)?,
    };
    let mut verdict = Verdict::from(report);
    if since.is_none() {
        let nothing = "an earlier checkpoint (--since); an export of an older copy of the log looks whole";
        verdict.uncompared.push(nothing.to_owned());
    }
    Ok(verdict)
}

pub(super) async fn print_seen(folder: &Folder) -> anyhow::Result<bool> {
    let known = stores::known(folder, &[]).await?;
    for seen in &known.seen {
        print_line(serde_json::to_string(seen)?)?;
    }
    for unasked in &known.unasked {
        say(format_args!("Not asked: {unasked}."));
    }
    Ok(!known.asked.is_empty())
}
