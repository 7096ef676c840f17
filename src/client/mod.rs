//! The commands for users of Runwarden: they call the REST API like any other program.

// They panic where nobody reads any more; `terminal` has what does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod accepted;
mod failure;
mod follow;
mod hooks;
mod input;
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
mod target;
mod templates;
mod view;

use std::process::ExitCode;

use failure::{Exit, Failure};
use interrupt::{insist, unless_interrupted};

use crate::cli::{Hooks, Jobs, Login, Logout, Profiles, Run, Templates};
use crate::terminal::{print, say};

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
    let (_, show) = command.common();
    finish(command.name(), show.is_json(), self::jobs::run(command))
}

/// `runwarden hooks …`.
pub(crate) fn hooks(command: &Hooks) -> ExitCode {
    let Hooks::Test(test) = command;
    finish("hooks test", test.show.is_json(), self::hooks::run(command))
}

/// `runwarden completions`: prints the script.
pub(crate) fn completions(script: &[u8]) -> ExitCode {
    finish("completions", false, async { Ok(print(script).map(|()| Exit::Well)?) })
}

/// Does it, says what went wrong, and ends as the table of exit codes says.
fn finish(name: &str, as_json: bool, work: impl Future<Output = Result<Exit, Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("runwarden {name}: {error}"));
            return Exit::Broken.into();
        }
    };
    // The work has this thread and may block it; the other one sees to it that the process can be ended all the same.
    runtime.spawn(insist());
    let interrupted = || Failure::new(Exit::Interrupted, "interrupted");
    let outcome = runtime.block_on(unless_interrupted(Box::pin(work), interrupted));
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
