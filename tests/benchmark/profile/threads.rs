//! What the kernel counts for a process: processor time and switches by thread, and bytes written.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::Load;
use crate::usage::{Stat, TICKS};

/// What is known of the threads of one name.
#[derive(Clone, Copy, Default)]
struct Threads {
    user: u64,
    system: u64,
    switches: u64,
}

/// What was counted up to a moment.
struct Counted {
    threads: BTreeMap<String, Threads>,
    /// Bytes that were handed to the kernel to be written, and those that it had to bring to a disk.
    written: (u64, u64),
}

const TICK_MICROS: u64 = 1_000_000 / TICKS;

pub(super) async fn print(pid: u32, load: &Load, look: Duration) {
    let before = Counted::of(pid);
    let jobs = load.passed(look).await.max(1);
    let after = Counted::of(pid);
    let each = |more: u64, less: u64| more.saturating_sub(less) as f64 / jobs as f64;
    println!("\n| thread | in the program | in the kernel | switches |\n|---|---:|---:|---:|");
    let mut sum = [0.0; 3];
    for (name, now) in &after.threads {
        let then = before.threads.get(name).copied().unwrap_or_default();
        let row = [
            each(now.user * TICK_MICROS, then.user * TICK_MICROS),
            each(now.system * TICK_MICROS, then.system * TICK_MICROS),
            each(now.switches, then.switches),
        ];
        sum = [sum[0] + row[0], sum[1] + row[1], sum[2] + row[2]];
        if row[0] + row[1] >= 1.0 {
            println!("| {name} | {:.0} | {:.0} | {:.1} |", row[0], row[1], row[2]);
        }
    }
    println!("| **all** | **{:.0}** | **{:.0}** | **{:.1}** |", sum[0], sum[1], sum[2]);
    println!(
        "\n{:.0} jobs a second; {:.0} bytes written a job, {:.0} of them to disk.",
        jobs as f64 / look.as_secs_f64(),
        each(after.written.0, before.written.0),
        each(after.written.1, before.written.1)
    );
}

impl Counted {
    fn of(pid: u32) -> Self {
        let mut threads = BTreeMap::<String, Threads>::new();
        for folder in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let Some((name, one)) = thread(&folder.path().to_string_lossy()) else { continue };
            let all = threads.entry(name).or_default();
            all.user += one.user;
            all.system += one.system;
            all.switches += one.switches;
        }
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let count = |key: &str| {
            io.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        Self { threads, written: (count("wchar:"), count("write_bytes:")) }
    }
}

fn thread(folder: &str) -> Option<(String, Threads)> {
    let stat = Stat::read(folder)?;
    let (user, system) = (stat.number(14)?, stat.number(15)?);
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let switches =
        status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok()).sum();
    // Threads of a pool are told apart by a number, which says nothing.
    let name = stat.name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
    Some((name, Threads { user, system, switches }))
}
