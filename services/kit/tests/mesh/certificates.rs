//! Certificates that are replaced while calls are under way, and those that are refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{MeshTls, Peer, Service, TlsFiles};
use runwarden_proto::executor::v1::{GetJobRequest, WatchJobRequest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::support::forge::Forged;
use crate::support::{House, acting, until, wire};

fn of(files: &TlsFiles) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_file(&files.certificate)?)
}

/// Puts a new certificate where an old one is.
fn replace(house: &House, files: &TlsFiles, forged: &Forged) -> Result<()> {
    let (certificate, key) = forged.signed_by(&house.ca_folder(), &house.domain)?;
    std::fs::write(&files.key, key)?;
    Ok(std::fs::write(&files.certificate, certificate)?)
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_drops_no_call_and_no_stream() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let (token, files) = (house.signer.good()?, house.ca.service(Service::Executor)?);
    let mut jobs = house.edge(running.address)?;
    let mut stream = acting(&token, jobs.watch_job(WatchJobRequest::default())).await?.into_inner();
    stream.message().await?.context("the stream ended")?;
    let slow = tokio::spawn({
        let (mut jobs, token) = (jobs.clone(), token.clone());
        async move { acting(&token, jobs.get_job(GetJobRequest { id: "slow".into(), wait_seconds: 0 })).await }
    });
    until("the slow call", || running.played.calls() == 1).await?;

    let before = wire::shown(running.address).await?;
    ensure!(before == of(&files)?);
    replace(&house, &files, &Forged::of(&house.domain.service_id(Service::Executor)))?;
    ensure!(running.tls.reload()?, "the files are new");
    ensure!(!running.tls.reload()?, "and only once");
    let after = wire::shown(running.address).await?;
    ensure!(after != before && after == of(&files)?);

    for _ in 0..20 {
        stream.message().await?.context("the stream ended")?;
    }
    running.played.release.0.add_permits(1);
    slow.await??;
    ensure!(running.played.calls() == 1 && running.played.streams.load(Ordering::SeqCst) == 1, "nothing was repeated");
    // New connections with the new certificate work, both ways.
    acting(&token, house.edge(running.address)?.get_job(GetJobRequest::default())).await?;
    drop(stream);
    running.stop().await
}

#[tokio::test]
async fn files_are_looked_at_again_and_again() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let files = house.ca.service(Service::Executor)?;
    let until_then = running.tasks.shutdown().clone();
    running.tasks.spawn("certificate", running.tls.clone().keep_reloaded(Duration::from_millis(5), until_then));
    let (id, old) = (house.domain.service_id(Service::Executor), running.tls.not_after());
    // Garbage in between does not end the looking.
    let whole = std::fs::read(&files.certificate)?;
    std::fs::write(&files.certificate, b"garbage")?;
    std::fs::write(&files.certificate, &whole)?;
    replace(&house, &files, &Forged::of(&id))?;
    until("the new certificate", || running.tls.not_after() != old).await?;
    ensure!(wire::shown(running.address).await? == of(&files)?);
    running.stop().await
}

#[tokio::test]
async fn a_bad_certificate_is_refused_with_words_and_the_old_one_stays() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let files = house.ca.service(Service::Executor)?;
    let good = wire::shown(running.address).await?;
    let (id, other) = (house.domain.service_id(Service::Executor), house.domain.service_id(Service::Audit));
    let foreign = DevCa::open(&house.temp.path().join("foreign"), house.domain.clone())?;
    let foreign = foreign.service(Service::Executor)?;
    let (whole, key) = (std::fs::read(&files.certificate)?, std::fs::read(&files.key)?);
    let signed = |forged: Forged| forged.signed_by(&house.ca_folder(), &house.domain);
    let pair = |(certificate, key): (String, String)| (certificate.into_bytes(), key.into_bytes());
    let cases = [
        ("expired", pair(signed(Forged::of(&id).expired())?), "does not verify"),
        ("not valid yet", pair(signed(Forged::of(&id).for_later())?), "does not verify"),
        ("another service's", pair(signed(Forged::of(&other))?), "is the certificate of"),
        ("two names", pair(signed(Forged::of(&id).and(&other))?), "more than one URI name"),
        ("an operator's", pair(signed(Forged::of("spiffe://test.internal/operator/ann"))?), "is the certificate of"),
        ("of clients only", pair(signed(Forged::of(&id).only(ExtendedKeyUsagePurpose::ClientAuth))?), "server"),
        (
            "of servers only",
            pair(signed(Forged::of(&id).only(ExtendedKeyUsagePurpose::ServerAuth))?),
            "does not verify",
        ),
        ("foreign", (std::fs::read(&foreign.certificate)?, std::fs::read(&foreign.key)?), "does not verify"),
        ("of another key", (signed(Forged::of(&id))?.0.into_bytes(), key.clone()), "does not belong to"),
        ("garbage", (b"garbage".to_vec(), key.clone()), "contains no certificate"),
        ("empty", (Vec::new(), key.clone()), "contains no certificate"),
        ("cut off", (whole.get(..whole.len() / 2).unwrap_or_default().to_vec(), key.clone()), "tls"),
        ("without its key", (whole.clone(), b"garbage".to_vec()), "contains no key"),
    ];
    for (what, (certificate, key), words) in cases {
        std::fs::write(&files.certificate, certificate)?;
        std::fs::write(&files.key, key)?;
        let error = running.tls.reload().err().with_context(|| format!("accepted: {what}"))?;
        let told = format!("{error:#}");
        // The file is named, and what is wrong with it.
        ensure!(told.contains(words) || words == "tls", "{what}: {told}");
        ensure!(told.contains("executor."), "{what}: {told}");
        ensure!(wire::shown(running.address).await? == good, "{what}: it is shown");
        ensure!(MeshTls::load(files.clone(), house.domain.clone(), Peer::Service(Service::Executor)).is_err());
    }
    std::fs::remove_file(&files.certificate)?;
    ensure!(running.tls.reload().is_err());
    acting(&house.signer.good()?, house.edge(running.address)?.get_job(GetJobRequest::default())).await?;
    running.stop().await
}

