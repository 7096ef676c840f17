//! The service behind the real mesh: certificates, gate, file, restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use runwarden_audit::{Config, accept_restore, build, cli, database_path};
use runwarden_kit::ErrorReason;
use runwarden_kit::audit::{EntryBuilder, MeshRecorder, Recorder as _};
use runwarden_kit::clock::SystemClock;
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{MeshTls, Peer, Peers, Service, bind};
use runwarden_kit::service::{NOTES, ServiceKit, serve};
use runwarden_kit::token::Verifier;
use runwarden_kit::trust::Trust;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Peers of a service that only know where audit is; there is no auth in this house.
fn peers(ca: &DevCa, of: Service, audit: &str) -> anyhow::Result<Peers> {
    let tls = MeshTls::load(ca.service(of)?, "test.internal".parse()?, Peer::Service(of))?;
    let addresses = BTreeMap::from([(Service::Audit, audit.to_owned()), (Service::Auth, "127.0.0.1:1".to_owned())]);
    Ok(Peers::new(tls, addresses))
}

struct House {
    tasks: Tasks,
    executor: Arc<MeshRecorder>,
    stranger: Arc<MeshRecorder>,
}

async fn start(dir: &Path) -> anyhow::Result<House> {
    let ca = DevCa::open(&dir.join("tls"), "test.internal".parse()?)?;
    let listener = bind("127.0.0.1:0".parse()?).await?;
    let address = listener.local_addr()?.to_string();
    let tasks = Tasks::new(Shutdown::new());
    let kit =
        ServiceKit::new(Service::Audit, peers(&ca, Service::Audit, &address)?, tasks.clone(), &dir.join("audit"))?;
    let parts = build(Config::default(), &kit).await?;
    serve(&kit, listener, parts).await?;
    let recorder = |of| anyhow::Ok(MeshRecorder::new(peers(&ca, of, &address)?.channel(Service::Audit)?));
    Ok(House { tasks, executor: recorder(Service::Executor)?, stranger: recorder(Service::Edge)? })
}

