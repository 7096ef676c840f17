//! Who gets through: certificates first, then tokens, then permissions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use runwarden_kit::ErrorReason;
use runwarden_kit::audit::Outcome;
use runwarden_kit::caller::Scope;
use runwarden_kit::context::RequestContext;
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{Peer, Service};
use runwarden_kit::tenant::TenantId;
use runwarden_proto::executor::v1::job_service_client::JobServiceClient;
use runwarden_proto::executor::v1::{GetJobRequest, SubmitJobRequest};
use tonic::Request;

use crate::support::forge::Forged;
use crate::support::{House, acting, reason, until, wire, within};

fn get(id: &str) -> GetJobRequest {
    GetJobRequest { id: id.to_owned(), wait_seconds: 0 }
}

/// A call with a good token, past the kit's client.
fn asked(token: &str) -> Result<Request<GetJobRequest>> {
    let mut request = Request::new(get("any"));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    Ok(request)
}

#[tokio::test]
async fn without_a_certificate_of_the_mesh_no_call_gets_through() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let foreign = DevCa::open(&house.temp.path().join("foreign"), house.domain.clone())?;
    let forged =
        |name: &str, forged: Forged| forged.files(&house.ca_folder(), &house.domain, &house.temp.path().join(name));
    let edge = house.domain.service_id(Service::Edge);
    let bad = [
        ("none at all", None),
        ("of a foreign authority", Some(foreign.service(Service::Edge)?)),
        ("two names", Some(forged("two", Forged::of(&edge).and(&house.domain.service_id(Service::Auth)))?)),
        ("another trust domain", Some(forged("domain", Forged::of("spiffe://other.internal/svc/edge"))?)),
        ("no such service", Some(forged("service", Forged::of("spiffe://test.internal/svc/database"))?)),
        ("no name", Some(forged("nameless", Forged { uris: Vec::new(), ..Forged::of(&edge) })?)),
        ("expired", Some(forged("expired", Forged::of(&edge).expired())?)),
        ("not valid yet", Some(forged("later", Forged::of(&edge).for_later())?)),
        (
            "of a server only",
            Some(forged("server", Forged::of(&edge).only(rcgen::ExtendedKeyUsagePurpose::ServerAuth))?),
        ),
    ];
    for (what, files) in bad {
        let mut jobs = JobServiceClient::new(wire::channel(running.address, files.as_ref())?);
        ensure!(jobs.get_job(asked(&token)?).await.is_err(), "a certificate was believed: {what}");
    }
    ensure!(running.played.calls() == 0, "a call got through");
    // The same way in works with a good one: it is the certificate that was refused.
    let good = forged("good", Forged::of(&edge))?;
    JobServiceClient::new(wire::channel(running.address, Some(&good))?).get_job(asked(&token)?).await?;
    ensure!(running.played.calls() == 1);
    running.stop().await
}

#[tokio::test]
async fn one_peer_has_so_many_connections_and_another_is_not_kept_out() -> Result<()> {
    use tokio::io::AsyncReadExt as _;
    let house = House::new()?;
    let running = house.start().await?;
    let files = house.ca.service(Service::Project)?;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(wire::connect(running.address, wire::config(Some(&files), &[&rustls::version::TLS13])?).await?);
    }
    // What the server says first on a connection that it serves are its settings.
    for stream in &mut held {
        ensure!(stream.read_u8().await.is_ok());
    }
    let mut surplus = wire::connect(running.address, wire::config(Some(&files), &[&rustls::version::TLS13])?).await?;
    ensure!(surplus.read_u8().await.is_err(), "a 257th connection is served");
    acting(&house.signer.good()?, house.edge(running.address)?.get_job(get("any"))).await?;
    drop((held, surplus));
    running.stop().await
}

#[tokio::test]
async fn older_tls_is_not_spoken() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let files = house.ca.service(Service::Edge)?;
    let old = wire::connect(running.address, wire::config(Some(&files), &[&rustls::version::TLS12])?).await;
    ensure!(old.is_err());
    wire::connect(running.address, wire::config(Some(&files), &[&rustls::version::TLS13])?).await?;
    running.stop().await
}

#[tokio::test]
async fn a_server_is_believed_only_if_it_is_the_very_service_that_was_meant() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    // The address of auth leads to the executor: the authority vouches for it, and yet it is not auth.
    let mut misled =
        JobServiceClient::new(house.channel(Peer::Service(Service::Edge), Service::Auth, running.address)?);
    ensure!(reason(acting(&token, misled.get_job(get("any"))).await) == Some(ErrorReason::Unavailable));
    // Nor is one believed that a foreign authority vouches for.
    let other = House::new()?;
    let mut foreign = other.edge(running.address)?;
    ensure!(reason(acting(&token, foreign.get_job(get("any"))).await) == Some(ErrorReason::Unavailable));
    ensure!(running.played.calls() == 0);
    running.stop().await
}

#[tokio::test]
async fn a_service_calls_only_what_is_meant_for_it_whatever_token_it_holds() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    for service in [Service::Auth, Service::Policy, Service::Project, Service::Secret, Service::Audit] {
        let mut jobs = house.jobs(Peer::Service(service), running.address)?;
        let refused = reason(acting(&token, jobs.get_job(get("any"))).await);
        ensure!(refused == Some(ErrorReason::PermissionDenied), "{service}: {refused:?}");
    }
    ensure!(running.played.calls() == 0);
    // Nobody is known yet when a service is refused, so nobody's name gets into the audit log.
    ensure!(running.recorder.entries().is_empty());
    let mut operator = house.jobs(Peer::Operator("ann".into()), running.address)?;
    let job = acting(&token, operator.get_job(get("any"))).await?.into_inner().job.context("no job")?;
    ensure!((job.requested_by.as_str(), job.requested_by_name.as_str()) == ("sa_1", "operator"));
    running.stop().await
}

