//! How many reads a second are answered: one job, and the first page of a list.

use std::time::Duration;

use crate::controller::Options;
use crate::figures::Table;
use crate::load::{self, Request};
use crate::stage::{Stage, TEMPLATE};

/// How many connections the load comes over.
const CONNECTIONS: u32 = 16;
/// How many jobs there are.
const JOBS: u64 = 1000;
/// What is aimed for, answers a second.
const AIM: f64 = 10_000.0;

/// Measures them.
pub(crate) async fn measure(quick: bool) {
    let Some(wrk) = load::find() else {
        println!("\nReads were skipped: they need wrk, which `tests/tools/backends debian` gets.");
        return;
    };
    let stage = Stage::set(&Options { room: 10, speed: 1.0, latency_ms: 0 }).await;
    stage.map(TEMPLATE, 1).await;
    let ids = stage.submit_all(TEMPLATE, 0..if quick { 20 } else { JOBS }).await;
    let caller = stage.caller().await;
    let time = Duration::from_secs(if quick { 1 } else { 8 });
    let one = format!("/api/v1/jobs/{}", ids.last().expect("a job"));
    let mut table = Table::default();
    for (what, path) in [("a job", one.as_str()), ("a page of ten", "/api/v1/jobs?page_size=10")] {
        let before = stage.usage();
        let answered = load::offer(&wrk, Request::Read(path), caller.base(), caller.token(), CONNECTIONS, time).await;
        assert_eq!((answered.refused, answered.broken), (0, 0), "every read is answered");
        let cpu = (stage.usage().cpu - before.cpu).as_secs_f64() * 1000.0 / answered.requests.max(1) as f64;
        table.aimed(format!("{what}: answers"), answered.rate, "/s", AIM);
        let more = format!("{:.2} / {:.2} ms; {cpu:.3} ms of processor time each", answered.p50, answered.p99);
        table.told(format!("{what}: p50 / p99"), more);
    }
    table.print(&format!("Reads, {CONNECTIONS} connections"));
}
