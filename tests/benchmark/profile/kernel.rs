//! What the kernel does for a process: system calls, syncs, allocations, counted by perf.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Load;

/// What is counted, and by which event.
const COUNTED: [(&str, &str); 7] = [
    ("system calls", "raw_syscalls:sys_enter"),
    ("futex", "syscalls:sys_enter_futex"),
    ("fsync and fdatasync", "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync"),
    ("pwrite64", "syscalls:sys_enter_pwrite64"),
    ("pread64", "syscalls:sys_enter_pread64"),
    ("fcntl (file locks)", "syscalls:sys_enter_fcntl"),
    ("writev, write and sendto", "syscalls:sys_enter_writev,syscalls:sys_enter_write,syscalls:sys_enter_sendto"),
];
/// Where a process allocates, as a probe of perf.
const ALLOCATION: &str = "probe_libc:malloc";

pub(super) async fn print(pid: u32, load: &Load, look: Duration) {
    let allocations = probe_allocations().await;
    let mut events: Vec<&str> = COUNTED.iter().map(|(_, event)| *event).collect();
    if allocations {
        events.push(ALLOCATION);
    }
    let before = load.count();
    let counted = stat(pid, &events, look).await;
    let jobs = (load.count() - before).max(1) as f64;
    remove_probe().await;
    let Some(counted) = counted else {
        println!("\nSystem calls and allocations are left out: perf is missing, or may not count them here.");
        return;
    };
    println!("\n| counted | a job |\n|---|---:|");
    let sum = |names: &str| -> f64 {
        let of = |name: &str| counted.iter().filter(|(event, _)| event == name).map(|(_, count)| *count).sum::<f64>();
        names.split(',').map(of).sum()
    };
    for (what, events) in COUNTED {
        println!("| {what} | {:.2} |", sum(events) / jobs);
    }
    if allocations {
        println!("| allocations (malloc) | {:.0} |", sum(ALLOCATION) / jobs);
    }
}

/// Counts events of a process; none if perf cannot.
async fn stat(pid: u32, events: &[&str], look: Duration) -> Option<Vec<(String, f64)>> {
    let run = Command::new("perf")
        .args(["stat", "-x", ",", "-p", &pid.to_string(), "-e", &events.join(",")])
        .args(["--", "sleep", &look.as_secs().max(1).to_string()])
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    if !run.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        Some(((*fields.get(2)?).to_owned(), fields.first()?.parse().ok()?))
    };
    let counted: Vec<(String, f64)> = text.lines().filter_map(line).collect();
    (!counted.is_empty()).then_some(counted)
}

/// Has perf count calls of the C library's allocator. Answers whether it can.
async fn probe_allocations() -> bool {
    let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64"];
    let Some(library) = folders.iter().map(|it| Path::new(it).join("libc.so.6")).find(|path| path.is_file()) else {
        return false;
    };
    let library = library.to_string_lossy().into_owned();
    perf(&["probe", "-q", "-x", &library, "--add", "malloc"]).await
}

async fn remove_probe() {
    let _gone = perf(&["probe", "-q", "--del", ALLOCATION]).await;
}

async fn perf(arguments: &[&str]) -> bool {
    let mut run = Command::new("perf");
    run.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().await.is_ok_and(|status| status.success())
}
