//! `runwarden-edge` by itself.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use runwarden_edge::Config;
use runwarden_kit::mesh::Service;
use runwarden_kit::service::{ServiceKit, StandaloneArgs, run_process};

/// HTTP in, gRPC out: the door of Runwarden.
#[derive(Parser)]
#[command(name = "runwarden-edge", version)]
struct Line {
    #[command(flatten)]
    standalone: StandaloneArgs,
    #[command(flatten)]
    edge: Config,
}

fn main() -> ExitCode {
    let Line { standalone, edge: config } = Line::parse();
    run_process("runwarden-edge", &standalone.telemetry.clone(), move |tasks| async move {
        let peers = standalone.peers(Service::Edge)?;
        let certificate = peers.tls().clone();
        tasks.spawn(
            "edge: mesh certificate",
            certificate.keep_reloaded(Duration::from_secs(5), tasks.shutdown().clone()),
        );
        let kit = ServiceKit::new(Service::Edge, peers, tasks, &standalone.data_dir)?;
        let edge = runwarden_edge::build(config, &kit).await?;
        let (public, admin) = (edge.public_address(), edge.admin_address());
        edge.start(&kit);
        runwarden_kit::stdio::announce(format_args!("runwarden-edge is ready on {public}, admin on {admin}"));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::Line;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_settings_of_the_edge_and_of_every_service_fit_together() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_listener_may_be_named() {
        let line = Line::try_parse_from([
            "runwarden-edge",
            "--listen=localhost:9000",
            "--admin-listen=localhost:9001",
            "--grpc-listen=localhost:9002",
            "--metrics-listen=localhost:9003",
        ])
        .unwrap();
        let metrics = line.standalone.telemetry.metrics_listen.unwrap();
        for (address, port) in [
            (line.edge.listen, 9000),
            (line.edge.admin_listen, 9001),
            (line.standalone.grpc_listen, 9002),
            (metrics, 9003),
        ] {
            assert!(address.ip().is_loopback() && address.port() == port, "{address}");
        }
    }
}
