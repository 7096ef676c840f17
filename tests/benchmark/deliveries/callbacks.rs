//! Callbacks to a receiver that is well, alone and beside one that is slow and one that is dead.
//!
//! Many runs end at the same moment, so that the queue of messages is as long as it gets. A message's time runs from when
//! it was made, which is when Runwarden knew of the end.

use std::collections::HashMap;
use std::time::Duration;

use runwarden_harness::ports::Port;
use runwarden_harness::until_within;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::receiver::{Arrived, Receiver};
use crate::controller::Options;
use crate::figures::{Table, Times};
use crate::stage::Stage;

/// Runs until it is ended.
const TEMPLATE: &str = "hangs";
/// How long the slow receiver takes for an answer: less than after which it is given up.
const SLOW: Duration = Duration::from_secs(10);
/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures it.
pub(super) async fn measure(quick: bool) {
    let jobs = if quick { 50 } else { 2_000 };
    let (well, slow) = (Receiver::start(Duration::ZERO).await, Receiver::start(SLOW).await);
    // Held, so that nobody listens there.
    let nobody = Port::take();
    let dead = format!("http://{}", nobody.address());
    let allowed = [well.url(), slow.url(), dead.clone()].join(",");
    let options = Options { room: 100_000, speed: 1.0, latency_ms: 0 };
    let stage = Stage::with(&options, |settings| settings.set("RUNWARDEN_OUTBOUND_ALLOW", &allowed)).await;
    stage.map(TEMPLATE, 0).await;
    let mut table = Table::default();
    receive(&stage, "well", &well.url()).await;
    let alone = ends(&stage, &well, 0..jobs, &mut table, "alone").await;
    receive(&stage, "slow", &slow.url()).await;
    receive(&stage, "dead", &dead).await;
    let beside = ends(&stage, &well, jobs..2 * jobs, &mut table, "beside a slow and a dead one").await;
    table.told("rate beside them / alone", format!("{:.2}", beside / alone));
    table.told(format!("the slow one, {} s an answer: got meanwhile", SLOW.as_secs()), slow.count().to_string());
    table.print(&format!("Callbacks: {jobs} runs end at once"));
}

async fn receive(stage: &Stage, name: &str, url: &str) {
    let body = json!({"name": name, "project": "web", "url": format!("{url}/")});
    let _callback = stage.admin().post("/api/v1/callbacks", &body).await.expect(201);
}

/// Ends as many runs at once, and answers how many messages a second the receiver got.
async fn ends(stage: &Stage, well: &Receiver, jobs: std::ops::Range<u64>, table: &mut Table, how: &str) -> f64 {
    let wanted = (jobs.end - jobs.start) as usize;
    let launches = jobs.end;
    stage.submit_all(TEMPLATE, jobs).await;
    stage.controller.launched(launches, PATIENCE).await;
    let caller = stage.caller().await;
    let answered = async || {
        let page = caller.get("/api/v1/jobs?state=launching&page_size=1").await.expect(200);
        page.get("items").and_then(Value::as_array).is_some_and(Vec::is_empty).then_some(())
    };
    until_within(PATIENCE, "all launches to be answered", answered).await;
    well.take();
    stage.controller.finish_all().await;
    until_within(PATIENCE, "all messages", async || (well.count() >= wanted).then_some(())).await;
    let arrived = well.take();
    let ends = arrived.iter().map(|message| message.at);
    let (first, last) = (ends.clone().min().expect("a message"), ends.max().expect("a message"));
    let rate = (wanted - 1) as f64 / (last - first).as_seconds_f64();
    table.told(format!("{how}: delivered"), format!("{rate:.0} /s"));
    let made = made(stage).await;
    let since =
        |message: &Arrived| (message.at - *made.get(&message.id).expect("a message that was made")).as_seconds_f64();
    let times = Times::of(arrived.iter().map(|message| since(message) * 1000.0));
    table.told(format!("{how}: from when Runwarden knew of the end, p50 / p90 / p99 / max, ms"), times.shown());
    table.told(format!("{how}: more than once"), (arrived.len() - wanted).to_string());
    rate
}

/// When the messages of the receiver that is well were made, by id.
async fn made(stage: &Stage) -> HashMap<String, OffsetDateTime> {
    let text = |message: &Value, field: &str| message.get(field).and_then(Value::as_str).expect("a text").to_owned();
    let all = stage.admin().all("/api/v1/callbacks/well/messages").await;
    let time = |message| OffsetDateTime::parse(&text(message, "created_at"), &Rfc3339).expect("a time");
    all.iter().map(|message| (text(message, "id"), time(message))).collect()
}
