//! What a service is made of and how one runs by itself: the frame around `build` that `main.rs` and the all-in-one
//! process share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::service::RoutesBuilder;

use crate::audit::{MeshRecorder, Recorder};
use crate::clock::{Clock, SystemClock};
use crate::lifecycle::{Shutdown, Tasks};
use crate::mesh::{self, Gate, MeshTls, Peer, Peers, Service, TlsFiles, TrustDomain};
use crate::telemetry::{self, TelemetryArgs};
use crate::trust::Trust;

/// How long a stopping process waits for its tasks.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What every service gets handed when it is built.
#[derive(Clone)]
pub struct ServiceKit {
    /// Which service this is.
    pub service: Service,
    /// The others, and itself.
    pub peers: Peers,
    /// Verifies callers.
    pub trust: Arc<Trust>,
    /// Makes audit entries durable at once.
    pub recorder: Arc<dyn Recorder>,
    /// Its background tasks.
    pub tasks: Tasks,
    /// Where its state lives; exists, and only its owner can enter it.
    pub data_dir: PathBuf,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl ServiceKit {
    /// A kit over the mesh. Starts the task that keeps the trust state fresh.
    ///
    /// # Errors
    /// When the data folder cannot be made, or `auth` or `audit` have no address.
    pub fn new(service: Service, peers: Peers, tasks: Tasks, data_dir: &Path) -> anyhow::Result<Self> {
        mesh::pki::make_private_folder(data_dir)?;
        let trust = Trust::from_auth(peers.channel(Service::Auth)?);
        tasks.spawn(format!("{service}: trust"), trust.clone().keep_renewed(tasks.shutdown().clone()));
        Ok(Self {
            service,
            trust,
            recorder: MeshRecorder::new(peers.channel(Service::Audit)?),
            peers,
            tasks,
            data_dir: data_dir.to_owned(),
            clock: Arc::new(SystemClock),
        })
    }

    /// The wish to stop.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        self.tasks.shutdown()
    }

    /// Starts handing over the entries of an outbox; the answer is the bell to ring when there are some.
    pub fn drain_outbox(&self, outbox: Arc<dyn crate::audit::OutboxStore>) -> crate::audit::Bell {
        let bell = crate::audit::Bell::default();
        self.tasks.spawn(
            format!("{}: audit outbox", self.service),
            crate::audit::drain(outbox, self.recorder.clone(), bell.clone(), self.shutdown().clone()),
        );
        bell
    }
}

/// A built service: what it serves. Collect gRPC services with [`Parts::with`].
#[derive(Default)]
pub struct Parts {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
}

impl Parts {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server.
    #[must_use]
    pub fn with<S>(mut self, server: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(server);
        self
    }

    /// The routes with health (grpc.health.v1) and reflection (v1 and v1alpha) beside them.
    async fn into_routes(self) -> anyhow::Result<Routes> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in &self.names {
            reporter.set_service_status(*name, tonic_health::ServingStatus::Serving).await;
        }
        let reflection = || {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(runwarden_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            // List what this port really serves, not every contract there is.
            for name in &self.names {
                builder = builder.with_service_name(*name);
            }
            builder.with_service_name("grpc.health.v1.Health")
        };
        let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
        let mut routes = self.routes;
        routes.add_service(health).add_service(v1).add_service(v1alpha);
        Ok(routes.routes())
    }
}

/// Serves a built service until shutdown, as a task.
///
/// # Errors
/// When the contracts do not register for reflection.
pub async fn serve(kit: &ServiceKit, listener: TcpListener, parts: Parts) -> anyhow::Result<()> {
    let gate = Gate { service: kit.service, trust: kit.trust.clone(), recorder: kit.recorder.clone() };
    let routes = parts.into_routes().await?;
    let (tls, shutdown, service) = (kit.peers.tls().clone(), kit.shutdown().clone(), kit.service);
    kit.tasks.spawn(format!("{service}: gRPC"), async move {
        if let Err(error) = mesh::serve(listener, tls, gate, routes, shutdown.clone()).await {
            tracing::error!(error = format!("{error:#}"), "stopping");
            shutdown.begin();
        }
    });
    Ok(())
}

/// The settings that every service has when it runs by itself.
#[derive(Args, Clone, Debug)]
pub struct StandaloneArgs {
    /// Where to serve gRPC
    #[arg(long, env = "RUNWARDEN_GRPC_LISTEN", default_value = "127.0.0.1:0")]
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
        println!("runwarden-{service} is ready on {address}");
        Ok(())
    })
}

/// The frame of every process: telemetry, signals, start, wait, orderly stop, exit code.
pub fn run_process<F, Fut>(name: &str, telemetry: &TelemetryArgs, start: F) -> ExitCode
where
    F: FnOnce(Tasks) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: {error}");
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
            // Stopping while still starting is no failure.
            () = shutdown.begun() => Ok(()),
        };
        if started.is_ok() {
            shutdown.begun().await;
        }
        shutdown.begin();
        let clean = tasks.join(STOP_LIMIT).await;
        reporting.flush().await;
        started?;
        anyhow::ensure!(clean, "some tasks did not end in time");
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a secret key file, or makes one with `length` random bytes at the first start; only its owner can read it.
///
/// # Errors
/// When it cannot be read or made, or has another length.
pub fn key_file(path: &Path, length: usize) -> anyhow::Result<Vec<u8>> {
    if !path.exists() {
        let mut bytes = vec![0; length];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
        mesh::pki::write_private(path, &bytes)?;
    }
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    anyhow::ensure!(bytes.len() == length, "{} has {} bytes instead of {length}", path.display(), bytes.len());
    Ok(bytes)
}
