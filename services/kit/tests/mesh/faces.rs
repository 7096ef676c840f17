//! What every service shows beside its own RPCs: health and reflection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use runwarden_kit::mesh::{MeshChannel, Peer, Service};
use runwarden_kit::service::Parts;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::House;
use crate::support::tokens::PlayedAuth;

const JOBS: &str = "runwarden.executor.v1.JobService";

async fn status(channel: &MeshChannel, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel.clone()).check(request).await?.get_ref().status())
}

#[tokio::test]
async fn health_says_how_it_is_now_and_watchers_hear_of_changes() -> Result<()> {
    let house = House::new()?;
    let auth = PlayedAuth::trusting(&house.signer.jwks);
    let trust = auth.trust();
    let damaged = Arc::new(AtomicBool::new(false));
    let look = damaged.clone();
    let parts = Parts::new()
        .watch_health("logs", move || look.load(Ordering::SeqCst).then(|| "one of them is damaged".to_owned()));
    let running = house.start_at(([127, 0, 0, 1], 0).into(), trust.clone(), parts).await?;
    // Any peer of the mesh may ask.
    let channel = house.channel(Peer::Service(Service::Policy), Service::Executor, running.address)?;
    for name in ["", JOBS] {
        ensure!(status(&channel, name).await? == ServingStatus::NotServing, "callers cannot be verified yet");
    }
    trust.renew().await?;
    for name in ["", JOBS, "grpc.health.v1.Health"] {
        ensure!(status(&channel, name).await? == ServingStatus::Serving, "{name}");
    }
    let unknown = status(&channel, "runwarden.auth.v1.TokenService").await;
    ensure!(unknown.err().map(|status| status.code()) == Some(Code::NotFound));

    let mut client = HealthClient::new(channel.clone());
    let mut watch = client.watch(HealthCheckRequest::default()).await?.into_inner();
    let mut heard = async || -> Result<ServingStatus> { Ok(watch.message().await?.context("it ended")?.status()) };
    ensure!(heard().await? == ServingStatus::Serving);
    damaged.store(true, Ordering::SeqCst);
    ensure!(status(&channel, "").await? == ServingStatus::NotServing);
    ensure!(heard().await? == ServingStatus::NotServing);
    damaged.store(false, Ordering::SeqCst);
    ensure!(heard().await? == ServingStatus::Serving);
    auth.pass(31);
    ensure!(heard().await? == ServingStatus::NotServing);
    trust.renew().await?;
    ensure!(heard().await? == ServingStatus::Serving);
    // The last word of a service that stops; and its watchers do not keep it from stopping.
    running.tasks.shutdown().begin();
    ensure!(heard().await? == ServingStatus::NotServing);
    running.stop().await
}

macro_rules! reflect {
    ($version:ident, $channel:expr, $question:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        let request = $version::ServerReflectionRequest { host: String::new(), message_request: Some($question) };
        let mut client = ServerReflectionClient::new($channel.clone());
        let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
        answers.message().await?.and_then(|answer| answer.message_response).context("no answer")?
    }};
}

#[tokio::test]
async fn reflection_tells_both_kinds_of_clients_exactly_what_is_served() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let channel = house.channel(Peer::Operator("ann".into()), Service::Executor, running.address)?;
    let served = BTreeSet::from([JOBS.to_owned(), "grpc.health.v1.Health".to_owned()]);
    {
        use v1::server_reflection_request::MessageRequest as Ask;
        use v1::server_reflection_response::MessageResponse as Told;
        let Told::ListServicesResponse(list) = reflect!(v1, channel, Ask::ListServices(String::new())) else {
            anyhow::bail!("no list")
        };
        ensure!(list.service.into_iter().map(|s| s.name).collect::<BTreeSet<_>>() == served);
        let Told::FileDescriptorResponse(file) = reflect!(v1, channel, Ask::FileContainingSymbol(JOBS.into())) else {
            anyhow::bail!("no file")
        };
        ensure!(!file.file_descriptor_proto.is_empty());
    }
    {
        use v1alpha::server_reflection_request::MessageRequest as Ask;
        use v1alpha::server_reflection_response::MessageResponse as Told;
        let Told::ListServicesResponse(list) = reflect!(v1alpha, channel, Ask::ListServices(String::new())) else {
            anyhow::bail!("no list")
        };
        ensure!(list.service.into_iter().map(|s| s.name).collect::<BTreeSet<_>>() == served);
        let Told::FileDescriptorResponse(file) = reflect!(v1alpha, channel, Ask::FileContainingSymbol(JOBS.into()))
        else {
            anyhow::bail!("no file")
        };
        ensure!(!file.file_descriptor_proto.is_empty());
    }
    running.stop().await
}
