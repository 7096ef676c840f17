//! How many deliveries a second are accepted over 16 connections. Runwarden has each on disk and in its audit log before
//! it answers; `ansible-rulebook` has it in memory.

use std::path::Path;
use std::time::Duration;

use super::hook::{self, KEY};
use super::rulebook::{Rulebook, Strategy};
use crate::controller::Options;
use crate::figures::Table;
use crate::load::{self, Answered, Request};
use crate::stage::{Stage, TEMPLATE};
use crate::usage::Usage;

const CONNECTIONS: u32 = 16;
/// Its runs do not end: all but one of its jobs wait.
const HELD: &str = "hangs";
/// More than arrive, so that none is turned away.
const ROOM: [(&str, &str); 3] = [
    ("RUNWARDEN_HOOK_MAX_WAITING_DELIVERIES", "10000000"),
    ("RUNWARDEN_HOOK_MAX_DELIVERIES", "10000000"),
    ("RUNWARDEN_HOOK_MAX_DELIVERY_MIB", "100000"),
];

/// Measures it.
pub(super) async fn measure(peer: Option<&Path>, quick: bool) {
    let Some(wrk) = load::find() else {
        println!("\nAccepted deliveries were not measured: that needs what `tests/tools/backends debian` gets.");
        return;
    };
    let time = Duration::from_secs(if quick { 1 } else { 10 });
    let options = Options { room: 1_000_000, speed: 1.0, latency_ms: 0 };
    let mut table = Table::default();
    for (what, template, most) in [("its jobs wait", HELD, 1), ("its jobs are launched", TEMPLATE, 0)] {
        let stage =
            Stage::with(&options, |settings| ROOM.iter().fold(settings, |all, (name, value)| all.set(name, value)));
        let stage = stage.await;
        stage.map(template, most).await;
        let path = hook::configure(&stage, "push", template).await;
        let before = stage.usage();
        let url = stage.public_url();
        let answered = load::offer(&wrk, Request::Deliver(&path), url, KEY, CONNECTIONS, time).await;
        tell(&mut table, &format!("Runwarden, {what}"), &answered, &before, &stage.usage());
        let launches = stage.controller.launches().await;
        table.told(format!("Runwarden, {what}: launched meanwhile"), format!("{launches}"));
    }
    if let Some(peer) = peer {
        let stage = Stage::set(&options).await;
        let rulebook = Rulebook::start(peer, &stage.controller, Strategy::Parallel).await;
        let before = rulebook.usage();
        let url = rulebook.url();
        let answered = load::offer(&wrk, Request::Deliver("/endpoint"), &url, KEY, CONNECTIONS, time).await;
        tell(&mut table, "ansible-rulebook, parallel", &answered, &before, &rulebook.usage());
        let launches = stage.controller.launches().await;
        table.told("ansible-rulebook, parallel: launched meanwhile", format!("{launches}"));
    }
    table.print(&format!("Deliveries accepted over {CONNECTIONS} connections"));
}

fn tell(table: &mut Table, who: &str, answered: &Answered, before: &Usage, after: &Usage) {
    let lost = answered.refused + answered.broken;
    let figures = format!("{:.0} /s; p50 {:.1} ms, p99 {:.1} ms", answered.rate, answered.p50, answered.p99);
    table.told(format!("{who}: accepted"), figures);
    table.told(format!("{who}: not accepted"), format!("{lost}"));
    let cpu = (after.cpu.saturating_sub(before.cpu)).as_secs_f64() * 1000.0 / answered.requests.max(1) as f64;
    table.told(format!("{who}: processor time a delivery; memory"), format!("{cpu:.2} ms; {:.0} MiB", after.memory));
}
