//! `runwarden-sandbox`: starts a sandbox controller and says how to reach it.

use std::io::Write as _;

use clap::Parser;
use runwarden_sandbox::{Options, Sandbox};
use tracing_subscriber::EnvFilter;

/// A stand-in for AWX 24.6.1, for demos and tests. Never expose it: whoever can launch may run playbooks here.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false).init();
    let sandbox = Sandbox::start(cli.options).await?;
    let admin = sandbox.account("admin");
    // One line that a script can read.
    let line = serde_json::json!({
            "url": sandbox.url(), "api_root": sandbox.api_root(), "engine": sandbox.engine(), "token": sandbox.token(),
            "username": sandbox.username(), "password": sandbox.password(), "admin_username": admin.username, "admin_password": admin.password,
            "control_token": sandbox.control_token(),
    });
    let _gone = writeln!(std::io::stdout(), "{line}");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}
