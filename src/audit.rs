//! `runwarden audit verify`: offline proof.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use runwarden_audit::cli::{Records, Reports, verify_database, verify_export, verify_files};

use crate::cli::{Audit, Verify};

/// `runwarden audit …`.
pub(crate) fn main(command: Audit) -> ExitCode {
    let Audit::Verify(verify) = command;
    match run(verify) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("runwarden audit verify: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(verify: Verify) -> anyhow::Result<bool> {
    let reports = match (&verify.records, &verify.data_dir) {
        (Some(records), None) => {
            let key = verify.key.as_deref().context("--key is needed with --records")?;
            anyhow::ensure!(verify.since.len() <= 1, "--since can be given once with --records");
            let (records, since) = (Records::from(records.as_path()), verify.since.first().map(PathBuf::as_path));
            vec![match &verify.checkpoint {
                Some(checkpoint) => verify_files(records, checkpoint, key, since)?,
                None => verify_export(records, key, since)?,
            }]
        }
        (None, Some(folder)) => {
            // `up` keeps each service's state in a folder of its own; a service by itself does not.
            let nested = folder.join("audit");
            let folder = if nested.is_dir() { nested } else { folder.clone() };
            let path = runwarden_audit::database_path(&folder);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(verify_database(&path, verify.key.as_deref(), &verify.since))?
        }
        (Some(_), Some(_)) | (None, None) => anyhow::bail!("give either --records or --data-dir"),
    };
    let reports = Reports(&reports);
    println!("{reports}");
    Ok(reports.are_whole())
}
