//! The commands of whoever uses Runwarden: they call the REST API like any other program.

mod failure;
mod follow;
mod interrupt;
mod jobs;
mod login;
mod output;
mod pages;
mod parameters;
mod profiles;
mod prompt;
mod reach;
mod render;
mod run;
mod templates;
mod view;

use std::process::ExitCode;

use failure::{Exit, Failure};

use crate::cli::{Jobs, Login, Logout, Profiles, Run, Templates};

/// `runwarden login`.
pub(crate) fn login(login: &Login) -> ExitCode {
    finish("login", login.show.is_json(), self::login::login(login))
}

/// `runwarden logout`.
pub(crate) fn logout(logout: &Logout) -> ExitCode {
    finish("logout", false, async { self::login::logout(logout) })
}

/// `runwarden profiles`.
pub(crate) fn profiles(profiles: &Profiles) -> ExitCode {
    finish("profiles", profiles.show.is_json(), async { self::login::profiles(profiles) })
}

/// `runwarden templates …`.
pub(crate) fn templates(command: &Templates) -> ExitCode {
    let (name, show) = match command {
        Templates::List(list) => ("templates list", list.show),
        Templates::Show(show) => ("templates show", show.show),
    };
    finish(name, show.is_json(), self::templates::run(command))
}

/// `runwarden run …`.
pub(crate) fn run(run: &Run) -> ExitCode {
    finish("run", run.show.is_json(), self::run::run(run))
}

/// `runwarden jobs …`.
pub(crate) fn jobs(command: &Jobs) -> ExitCode {
    finish(command.name(), command.is_json(), self::jobs::run(command))
}

/// Does it, says what went wrong, and ends as the table of exit codes says.
fn finish(name: &str, as_json: bool, work: impl Future<Output = Result<Exit, Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("runwarden {name}: {error}");
            return Exit::Broken.into();
        }
    };
    let outcome = runtime.block_on(Box::pin(work));
    // A thread that waits for a person who will not answer is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.tell(name, as_json);
            failure.exit.into()
        }
    }
}
