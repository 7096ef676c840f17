//! `runwarden demo`: the whole course of a job, shown as it happens. It uses the REST API like any caller.

mod api;
mod next;
mod story;
mod tell;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use runwarden_kit::lifecycle::Tasks;
use runwarden_kit::service::run_process;
use runwarden_kit::telemetry::TelemetryArgs;
use runwarden_sandbox::{Options, Sandbox};

use crate::cli::{Arguments, Command, Demo, Up};
use crate::terminal::announce;
use crate::up;
use tell::Teller;

/// `runwarden demo`.
pub(crate) fn main(settings: Demo) -> ExitCode {
    let telemetry = TelemetryArgs {
        log: settings.log.clone(),
        otlp_endpoint: settings.otlp_endpoint.clone(),
        ..TelemetryArgs::default()
    };
    run_process("runwarden", &telemetry, move |tasks| async move {
        if !settings.once {
            up::say_when_stopping(&tasks);
        }
        let teller = Teller::new();
        let went_well = Box::pin(run(&settings, &tasks, &teller)).await?;
        if settings.once {
            tasks.shutdown().begin();
            anyhow::ensure!(went_well, "the demo failed");
        }
        Ok(())
    })
}

async fn run(settings: &Demo, tasks: &Tasks, teller: &Teller) -> anyhow::Result<bool> {
    teller.step("Starting every service in this process, each behind its own certificate");
    // Before anything is touched in it: where another one runs its sandbox must stay as it is.
    let layout = up::Layout::open(&settings.data_dir)?;
    let sandbox = start_sandbox(&settings.data_dir).await?;
    teller.part("   sandbox controller");
    let running =
        Box::pin(up::start(up_settings(settings)?, None, layout, tasks, |part| teller.part(&format!(" · {part}"))))
            .await?;
    announce("");
    teller.good(&format!(
        "ready on {} in {:.1} s, state in {}",
        running.base_url,
        teller.elapsed(),
        settings.data_dir.display()
    ));
    teller.say(match sandbox.engine() {
        "ansible" => "The sandbox controller is an AWX stand-in that runs real playbooks with your ansible-playbook.",
        _ => "The sandbox controller is an AWX stand-in; without ansible-playbook on the PATH it simulates playbooks.",
    });
    let story = Box::pin(story::tell(&running, &sandbox, teller)).await;
    // The sandbox lives as long as everything else.
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("sandbox controller", async move {
        shutdown.begun().await;
        sandbox.stop().await;
    });
    let told = story?;
    if !settings.once {
        next::tell(&running, &told, teller)?;
    }
    Ok(told.went_well)
}

/// The settings of `up` for the demo: its defaults, read from a command line so that there is one source of them.
fn up_settings(settings: &Demo) -> anyhow::Result<Up> {
    let arguments = Arguments::try_parse_from(["runwarden", "up"])?;
    let Command::Up(mut up) = arguments.command else { bail!("`up` is a command") };
    up.edge.listen = up::prefer(settings.listen);
    up.edge.admin_listen = up::prefer(settings.admin_listen);
    Ok(*up)
}

/// Starts the sandbox controller where it was the last time, if that is still free.
async fn start_sandbox(data_dir: &Path) -> anyhow::Result<Sandbox> {
    let note = data_dir.join("sandbox-address");
    let before = std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok());
    let mut options = Options { data_dir: Some(data_dir.join("sandbox")), ..Options::default() };
    if let Some(address) = before {
        options.listen = up::prefer(address);
    }
    let sandbox = Sandbox::start(options).await.context("starting the sandbox controller")?;
    std::fs::write(&note, sandbox.address().to_string())?;
    Ok(sandbox)
}