#[tokio::test]
async fn a_missing_permission_is_refused_on_the_record_and_off_the_record_nothing_is() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut jobs = house.edge(running.address)?;
    let reader = house.signer.token(&["jobs.read"], Scope::tenant(&TenantId::trusted("acme")))?;
    let submit = || SubmitJobRequest { template: "any".into(), parameters_json: "{}".into(), ..Default::default() };
    let context = || RequestContext {
        request_id: "req_7".into(),
        source_address: "203.0.113.9".into(),
        token: Some(reader.clone().into()),
        ..RequestContext::default()
    };
    // Refused by the gate, for want of the permission anywhere; refused by the handler, at its very scope.
    ensure!(reason(within(context(), jobs.submit_job(submit())).await) == Some(ErrorReason::PermissionDenied));
    ensure!(running.played.calls() == 0);
    ensure!(reason(within(context(), jobs.get_job(get("denied"))).await) == Some(ErrorReason::PermissionDenied));
    let entries = running.recorder.entries();
    ensure!(entries.len() == 2, "{entries:?}");
    for (entry, rpc) in entries.iter().zip(["JobService/SubmitJob", "JobService/GetJob"]) {
        ensure!(entry.action == "access.refuse" && entry.object_id == rpc && entry.service == "executor");
        ensure!(entry.outcome == i32::from(Outcome::Denied) && entry.tenant == "acme");
        ensure!(entry.actor.as_ref().is_some_and(|actor| actor.principal == "sa_1"));
        ensure!(entry.request_id == "req_7" && entry.source_address == "203.0.113.9" && entry.trace_id.len() == 32);
    }
    running.recorder.set_down(true);
    for _ in 0..2 {
        let refused = reason(within(context(), jobs.submit_job(submit())).await);
        ensure!(refused == Some(ErrorReason::AuditUnavailable), "{refused:?}");
    }
    let refused = reason(within(context(), jobs.get_job(get("denied"))).await);
    ensure!(refused == Some(ErrorReason::AuditUnavailable), "{refused:?}");
    running.stop().await
}

#[tokio::test]
async fn a_refusal_is_recorded_although_the_refused_hangs_up() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let reader = house.signer.token(&["templates.read"], Scope::tenant(&TenantId::trusted("acme")))?;
    let mut jobs = house.edge(running.address)?;
    running.recorder.hold(true);
    let refused = tokio::spawn({
        let mut jobs = jobs.clone();
        async move { acting(&reader, jobs.get_job(get("any"))).await }
    });
    until("the refusal is on its way to the record", || running.recorder.asked() == 1).await?;
    refused.abort();
    ensure!(refused.await.is_err_and(|error| error.is_cancelled()));
    // Answered on the same connection after the other call was taken back.
    acting(&house.signer.good()?, jobs.get_job(get("any"))).await?;
    running.recorder.hold(false);
    until("a refusal on the record", || !running.recorder.entries().is_empty()).await?;
    running.stop().await
}

#[tokio::test]
async fn only_services_say_where_a_request_came_from() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let context = || RequestContext {
        source_address: "203.0.113.9".into(),
        token: Some(token.clone().into()),
        ..RequestContext::default()
    };
    for (peer, seen) in [(Peer::Service(Service::Edge), "203.0.113.9"), (Peer::Operator("ann".into()), "127.0.0.1")] {
        let mut jobs = house.jobs(peer, running.address)?;
        let job = within(context(), jobs.get_job(get("source"))).await?.into_inner().job.context("no job")?;
        ensure!(job.id == seen, "{}", job.id);
    }
    running.stop().await
}

#[tokio::test]
async fn a_tenant_s_principal_acts_in_its_tenant_and_a_platform_principal_where_it_says() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut jobs = house.edge(running.address)?;
    let mut seen = async |token: &str, tenant: Option<&str>| {
        let context = RequestContext {
            token: Some(token.to_owned().into()),
            tenant: tenant.map(str::to_owned),
            ..RequestContext::default()
        };
        let answer = within(context, jobs.get_job(get("any"))).await;
        answer.map(|answer| answer.into_inner().job.map(|job| job.tenant).unwrap_or_default())
    };
    let (own, platform) = (house.signer.good()?, house.signer.token(&["jobs.read"], Scope::platform())?);
    ensure!(seen(&own, None).await? == "acme" && seen(&own, Some("acme")).await? == "acme");
    ensure!(reason(seen(&own, Some("umbrella")).await) == Some(ErrorReason::NotFound));
    ensure!(seen(&platform, None).await?.is_empty() && seen(&platform, Some("umbrella")).await? == "umbrella");
    ensure!(reason(seen(&platform, Some("../umbrella")).await) == Some(ErrorReason::NotFound));
    running.stop().await
}

#[tokio::test]
async fn peers_that_never_finish_a_handshake_hold_up_nobody() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(tokio::net::TcpStream::connect(running.address).await?);
    }
    let started = Instant::now();
    acting(&house.signer.good()?, house.edge(running.address)?.get_job(get("any"))).await?;
    ensure!(started.elapsed() < Duration::from_secs(4), "it waited for the idle ones to be given up");
    drop(idle);
    running.stop().await
}

#[tokio::test]
async fn an_address_full_of_silent_connections_keeps_nobody_else_out() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut silent = Vec::new();
    for _ in 0..1100 {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.2:0".parse()?)?;
        silent.push(socket.connect(running.address).await?);
    }
    let started = Instant::now();
    acting(&house.signer.good()?, house.edge(running.address)?.get_job(get("any"))).await?;
    ensure!(started.elapsed() < Duration::from_secs(4), "it waited for the silent ones to be given up");
    drop(silent);
    running.stop().await
}
