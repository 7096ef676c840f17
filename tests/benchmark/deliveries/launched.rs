//! From an event to the request that launches its job, at fixed rates, and what a kill costs.
//!
//! Both systems get the same events from the same sender and launch the same template of the same controller, one after
//! the other. Whichever is measured runs alone.

use std::path::Path;
use std::time::Duration;

use super::PATIENCE;
use super::events::{Became, Sender};
use super::hook;
use super::rulebook::{Rulebook, Strategy};
use crate::controller::Options;
use crate::stage::{Stage, TEMPLATE};
use runwarden_harness::Signal;

/// Events a second.
const RATES: [u64; 3] = [1, 50, 200];
/// How long is waited for what was accepted before a kill: a launch that was under way then is not begun again before it
/// is certain that it did not happen.
const AFTER_KILL: Duration = Duration::from_secs(240);
/// The rate of the turn that ends with a kill.
const KILLED_AT: u64 = 100;

/// Measures it.
pub(super) async fn measure(peer: Option<&Path>, quick: bool) {
    let options = Options { room: 100_000, speed: 20.0, latency_ms: 0 };
    let mut stage = Stage::set(&options).await;
    stage.map(TEMPLATE, 0).await;
    let path = hook::configure(&stage, "push", TEMPLATE).await;
    let seconds = if quick { 2 } else { 10 };
    let mut turns = Vec::new();
    let mut next = 0;
    let mut numbers = |count: u64| {
        next += count;
        next - count..next
    };
    let ours = Sender::to(format!("{}{path}", stage.public_url()));
    // Connections, caches and compiled modules are not what is measured.
    ours.at_rate(&stage.controller, numbers(20), 20, async || {}, PATIENCE).await;
    for rate in RATES {
        let became = ours.at_rate(&stage.controller, numbers(rate * seconds), rate, async || {}, PATIENCE).await;
        turns.push(("Runwarden", format!("{rate} /s"), became));
    }
    if let Some(peer) = peer {
        for (who, strategy) in
            [("ansible-rulebook, parallel", Strategy::Parallel), ("ansible-rulebook, sequential", Strategy::Sequential)]
        {
            for rate in RATES {
                // What it has not launched is not to count for the next rate.
                let rulebook = Rulebook::start(peer, &stage.controller, strategy).await;
                let theirs = Sender::to(rulebook.endpoint());
                let became =
                    theirs.at_rate(&stage.controller, numbers(rate * seconds), rate, async || {}, PATIENCE).await;
                turns.push((who, format!("{rate} /s"), became));
            }
        }
    }

    let (count, after_kill) = if quick { (50, PATIENCE) } else { (500, AFTER_KILL) };
    let range = numbers(count);
    let (controller, system) = (&stage.controller, &mut stage.system);
    let became =
        ours.at_rate(controller, range, KILLED_AT, async || system.restart(Signal::Kill).await, after_kill).await;
    turns.push(("Runwarden", format!("{KILLED_AT} /s, then killed"), became));
    if let Some(peer) = peer {
        let mut rulebook = Rulebook::start(peer, controller, Strategy::Parallel).await;
        let theirs = Sender::to(rulebook.endpoint());
        let range = numbers(count);
        let became = theirs.at_rate(controller, range, KILLED_AT, async || rulebook.restart().await, PATIENCE).await;
        turns.push(("ansible-rulebook, parallel", format!("{KILLED_AT} /s, then killed"), became));
    }
    print(&turns);
    compare(&turns);
}

fn print(turns: &[(&str, String, Became)]) {
    println!("\n### From an event to its launch\n");
    println!(
        "p50 / p90 / p99 / max, milliseconds. Launches that come {PATIENCE:?} after the last event do not count.\n"
    );
    println!(
        "| | events | sent | accepted | launched | more than once | event to launch | event to answer | launches |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|");
    for (who, rate, became) in turns {
        let Became { sent, taken, launched, twice, answer, launch, rate: launches } = became;
        let (launch, answer) = (launch.shown(), answer.shown());
        println!(
            "| {who} | {rate} | {sent} | {taken} | {launched} | {twice} | {launch} | {answer} | {launches:.1} /s |"
        );
    }
}

/// Beside its best: the parallel strategy.
fn compare(turns: &[(&str, String, Became)]) {
    println!(
        "\n| events | median delay, theirs / ours | p99, theirs / ours | launches, ours / theirs |\n|---|---:|---:|---:|"
    );
    for (_, rate, ours) in turns.iter().filter(|(who, ..)| *who == "Runwarden") {
        let theirs = turns.iter().find(|(who, at, _)| who.ends_with("parallel") && at == rate);
        let Some((.., theirs)) = theirs else { continue };
        let [p50, p99] = [0.5, 0.99].map(|part| theirs.launch.quantile(part) / ours.launch.quantile(part));
        println!("| {rate} | {p50:.1} | {p99:.1} | {:.1} |", ours.rate / theirs.rate);
    }
}
