//! `runwarden`: all services in one process on embedded stores, the guided demo, and the commands
//! of callers and operators.

mod api;
mod audit;
mod cli;
mod client;
#[cfg(feature = "demo")]
mod demo;
mod terminal;
mod up;

use std::process::ExitCode;

use clap::CommandFactory as _;

fn main() -> ExitCode {
    // Policies run in processes of their own, which are this program started once more: before anything else.
    runwarden_policy::worker::run_if_requested();
    match cli::read().command {
        cli::Command::Up(settings) => up::main(*settings),
        #[cfg(feature = "demo")]
        cli::Command::Demo(settings) => demo::main(*settings),
        cli::Command::Login(login) => client::login(&login),
        cli::Command::Logout(logout) => client::logout(&logout),
        cli::Command::Profiles(profiles) => client::profiles(&profiles),
        cli::Command::Templates(command) => client::templates(&command),
        cli::Command::Run(run) => client::run(&run),
        cli::Command::Jobs(command) => client::jobs(&command),
        cli::Command::Hooks(command) => client::hooks(&command),
        cli::Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::Arguments::command(), "runwarden", &mut script);
            client::completions(&script)
        }
        cli::Command::Audit(command) => audit::main(command),
    }
}
