//! Runwarden beside the design that it replaces: the same requests, from the same load generator, on the same cores, in
//! one run.
//!
//! Both systems accept jobs that start tomorrow, so that neither launches anything meanwhile. The old design is in
//! `old_design/`. The two take turns, and the figures shown are medians over the turns: what else the machine does
//! meets both.

mod old_design;
mod postgres;

use std::path::Path;
use std::time::Duration;

use crate::controller::Options;
use crate::figures::Times;
use crate::load::{self, Answered, Request};
use crate::stage::{Stage, TEMPLATE};
use crate::usage::Usage;
use old_design::OldDesign;
use postgres::Postgres;

/// How many connections the load comes over.
const CONNECTIONS: [u32; 3] = [1, 16, 64];

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Old,
    Runwarden,
}

/// One turn of one of them.
struct Turn {
    who: Who,
    connections: u32,
    answered: Answered,
    /// Processor time for each request, milliseconds; without the database.
    cpu: f64,
    /// That of the database.
    database_cpu: f64,
    /// Memory at the end, MiB, with the database.
    memory: f64,
}

/// Measures both. Answers false where PostgreSQL, wrk or the old design's packages are missing, having said so.
pub(crate) async fn measure(quick: bool) -> bool {
    let (Some(postgres), Some(packages), Some(wrk)) = (postgres::find(), old_design::find(), load::find()) else {
        println!(
            "\nThe comparison was skipped: it needs PostgreSQL, and what `tests/tools/backends debian old-design` gets."
        );
        return false;
    };
    let (rounds, seconds) = if quick { (1, 1) } else { (5, 8) };
    let postgres = Postgres::start(&postgres).await;
    let old = OldDesign::start(&packages, &postgres).await;
    let stage = Stage::set(&Options { room: 10, speed: 1.0, latency_ms: 0 }).await;
    stage.map(TEMPLATE, 0).await;
    stage.decide_by("parameters", include_str!("policy.rego")).await;
    let mut turns = Vec::new();
    for round in 0..rounds {
        for connections in CONNECTIONS {
            // Who goes first changes, so that neither always meets what the other left to be written.
            let order = if round % 2 == 0 { [Who::Old, Who::Runwarden] } else { [Who::Runwarden, Who::Old] };
            for who in order {
                turns.push(turn(who, connections, seconds, &wrk, &old, &postgres, &stage).await);
            }
        }
    }
    let accepted =
        |who: Who| turns.iter().filter(|turn| turn.who == who).map(|turn| turn.answered.requests).sum::<u64>();
    // Whatever was answered is there, with its record.
    let kept = postgres.counts().await;
    assert_eq!(kept.len(), 2, "jobs and audit records were counted");
    assert!(kept.iter().all(|rows| *rows >= accepted(Who::Old)), "the old design lost something: {kept:?}");
    let listed = stage.metric("runwarden_jobs_accepted_total").await;
    assert!(listed >= accepted(Who::Runwarden) as f64, "Runwarden counted {listed} jobs");
    let plain = postgres.two_rows(if quick { 1 } else { 10 });
    print(&turns, &plain);
    true
}

async fn turn(
    who: Who,
    connections: u32,
    seconds: u64,
    wrk: &Path,
    old: &OldDesign,
    postgres: &Postgres,
    stage: &Stage,
) -> Turn {
    let usage = || match who {
        Who::Old => (old.usage(), postgres.usage()),
        Who::Runwarden => (stage.usage(), Usage::default()),
    };
    let (url, token) = match who {
        Who::Old => (old.url(), old.token()),
        Who::Runwarden => {
            let caller = stage.caller().await;
            (caller.base().to_owned(), caller.token().to_owned())
        }
    };
    let before = usage();
    let answered = load::offer(wrk, Request::Submit, &url, &token, connections, Duration::from_secs(seconds)).await;
    let after = usage();
    assert_eq!((answered.refused, answered.broken), (0, 0), "every request is accepted");
    let each = |now: Usage, then: Usage| (now.cpu - then.cpu).as_secs_f64() * 1000.0 / answered.requests.max(1) as f64;
    Turn {
        who,
        connections,
        cpu: each(after.0, before.0),
        database_cpu: each(after.1, before.1),
        memory: after.0.memory + after.1.memory,
        answered,
    }
}

/// The medians as a Markdown table.
fn print(turns: &[Turn], plain: &str) {
    println!("\n### Beside the design that Runwarden replaces\n");
    println!("Jobs accepted a second; milliseconds; processor time a request; memory at the end.\n");
    println!("| connections | | accepted | p50 | p99 | processor time | database's | memory |");
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    for connections in CONNECTIONS {
        let median = |who: Who, figure: fn(&Turn) -> f64| {
            let of_it = turns.iter().filter(|turn| turn.who == who && turn.connections == connections);
            Times::of(of_it.map(figure)).quantile(0.5)
        };
        for (who, name) in [(Who::Old, "old design"), (Who::Runwarden, "Runwarden")] {
            println!(
                "| {connections} | {name} | {:.0} /s | {:.1} | {:.1} | {:.2} ms | {:.2} ms | {:.0} MiB |",
                median(who, |turn| turn.answered.rate),
                median(who, |turn| turn.answered.p50),
                median(who, |turn| turn.answered.p99),
                median(who, |turn| turn.cpu),
                median(who, |turn| turn.database_cpu),
                median(who, |turn| turn.memory),
            );
        }
        let ratio = |figure: fn(&Turn) -> f64| median(Who::Runwarden, figure) / median(Who::Old, figure);
        println!(
            "| {connections} | **Runwarden / old design** | {:.2} | {:.2} | {:.2} | {:.2} | | {:.2} |",
            ratio(|turn| turn.answered.rate),
            ratio(|turn| turn.answered.p50),
            ratio(|turn| turn.answered.p99),
            ratio(|turn| turn.cpu + turn.database_cpu),
            ratio(|turn| turn.memory),
        );
    }
    println!("\nThe same two rows inserted by `pgbench`, prepared, 16 connections: {plain} transactions a second.");
}
