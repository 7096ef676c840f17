//! The whole of Runwarden, as real processes beside a sandbox controller, from outside.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod apart;
mod at_worst;
mod authority;
mod callbacks;
mod cancelling;
mod cli_in_doubt;
mod daily_cli;
mod data_folder;
mod dependencies;
mod drift;
mod endings;
mod executors;
mod floods;
mod health;
mod hidden;
mod hooks;
mod hostile_controller;
mod idempotency;
mod identity;
mod isolation;
mod keys;
mod lost_answers;
mod main_job;
mod mappings;
mod notifications;
mod operator_cli;
mod outages;
mod pages;
mod policies;
mod queues;
mod request_info;
mod restarts;
mod restored_logs;
mod revocation;
mod run_tasks;
mod services;
mod standing_in;
mod starting;
mod tenants;
mod unknown;
mod write_only;

use runwarden_harness::{Controller, Settings, System, Tenant};
use serde_json::{Value, json};

/// How everything is started here: the program that was just built.
fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_runwarden"))
}

/// A controller, a system and a tenant on it.
async fn acme(settings: &Settings) -> (Controller, System, Tenant) {
    let controller = Controller::start().await;
    let system = System::start(settings).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    (controller, system, acme)
}

/// The first metric that begins so, at the listener for metrics; 0 if there is none yet.
async fn metric(address: &str, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Parameters that the template `deploy` takes.
fn deployment() -> Value {
    json!({"environment": "dev", "version": "1.4.2"})
}
