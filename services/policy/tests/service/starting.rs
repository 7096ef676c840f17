//! The service starts only if it can run policies, and a worker is nothing but a worker.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use runwarden_kit::audit::MemoryRecorder;
use runwarden_kit::clock::SystemClock;
use runwarden_kit::lifecycle::{Shutdown, Tasks};
use runwarden_kit::mesh::pki::DevCa;
use runwarden_kit::mesh::{MeshTls, Peer, Peers, Service};
use runwarden_kit::service::ServiceKit;
use runwarden_kit::trust::Trust;
use runwarden_policy::{Config, build};

const PROGRAM: &str = env!("CARGO_BIN_EXE_runwarden-policy");

fn kit(folder: &Path) -> anyhow::Result<ServiceKit> {
    let domain: runwarden_kit::mesh::TrustDomain = "test.internal".parse()?;
    let pair = DevCa::open(&folder.join("ca"), domain.clone())?.service(Service::Policy)?;
    let tls = MeshTls::load(pair, domain, Peer::Service(Service::Policy))?;
    let addresses = BTreeMap::from([(Service::Auth, "127.0.0.1:1".to_owned())]);
    let peers = Peers::new(tls, addresses);
    Ok(ServiceKit {
        service: Service::Policy,
        trust: Trust::from_auth(peers.channel(Service::Auth)?),
        peers,
        recorder: MemoryRecorder::new(),
        tasks: Tasks::new(Shutdown::new()),
        data_dir: folder.to_owned(),
        clock: Arc::new(SystemClock),
        notes: runwarden_kit::service::Notes::default(),
    })
}

#[tokio::test]
async fn the_service_is_built_on_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let kit = kit(folder.path()).unwrap();
    let config = Config { worker_command: Some(PathBuf::from(PROGRAM)), ..Config::default() };
    build(config, &kit).await.unwrap();
    kit.shutdown().begin();
    assert!(kit.tasks.join(std::time::Duration::from_secs(20)).await);
}

#[tokio::test]
async fn without_workers_the_service_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let kit = kit(folder.path()).unwrap();
    for command in ["/no/such/program", "/bin/true"] {
        let config = Config { worker_command: Some(PathBuf::from(command)), ..Config::default() };
        let error = build(config, &kit).await.err().unwrap();
        let said = format!("{error:#}");
        assert!(said.contains(command) && said.contains("policy worker"), "{said}");
    }
}

#[test]
fn a_worker_without_limits_does_not_run() {
    for arguments in [&["policy-worker"][..], &["policy-worker", "1", "2"]] {
        let status = Command::new(PROGRAM).args(arguments).status().unwrap();
        assert_eq!(status.code(), Some(2));
    }
}

#[test]
fn a_worker_ends_with_its_input() {
    let mut worker = Command::new(PROGRAM)
        .args(["policy-worker", "536870912", "10", "1000", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    worker.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("runwarden-policy-worker/4"));
    assert!(worker.wait().unwrap().success());
}

#[test]
fn a_worker_that_nobody_listens_to_ends_by_itself() {
    // It has a request that would take hours, limits that end it after a second, and nobody who
    // would kill it.
    let rules = "package runwarden.authz\nr := numbers.range(1, 100000)\nallow if {\n some a in r\n some b in r\n some c in r\n a + b + c == 0\n}\n";
    let request = format!(
        r#"{{"ask":"check","modules":[{{"name":"m","rego":{}}}],"input":"{{}}"}}"#,
        serde_json::Value::from(rules)
    );
    let mut worker = Command::new(PROGRAM)
        .args(["policy-worker", "536870912", "60", "3600000", "1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = worker.stdin.take().unwrap();
    let length = u32::try_from(request.len()).unwrap().to_be_bytes();
    std::io::Write::write_all(&mut pipe, &length).unwrap();
    std::io::Write::write_all(&mut pipe, request.as_bytes()).unwrap();
    assert!(!worker.wait().unwrap().success());
}

#[test]
fn the_program_serves_and_is_its_own_worker() {
    let folder = tempfile::tempdir().unwrap();
    let domain: runwarden_kit::mesh::TrustDomain = "test.internal".parse().unwrap();
    let ca = DevCa::open(&folder.path().join("ca"), domain).unwrap();
    let pair = ca.service(Service::Policy).unwrap();
    let mut service = Command::new(PROGRAM)
        .args(["--grpc-listen", "127.0.0.1:0", "--trust-domain", "test.internal"])
        .args(["--auth-address", "127.0.0.1:1", "--audit-address", "127.0.0.1:1"])
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .arg("--tls-certificate")
        .arg(&pair.certificate)
        .arg("--tls-key")
        .arg(&pair.key)
        .arg("--tls-ca")
        .arg(&pair.ca)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(service.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("is ready on") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert!(read > 0, "it ended before it was ready: {:?}", service.wait());
    }
    service.kill().unwrap();
    service.wait().unwrap();
}
