//! The settings of this service.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::module::Owner;
use crate::worker::Settings;

/// Whose modules executors may evaluate in their own process, if the modules pass the check for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum InProcess {
    /// Nobody's
    None,
    /// The platform's, whose authors run the installation
    #[default]
    Platform,
    /// The platform's and every tenant's
    All,
}

impl InProcess {
    /// Whether this owner's may be.
    #[must_use]
    pub fn includes(self, owner: &Owner) -> bool {
        match self {
            Self::None => false,
            Self::Platform => *owner == Owner::Platform,
            Self::All => true,
        }
    }
}

/// The settings of the policy service.
#[derive(Debug, Clone, Args)]
#[group(id = "policy_settings")]
pub struct Config {
    /// The program to start, with `policy-worker` as its first argument, to run policies; this program itself if not
    /// set
    #[arg(
        id = "policy_worker_command",
        value_name = "PROGRAM",
        long = "policy-worker-command",
        env = "RUNWARDEN_POLICY_WORKER_COMMAND"
    )]
    pub worker_command: Option<PathBuf>,
    /// How many worker processes wait for decisions
    #[arg(
        id = "policy_workers",
        value_name = "COUNT",
        long = "policy-workers",
        env = "RUNWARDEN_POLICY_WORKERS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=64)
    )]
    pub workers: u8,
    /// The memory a worker may take, in MiB
    #[arg(
        id = "policy_worker_memory_mib",
        value_name = "MIB",
        long = "policy-worker-memory-mib",
        env = "RUNWARDEN_POLICY_WORKER_MEMORY_MIB",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(256..=16384)
    )]
    pub worker_memory_mib: u32,
    /// How long evaluating one request may take; after that it is denied
    #[arg(
        id = "policy_decision_time",
        value_name = "TIME",
        long = "policy-decision-time",
        env = "RUNWARDEN_POLICY_DECISION_TIME",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    pub decision_time: Duration,
    /// How long compiling a tenant's modules may take
    #[arg(
        id = "policy_compile_time",
        value_name = "TIME",
        long = "policy-compile-time",
        env = "RUNWARDEN_POLICY_COMPILE_TIME",
        default_value = "5s",
        value_parser = humantime::parse_duration
    )]
    pub compile_time: Duration,
    /// How long a decision may wait for a free worker
    #[arg(
        id = "policy_queue_time",
        value_name = "TIME",
        long = "policy-queue-time",
        env = "RUNWARDEN_POLICY_QUEUE_TIME",
        default_value = "3s",
        value_parser = humantime::parse_duration
    )]
    pub queue_time: Duration,
    /// Whose policies the executor may evaluate in its own process, if they pass a check of their text; all others run
    /// in worker processes. `all` is for installations that trust the authors of every tenant's policies
    #[arg(
        id = "policy_in_process",
        value_name = "WHOSE",
        long = "policy-in-process",
        env = "RUNWARDEN_POLICY_IN_PROCESS",
        value_enum,
        default_value_t = InProcess::Platform
    )]
    pub in_process: InProcess,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            worker_command: None,
            workers: 2,
            worker_memory_mib: 512,
            decision_time: Duration::from_secs(2),
            compile_time: Duration::from_secs(5),
            queue_time: Duration::from_secs(3),
            in_process: InProcess::Platform,
        }
    }
}

impl Config {
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let command = match &self.worker_command {
            Some(command) => command.clone(),
            None => own_program()?,
        };
        Ok(Settings {
            command,
            workers: self.workers.into(),
            memory_bytes: u64::from(self.worker_memory_mib) * 1024 * 1024,
            decision: self.decision_time,
            compilation: self.compile_time,
            queue: self.queue_time,
        })
    }
}

/// This very program: where the system offers it, also after its file was replaced by another
/// version, whose workers speak another protocol.
fn own_program() -> anyhow::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Ok(running);
    }
    std::env::current_exe().context("finding this program, to start it as a policy worker")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_command_lines_defaults_are_the_defaults() {
        let parsed = Line::parse_from(["policy"]).config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }
}
