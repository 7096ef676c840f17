//! A controller that sends as much as it can while a lost launch is looked for: it takes what it may and no more, its
//! job is left to a person, and others notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, System, Tenant, until};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{deployment, settings};

/// How large a row is: ten of them fit into an answer that is still read.
const ROW: usize = 400_000;
/// What the process may take at most, all services and the sweep of the other tenant included. Its controllers' answers
/// get 64 MiB; kept row by row, they would come to more than a gigabyte.
const MOST: u64 = 300 * 1024 * 1024;

/// Stands before a controller, and answers searches for lost launches in its place: with huge rows without end.
struct Flood {
    address: SocketAddr,
    searches: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

impl Flood {
    async fn before(controller: &Controller) -> Self {
        let behind = controller.sandbox().address();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let searches = Arc::new(AtomicU64::new(0));
        let counted = searches.clone();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                // Whoever hangs up has heard enough.
                connections.spawn(async move { drop(serve(socket, behind, &counted).await) });
            }
        });
        Self { address, searches, _server: server }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One request a connection: looks at its head, and answers it or passes everything on.
async fn serve(mut socket: TcpStream, behind: SocketAddr, searches: &AtomicU64) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if socket.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&read);
    let line = head.lines().next().unwrap_or_default();
    if line.contains("/unified_jobs/") && line.contains("created_by=") {
        searches.fetch_add(1, Ordering::Relaxed);
        return flood(&mut socket, line).await;
    }
    // A kept connection would carry searches, too.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut controller = TcpStream::connect(behind).await?;
    controller.write_all(head.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut socket, &mut controller).await.map(drop)
}

async fn flood(socket: &mut TcpStream, line: &str) -> std::io::Result<()> {
    let number = |name: &str| {
        let rest = line.split(name).nth(1).unwrap_or_default();
        rest.split(['&', ' ']).next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
    };
    let (after, size) = (number("id__gt="), number("page_size=").max(1));
    socket
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-API-Product-Name: AWX\r\nConnection: close\r\n\r\n")
        .await?;
    socket.write_all(br#"{"count": 10000, "next": "/more", "results": ["#).await?;
    for id in after + 1..=after + size {
        let comma = if id > after + 1 { "," } else { "" };
        let row = format!(
            r#"{comma}{{"id": {}, "type": "job", "status": "running", "launch_type": "manual", "extra_vars": "{{\"a\": \"{}\"}}"}}"#,
            1_000_000 + id,
            "x".repeat(ROW)
        );
        socket.write_all(row.as_bytes()).await?;
    }
    socket.write_all(b"]}").await?;
    socket.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_rows_for_a_lost_launch_cost_their_own_tenant_only() {
    let settings = settings().impatient().set("RUNWARDEN_EXECUTOR_CONTROLLER_MEMORY_MIB", "64");
    let (hostile, honest) = (Controller::start().await, Controller::start().await);
    let mut system = System::start(&settings).await;
    let acme = Tenant::onboard(system.reach(), "acme", &hostile).await;
    let other = Tenant::onboard(system.reach(), "other", &honest).await;
    let flood = Flood::before(&hostile).await;
    let moved = json!({"url": flood.url(), "credential": {"token": hostile.sandbox().token()}});
    let _moved = acme.admin.patch("/api/v1/controllers/awx", &moved).await.expect(200);
    acme.map("deploy", "deploy").await;
    other.map("deploy", "deploy").await;

    let mut lost = Vec::new();
    for _ in 0..4 {
        hostile.at_next_launch(json!({"kind": "lose_before"})).await;
        let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
        until("the launch to be lost", async || (hostile.faults_due().await == 0).then_some(())).await;
        lost.push(id);
    }
    until("it to be looked for", async || (flood.searches.load(Ordering::Relaxed) > 4).then_some(())).await;
    let mut went_on = 0;
    while !all_parked(&acme, &lost).await {
        let job = other.launcher.run("deploy", deployment()).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
        went_on += 1;
    }
    assert!(went_on > 0, "the other tenant's jobs went on meanwhile");
    for id in &lost {
        let job = acme.launcher.over(id).await;
        assert_eq!((text(&job, "state"), text(&job, "reason")), ("unknown", "ambiguous"), "{job}");
    }
    assert_eq!(hostile.launched(), 0, "nothing was launched again");
    let peak = system.process().peak_memory();
    println!(
        "peak: {peak:?} bytes, {} searches, {went_on} jobs of the other tenant",
        flood.searches.load(Ordering::Relaxed)
    );
    assert!(peak.is_none_or(|bytes| bytes < MOST), "{peak:?} bytes");
}

async fn all_parked(tenant: &Tenant, jobs: &[String]) -> bool {
    for id in jobs {
        if text(&tenant.launcher.job(id).await, "state") != "unknown" {
            return false;
        }
    }
    true
}
