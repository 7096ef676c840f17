//! The frame of every process.

use std::process::ExitCode;
use std::time::Duration;

use super::STOP_LIMIT;
use crate::lifecycle::{Shutdown, Tasks};
use crate::stdio::say;
use crate::telemetry::{self, TelemetryArgs};

/// Telemetry, signals, start, wait, orderly stop, exit code: 0 only if nothing failed.
pub fn run_process<F, Fut>(name: &str, telemetry: &TelemetryArgs, start: F) -> ExitCode
where
    F: FnOnce(Tasks) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    // Databases and all other files are private to this user, wherever they are.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("{name}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let reporting = telemetry::init(name, telemetry)?;
        let shutdown = Shutdown::new();
        shutdown.on_signals();
        let tasks = Tasks::new(shutdown.clone());
        let metrics = reporting.serve_metrics(shutdown.clone()).await?;
        if let Some(address) = metrics {
            tracing::info!(%address, "metrics at /metrics");
        }
        let started = tokio::select! {
            started = start(tasks.clone()) => started,
            // A shutdown signal during the start is not a failure.
            () = shutdown.begun() => Ok(()),
        };
        if started.is_ok() {
            shutdown.begun().await;
        }
        shutdown.begin();
        let clean = tasks.join(STOP_LIMIT).await;
        reporting.flush().await;
        started?;
        if let Some(why) = shutdown.failure() {
            anyhow::bail!("stopped because {why}");
        }
        anyhow::ensure!(clean, "some tasks did not end in time");
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
