//! Where and of what the figures are.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Instant;

use crate::figures::{Times, ms};

/// How often a page is written to disk to see how long that takes.
const SYNCS: usize = 200;

/// Prints the machine and the commit.
pub(crate) fn describe(quick: bool) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let of = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split(':').nth(1)).unwrap_or("unknown").trim().to_owned()
    };
    println!("Commit: {}", commit());
    println!(
        "Machine: {cores} cores, {}, memory {}",
        of(&file("/proc/cpuinfo"), "model name"),
        of(&file("/proc/meminfo"), "MemTotal")
    );
    println!("Disk: a page of 4 KiB overwritten and synced in {} ms (p50 / p90 / p99 / max)", syncs().shown());
    println!("Load average at the beginning: {}", load());
    if cfg!(debug_assertions) {
        println!("This is a debug build: its figures say nothing.");
    }
    if quick {
        println!("Small, to see that it works: its figures say little.");
    }
}

/// How busy the machine is: the mean number of programs that wanted to run in the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { ", with changes" };
    format!("{}{changed}", git(&["rev-parse", "--short", "HEAD"]))
}

/// How long it takes to bring a page that is overwritten to disk, where the data folders of the systems under test are.
fn syncs() -> Times {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = File::create(folder.path().join("sync")).expect("a file");
    let page = [7; 4096];
    let write = || {
        file.write_all_at(&page, 0).expect("a write");
        file.sync_all().expect("a sync");
    };
    write();
    Times::of((0..SYNCS).map(|_| {
        let begun = Instant::now();
        write();
        ms(begun.elapsed())
    }))
}