fn entry(of: Service, job: &str) -> runwarden_kit::audit::Entry {
    EntryBuilder::new(&SystemClock, of, "job.submit", "job", job)
        .tenant("acme")
        .details(&serde_json::json!({ "template": "deploy" }))
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_record_over_the_mesh_and_the_file_proves_it_after_a_restart() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = database_path(&dir.path().join("audit"));
    for round in 1..=2_u64 {
        let house = start(dir.path()).await?;
        let entries = (0..150).map(|n| entry(Service::Executor, &format!("job_{round}_{n}"))).collect();
        house.executor.record_all(entries).await?;
        // What another service says in the executor's name is not recorded.
        let refused = house.stranger.record(entry(Service::Executor, "job_x")).await;
        assert_eq!(refused.err().map(|error| error.reason()), Some(ErrorReason::AuditUnavailable));
        house.stranger.record(entry(Service::Edge, "job_y")).await?;

        let running = cli::verify_database(&path, cli::Against::default()).await?;
        assert!(running.is_whole(), "{}", running);
        assert_eq!(running.first().map(|report| report.records), Some(round * 151));

        house.tasks.shutdown().begin();
        drop((house.executor, house.stranger));
        assert!(house.tasks.join(Duration::from_secs(20)).await, "all tasks ended");
        let stopped = cli::verify_database(&path, cli::Against::default()).await?;
        assert!(stopped.is_whole(), "{}", stopped);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_key_does_not_start_over_old_logs() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let house = start(dir.path()).await?;
    house.executor.record(entry(Service::Executor, "job_1")).await?;
    house.tasks.shutdown().begin();
    drop((house.executor, house.stranger));
    assert!(house.tasks.join(Duration::from_secs(20)).await, "all tasks ended");
    std::fs::remove_file(dir.path().join("audit/audit-signing.key"))?;
    let refused = start(dir.path()).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("audit-signing.key is missing"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_one_log_is_noted_by_health_and_stops_nobody_else() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let house = start(dir.path()).await?;
    house.executor.record(entry(Service::Executor, "job_1")).await?;
    stop(house).await;
    assert_eq!(health(dir.path()).await?, (ServingStatus::Serving, None));

    let options = SqliteConnectOptions::new().filename(database_path(&dir.path().join("audit")));
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql("DROP TRIGGER tiles_stay; DELETE FROM tiles;").execute(&mut database).await?;
    database.close().await?;
    let note = Some("audit logs: damaged: acme".to_owned());
    assert_eq!(health(dir.path()).await?, (ServingStatus::Serving, note));

    let house = start(dir.path()).await?;
    let refused = house.executor.record(entry(Service::Executor, "job_2")).await;
    assert_eq!(refused.err().map(|error| error.reason()), Some(ErrorReason::AuditLogUntrusted));
    let other = EntryBuilder::new(&SystemClock, Service::Executor, "job.submit", "job", "job_3").tenant("umbrella");
    house.executor.record(other.build()).await?;
    stop(house).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_saw_more_than_there_is_stops_that_log_and_no_other() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let house = start(dir.path()).await?;
    let seen = house.executor.seen().context("a service keeps what it saw")?;
    seen.load(Vec::new());
    house.executor.record(entry(Service::Executor, "job_1")).await?;
    house.executor.record(entry(Service::Executor, "job_2")).await?;
    let saw = seen.all();
    assert_eq!(saw.iter().map(|head| (head.tenant.as_str(), head.size)).collect::<Vec<_>>(), [("acme", 2)]);
    assert!(house.executor.compare(saw.clone()).await?.is_empty());
    stop(house).await;

    // All of it is gone, and the key with it.
    std::fs::remove_dir_all(dir.path().join("audit"))?;
    let house = start(dir.path()).await?;
    let seen = house.executor.seen().context("a service keeps what it saw")?;
    seen.load(saw.clone());
    let untrusted = house.executor.compare(saw.clone()).await?;
    assert_eq!(untrusted.iter().map(|log| log.tenant.as_str()).collect::<Vec<_>>(), ["acme"]);
    let refused = house.executor.record(entry(Service::Executor, "job_3")).await;
    assert_eq!(refused.err().map(|error| error.reason()), Some(ErrorReason::AuditLogUntrusted));
    // The log takes nothing from anybody, whatever they saw; the edge cannot call one into question.
    let refused = house.stranger.record(entry(Service::Edge, "job_4")).await;
    assert_eq!(refused.err().map(|error| error.reason()), Some(ErrorReason::AuditLogUntrusted));
    assert!(house.stranger.compare(saw.clone()).await.is_err());
    stop(house).await;

    // An operator says that this is as it should be.
    let accepted = accept_restore(&dir.path().join("audit"), &["acme".to_owned()], "root", "lost", &[]).await?;
    assert_eq!(accepted.len(), 1);
    let house = start(dir.path()).await?;
    house.executor.seen().context("a service keeps what it saw")?.load(saw);
    house.executor.record(entry(Service::Executor, "job_5")).await?;
    stop(house).await;
    Ok(())
}

async fn stop(house: House) {
    house.tasks.shutdown().begin();
    drop((house.executor, house.stranger));
    assert!(house.tasks.join(Duration::from_secs(20)).await, "all tasks ended");
}

/// Starts the service on its data, in a house where callers can be verified, and asks how it is.
async fn health(dir: &Path) -> anyhow::Result<(ServingStatus, Option<String>)> {
    let ca = DevCa::open(&dir.join("tls"), "test.internal".parse()?)?;
    let listener = bind("127.0.0.1:0".parse()?).await?;
    let address = listener.local_addr()?.to_string();
    let tasks = Tasks::new(Shutdown::new());
    let own = peers(&ca, Service::Audit, &address)?;
    let mut kit = ServiceKit::new(Service::Audit, own, tasks.clone(), &dir.join("audit"))?;
    kit.trust = Trust::fixed(Verifier::default());
    let parts = build(Config::default(), &kit).await?;
    serve(&kit, listener, parts).await?;
    let mut client = HealthClient::new(peers(&ca, Service::Edge, &address)?.channel(Service::Audit)?);
    let answer = client.check(HealthCheckRequest::default()).await?;
    let note = answer.metadata().get(NOTES).map(|note| note.to_str().map(str::to_owned)).transpose()?;
    let status = (answer.get_ref().status(), note);
    drop((client, kit));
    tasks.shutdown().begin();
    assert!(tasks.join(Duration::from_secs(20)).await, "all tasks ended");
    Ok(status)
}