#[tokio::test]
async fn an_authority_that_was_replaced_is_believed_by_both_sides_at_once() -> Result<()> {
    let house = House::new()?;
    let files = house.ca.service(Service::Executor)?;
    let tls = MeshTls::load(files.clone(), house.domain.clone(), Peer::Service(Service::Executor))?;
    let foreign = DevCa::open(&house.temp.path().join("new"), house.domain.clone())?.service(Service::Executor)?;
    let (server, client) = (tls.server(), tls.client(Service::Auth)?);
    // Only the authority first: the certificate no longer verifies, so nothing changes.
    std::fs::copy(&foreign.ca, &files.ca)?;
    ensure!(tls.reload().is_err() && Arc::ptr_eq(&server, &tls.server()));
    std::fs::copy(&foreign.certificate, &files.certificate)?;
    std::fs::copy(&foreign.key, &files.key)?;
    ensure!(tls.reload()?);
    ensure!(!Arc::ptr_eq(&server, &tls.server()) && !Arc::ptr_eq(&client, &tls.client(Service::Auth)?));
    Ok(())
}

#[tokio::test]
async fn looking_at_files_ends_with_shutdown() -> Result<()> {
    let house = House::new()?;
    let tls = MeshTls::load(house.ca.service(Service::Audit)?, house.domain.clone(), Peer::Service(Service::Audit))?;
    let shutdown = Shutdown::new();
    let looking = tokio::spawn(tls.keep_reloaded(Duration::from_secs(3600), shutdown.clone()));
    shutdown.begin();
    Ok(looking.await?)
}

#[test]
fn identities_are_read_strictly() -> Result<()> {
    let house = House::new()?;
    let peer = |uri: &str| -> Result<Peer> {
        let (pem, _) = Forged::of(uri).signed_by(&house.ca_folder(), &house.domain)?;
        Peer::of_certificate(&CertificateDer::from_pem_slice(pem.as_bytes())?, &house.domain)
    };
    for service in Service::ALL {
        ensure!(peer(&house.domain.service_id(*service))? == Peer::Service(*service));
    }
    ensure!(peer("spiffe://test.internal/operator/ann.b-2_c")? == Peer::Operator("ann.b-2_c".into()));
    for bad in [
        "spiffe://test.internal/svc/edge/",
        "spiffe://test.internal/svc/edge/more",
        "spiffe://test.internal/svc/Edge",
        "spiffe://test.internal/svc/",
        "spiffe://test.internal//svc/edge",
        "spiffe://test.internal/svc/edge?x=y",
        "spiffe://test.internal:443/svc/edge",
        "spiffe://x@test.internal/svc/edge",
        "spiffe://test.internal.evil/svc/edge",
        "SPIFFE://test.internal/svc/edge",
        "https://test.internal/svc/edge",
        "spiffe://test.internal/operator/",
        "spiffe://test.internal/operator/..",
        "spiffe://test.internal/operator/a%2fb",
        "spiffe://test.internal/operator/a?b",
        "spiffe://test.internal/edge",
    ] {
        ensure!(peer(bad).is_err(), "{bad}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_of_a_certificate_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let domain = "test.internal".parse().expect("a trust domain");
        prop_assert!(Peer::of_certificate(&bytes, &domain).is_err());
    }

    #[test]
    fn a_certificate_with_bytes_changed_panics_nobody(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let house = House::new().expect("a house");
        let der = of(&house.ca.service(Service::Edge).expect("files")).expect("a certificate");
        let mut bytes = der.to_vec();
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        let _whoever_it_is = Peer::of_certificate(&bytes, &house.domain);
    }
}
