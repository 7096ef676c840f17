//! What callers cost that wait for the end of a job, while nothing happens.

use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::task::JoinSet;

use crate::controller::Options;
use crate::figures::Table;
use crate::stage::{Stage, TEMPLATE, tomorrow};

/// What is aimed for, percent of a core.
const AIM: f64 = 2.0;
/// More than all that wait, so that nobody is refused.
const ROOM: [(&str, &str); 8] = [
    ("RUNWARDEN_EDGE_MAX_CONNECTIONS", "8000"),
    ("RUNWARDEN_EDGE_ADDRESS_CONNECTIONS", "7000"),
    ("RUNWARDEN_EDGE_MAX_STREAMS", "8000"),
    ("RUNWARDEN_EDGE_TENANT_STREAMS", "7000"),
    ("RUNWARDEN_EDGE_PRINCIPAL_STREAMS", "6000"),
    ("RUNWARDEN_EXECUTOR_MAX_STREAMS", "8000"),
    ("RUNWARDEN_EXECUTOR_TENANT_STREAMS", "7000"),
    ("RUNWARDEN_EXECUTOR_PRINCIPAL_STREAMS", "6000"),
];

/// Measures it.
pub(crate) async fn measure(quick: bool) {
    let (callers, settle, look) = if quick { (50, 1, 1) } else { (5_000, 15, 20) };
    let options = Options { room: 10, speed: 1.0, latency_ms: 0 };
    let stage =
        Stage::with(&options, |settings| ROOM.iter().fold(settings, |all, (name, value)| all.set(name, value))).await;
    stage.map(TEMPLATE, 1).await;
    let caller = stage.caller().await;
    let body = serde_json::json!({"template": TEMPLATE, "parameters": {"n": 1}, "start_at": tomorrow()});
    let job = caller.post("/api/v1/jobs", &body).await.expect(202);
    let path = format!("/api/v1/jobs/{}?wait=60", job.get("id").and_then(serde_json::Value::as_str).expect("an id"));
    let idle = stage.usage();
    let mut waiting = JoinSet::new();
    for _ in 0..callers {
        let (caller, path) = (caller.clone(), path.clone());
        waiting.spawn(async move { caller.call(Method::GET, &path).send().await.status });
    }
    tokio::time::sleep(Duration::from_secs(settle)).await;
    let (before, begun) = (stage.usage(), Instant::now());
    tokio::time::sleep(Duration::from_secs(look)).await;
    let (after, took) = (stage.usage(), begun.elapsed());
    assert!(waiting.try_join_next().is_none(), "all of them still wait");
    waiting.shutdown().await;
    let mut table = Table::default();
    table.aimed(format!("{callers} callers wait: of one core"), after.percent_since(&before, took), "%", AIM);
    let each = (after.memory - idle.memory) * 1024.0 / f64::from(callers);
    table.told("memory more for each", format!("{each:.0} KiB"));
    table.print("Waiting while nothing happens");
}
