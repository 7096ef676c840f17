//! One service by itself, as a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Parts, ServiceKit, listen_address, run_process, serve};
use crate::mesh::{self, MeshTls, Peer, Peers, Service, TlsFiles, TrustDomain};
use crate::stdio::announce;
use crate::telemetry::TelemetryArgs;

/// The settings that every service has when it runs by itself.
#[derive(Args, Clone, Debug)]
pub struct StandaloneArgs {
    /// Where to serve gRPC
    #[arg(long, env = "RUNWARDEN_GRPC_LISTEN", default_value = "127.0.0.1:0", value_parser = listen_address)]
    pub grpc_listen: SocketAddr,
    /// Where this service keeps its state
    #[arg(long, env = "RUNWARDEN_DATA_DIR", default_value = "runwarden-data")]
    pub data_dir: PathBuf,
    /// This service's certificate chain, PEM
    #[arg(long, env = "RUNWARDEN_TLS_CERTIFICATE", default_value = "tls/tls.crt")]
    pub tls_certificate: PathBuf,
    /// The certificate's private key, PEM
    #[arg(long, env = "RUNWARDEN_TLS_KEY", default_value = "tls/tls.key")]
    pub tls_key: PathBuf,
    /// The authority that signs all services' certificates, PEM
    #[arg(long, env = "RUNWARDEN_TLS_CA", default_value = "tls/ca.crt")]
    pub tls_ca: PathBuf,
    /// The trust domain of the services' SPIFFE ids
    #[arg(long, env = "RUNWARDEN_TRUST_DOMAIN", default_value = "runwarden.internal")]
    pub trust_domain: TrustDomain,
    /// Where auth is
    #[arg(long, env = "RUNWARDEN_AUTH_ADDRESS", default_value = "auth:7001")]
    pub auth_address: String,
    /// Where policy is
    #[arg(long, env = "RUNWARDEN_POLICY_ADDRESS", default_value = "policy:7002")]
    pub policy_address: String,
    /// Where project is
    #[arg(long, env = "RUNWARDEN_PROJECT_ADDRESS", default_value = "project:7003")]
    pub project_address: String,
    /// Where secret is
    #[arg(long, env = "RUNWARDEN_SECRET_ADDRESS", default_value = "secret:7004")]
    pub secret_address: String,
    /// Where audit is
    #[arg(long, env = "RUNWARDEN_AUDIT_ADDRESS", default_value = "audit:7005")]
    pub audit_address: String,
    /// Where the executor is
    #[arg(long, env = "RUNWARDEN_EXECUTOR_ADDRESS", default_value = "executor:7006")]
    pub executor_address: String,
    /// Where hook is
    #[arg(long, env = "RUNWARDEN_HOOK_ADDRESS", default_value = "hook:7007")]
    pub hook_address: String,
    /// Logs, traces, metrics
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl StandaloneArgs {
    fn addresses(&self) -> BTreeMap<Service, String> {
        BTreeMap::from([
            (Service::Auth, self.auth_address.clone()),
            (Service::Policy, self.policy_address.clone()),
            (Service::Project, self.project_address.clone()),
            (Service::Secret, self.secret_address.clone()),
            (Service::Audit, self.audit_address.clone()),
            (Service::Executor, self.executor_address.clone()),
            (Service::Hook, self.hook_address.clone()),
        ])
    }

    /// Loads the certificate and knows the other services.
    ///
    /// # Errors
    /// When the certificate does not hold.
    pub fn peers(&self, service: Service) -> anyhow::Result<Peers> {
        let files =
            TlsFiles { certificate: self.tls_certificate.clone(), key: self.tls_key.clone(), ca: self.tls_ca.clone() };
        let tls = MeshTls::load(files, self.trust_domain.clone(), Peer::Service(service))?;
        Ok(Peers::new(tls, self.addresses()))
    }
}

/// Runs one service by itself: `main` of `runwarden-auth` and the others. Prints one line when it is ready.
pub fn standalone<C, F, Fut>(service: Service, args: StandaloneArgs, config: C, build: F) -> ExitCode
where
    C: Send + 'static,
    F: FnOnce(C, ServiceKit) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<Parts>> + Send,
{
    run_process(&format!("runwarden-{service}"), &args.telemetry.clone(), move |tasks| async move {
        let peers = args.peers(service)?;
        tasks.spawn(
            format!("{service}: certificate"),
            peers.tls().clone().keep_reloaded(Duration::from_secs(5), tasks.shutdown().clone()),
        );
        let listener = mesh::bind(args.grpc_listen).await?;
        let address = listener.local_addr()?;
        let kit = ServiceKit::new(service, peers, tasks, &args.data_dir)?;
        let parts = build(config, kit.clone()).await?;
        serve(&kit, listener, parts).await?;
        announce(format_args!("runwarden-{service} is ready on {address}"));
        Ok(())
    })
}
