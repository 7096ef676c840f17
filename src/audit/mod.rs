//! `runwarden audit`: the offline proof, and what an operator does beside the services.

mod accept;
mod aside;
mod stores;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{Audit, SetAside};

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
            eprintln!("runwarden audit: {error:#}");
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

/// The audit service's own folder: `up` keeps each service's state in a folder of its own; a service by itself does not.
fn audit_folder(folder: &Path) -> PathBuf {
    let nested = folder.join("audit");
    if nested.is_dir() { nested } else { folder.to_owned() }
}
