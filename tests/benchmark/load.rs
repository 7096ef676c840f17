//! The load: wrk, which takes little of the cores that it shares with what it measures.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::stage::tomorrow;

/// What came of one load.
pub(crate) struct Answered {
    /// How many requests were answered.
    pub(crate) requests: u64,
    /// How many of them with something else than success.
    pub(crate) refused: u64,
    /// How many had no answer.
    pub(crate) broken: u64,
    /// Answers a second.
    pub(crate) rate: f64,
    /// Median of the time to an answer, milliseconds.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
}

/// Where wrk is.
pub(crate) fn find() -> Option<PathBuf> {
    program("wrk", &[backends().join("debian/usr/bin")])
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    /// To accept a job that starts tomorrow.
    Submit,
    /// To answer what is at a path.
    Read(&'a str),
    /// To take an event at a path, as GitLab sends it.
    Deliver(&'a str),
}

/// Asks over these connections, the next request as soon as the last is answered.
pub(crate) async fn offer(
    wrk: &Path,
    request: Request<'_>,
    url: &str,
    token: &str,
    connections: u32,
    time: Duration,
) -> Answered {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmark/load.lua");
    let tomorrow = tomorrow();
    let (what, argument) = match request {
        Request::Submit => ("submit", tomorrow.as_str()),
        Request::Read(path) => ("read", path),
        Request::Deliver(path) => ("deliver", path),
    };
    let threads = connections.min(2).to_string();
    let libraries = backends().join("debian/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let run = Command::new(wrk)
        .args(["-t", &threads, "-c", &connections.to_string(), "-d", &format!("{}s", time.as_secs())])
        .args(["--timeout", "10s", "-s"])
        .arg(script)
        .args([url, "--", token, what, argument])
        .env("LD_LIBRARY_PATH", libraries)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("wrk runs");
    let text = String::from_utf8_lossy(&run.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let printed: Value = serde_json::from_str(line.unwrap_or(&text)).expect("what load.lua prints");
    // Times are in microseconds.
    let number = |name: &str| printed.get(name).and_then(Value::as_u64).expect("a number that load.lua prints");
    Answered {
        requests: number("requests"),
        refused: number("refused"),
        broken: number("broken"),
        rate: number("requests") as f64 * 1_000_000.0 / number("micros") as f64,
        p50: number("p50") as f64 / 1000.0,
        p99: number("p99") as f64 / 1000.0,
    }
}

/// A program, where the tools of this project are, or in the search path.
pub(crate) fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Where the tools of this project are.
pub(crate) fn backends() -> PathBuf {
    std::env::var_os("RUNWARDEN_BACKENDS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".backends"), PathBuf::from)
}
