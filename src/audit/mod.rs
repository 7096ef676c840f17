//! `runwarden audit`: the offline proof, and what an operator does beside the services.

mod accept;
mod aside;
mod stores;
mod verify;

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Audit, SetAside};
use crate::terminal::{print, say};

/// `runwarden audit …`.
pub(crate) fn main(command: Audit) -> ExitCode {
    let done = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("runwarden audit: {error:#}"));
            ExitCode::from(2)
        }
    }
}

async fn run(command: Audit) -> anyhow::Result<bool> {
    match command {
        Audit::Verify(verify) => verify::run(verify).await,
        Audit::Seen(folder) => verify::print_seen(&folder).await,
        Audit::AcceptRestore(accept) => accept::run(accept).await,
        Audit::SetAside(SetAside::List(folder)) => aside::list(&folder).await,
        Audit::SetAside(SetAside::SendAgain(again)) => aside::send_again(&again).await,
    }
}

/// Prints a line of what was asked for. A reader that has gone wants no more of it, which is not a failure.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
fn print_line(line: impl Display) -> anyhow::Result<()> {
    match print(format!("{line}\n").as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

/// The audit service's own folder: `up` keeps each service's state in a folder of its own; a service by itself does not.
fn audit_folder(folder: &Path) -> PathBuf {
    let nested = folder.join("audit");
    if nested.is_dir() { nested } else { folder.to_owned() }
}
