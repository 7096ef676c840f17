//! A mesh with one service whose handlers do what a test tells them.

pub(crate) mod forge;
pub(crate) mod played;
pub(crate) mod recorder;
pub(crate) mod relay;
pub(crate) mod tokens;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use runwarden_kit::clock::SystemClock;
use runwarden_kit::context::{self, RequestContext};
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{self, MeshChannel, MeshTls, Peer, Peers, Service, TlsFiles, TrustDomain};
use runwarden_kit::service::{self, Parts, ServiceKit};
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, ErrorReason, SecretString};
use runwarden_proto::executor::v1::job_service_client::JobServiceClient;
use runwarden_proto::executor::v1::job_service_server::JobServiceServer;
use tempfile::TempDir;
use tonic::Status;

use played::Played;
use recorder::HeldRecorder;
use tokens::Signer;

pub(crate) type Jobs = JobServiceClient<MeshChannel>;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An authority, keys for tokens, and folders.
pub(crate) struct House {
    pub(crate) temp: TempDir,
    pub(crate) domain: TrustDomain,
    pub(crate) ca: DevCa,
    pub(crate) signer: Signer,
}

/// The service while it runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) played: Arc<Played>,
    pub(crate) recorder: Arc<HeldRecorder>,
    pub(crate) tls: Arc<MeshTls>,
    pub(crate) tasks: Tasks,
}

impl House {
    pub(crate) fn new() -> Result<Self> {
        let temp = tempfile::tempdir()?;
        let domain: TrustDomain = "test.internal".parse()?;
        let ca = DevCa::open(&temp.path().join("ca"), domain.clone())?;
        Ok(Self { ca, domain, signer: Signer::new()?, temp })
    }

    pub(crate) fn ca_folder(&self) -> PathBuf {
        self.temp.path().join("ca")
    }

    pub(crate) async fn start(&self) -> Result<Running> {
        self.start_at(([127, 0, 0, 1], 0).into(), self.signer.trust()?, Parts::new()).await
    }

    pub(crate) async fn start_at(&self, at: SocketAddr, trust: Arc<Trust>, parts: Parts) -> Result<Running> {
        let tls =
            MeshTls::load(self.ca.service(Service::Executor)?, self.domain.clone(), Peer::Service(Service::Executor))?;
        let (recorder, tasks, played) =
            (Arc::new(HeldRecorder::default()), Tasks::new(Shutdown::new()), Arc::new(Played::default()));
        let kit = ServiceKit {
            service: Service::Executor,
            peers: Peers::new(tls.clone(), BTreeMap::new()),
            trust,
            recorder: recorder.clone(),
            tasks: tasks.clone(),
            data_dir: self.temp.path().to_owned(),
            clock: Arc::new(SystemClock),
            notes: runwarden_kit::service::Notes::default(),
        };
        let listener = mesh::bind(at).await?;
        let address = listener.local_addr()?;
        let parts = parts.with(JobServiceServer::from_arc(played.clone()));
        service::serve(&kit, listener, parts).await?;
        Ok(Running { address, played, recorder, tls, tasks })
    }

    /// A channel to whatever listens there, in the belief that it is `to`.
    pub(crate) fn channel(&self, own: Peer, to: Service, at: SocketAddr) -> Result<MeshChannel> {
        let files = match &own {
            Peer::Service(service) => self.ca.service(*service)?,
            Peer::Operator(name) => self.ca.operator(name)?,
        };
        self.channel_with(files, own, to, at)
    }

    pub(crate) fn channel_with(&self, files: TlsFiles, own: Peer, to: Service, at: SocketAddr) -> Result<MeshChannel> {
        let tls = MeshTls::load(files, self.domain.clone(), own)?;
        Peers::new(tls, BTreeMap::from([(to, at.to_string())])).channel(to)
    }

    /// The jobs, through a service's or an operator's certificate.
    pub(crate) fn jobs(&self, own: Peer, at: SocketAddr) -> Result<Jobs> {
        Ok(Jobs::new(self.channel(own, Service::Executor, at)?))
    }

    /// The jobs, through the edge's certificate.
    pub(crate) fn edge(&self, at: SocketAddr) -> Result<Jobs> {
        self.jobs(Peer::Service(Service::Edge), at)
    }
}

impl Running {
    pub(crate) async fn stop(self) -> Result<()> {
        self.tasks.shutdown().begin();
        ensure!(self.tasks.join(PATIENCE).await, "tasks did not end");
        Ok(())
    }
}

/// Within a request of whoever holds the token.
pub(crate) async fn acting<F: Future>(token: &str, call: F) -> F::Output {
    within(RequestContext { token: Some(SecretString::from(token)), ..RequestContext::default() }, call).await
}

pub(crate) async fn within<F: Future>(context: RequestContext, call: F) -> F::Output {
    context::scope(context, call).await
}

pub(crate) fn reason<T>(answer: Result<T, Status>) -> Option<ErrorReason> {
    answer.err().map(|status| Error::from_status(&status).reason())
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while !condition() {
        ensure!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
