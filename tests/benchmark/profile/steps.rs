//! Processor time by step: each sample of a stack is given to the step that its innermost known frame belongs to.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Load;

/// Samples a second: not a divisor of what timers usually run at.
const FREQUENCY: &str = "499";

/// Steps and what the names of their functions contain. The innermost frame that is known decides, so what a step uses
/// of the general ones (allocation, copying, system calls) is its own.
const STEPS: &[(&str, &[&str])] = &[
    ("token", &["runwarden_kit::token", "runwarden_kit::trust", "jsonwebtoken"]),
    ("template", &["runwarden_project", "::templates::", "runwarden_kit::watched"]),
    ("schema", &["jsonschema", "accept::parameters", "runwarden_kit::schema"]),
    ("policy", &["regorus", "runwarden_rego", "runwarden_policy", "rpc::policies"]),
    ("sealing", &["runwarden_secret", "rpc::seals", "runwarden_engines::vault"]),
    ("audit", &["runwarden_audit", "runwarden_kit::audit", "sqlite::outbox"]),
    ("store", &["sqlite", "sqlx", "runwarden_executor::store", "runwarden_engines"]),
    ("telemetry", &["tracing", "opentelemetry", "metrics", "runwarden_kit::telemetry"]),
    ("TLS", &["rustls", "aws_lc"]),
    ("HTTP/2", &["h2::", "hyper::proto::h2"]),
    ("protobuf", &["prost::"]),
    ("mesh", &["runwarden_kit::mesh", "tonic::", "runwarden_kit::context"]),
    ("HTTP/1", &["hyper::proto::h1", "httparse"]),
    ("edge", &["runwarden_edge", "axum", "matchit"]),
    ("controllers", &["runwarden_awx", "reqwest", "hyper_util::client"]),
    ("jobs", &["runwarden_executor"]),
    ("runtime", &["tokio::", "mio::", "parking_lot", "futures_", "tower::"]),
];

pub(super) async fn print(pid: u32, load: &Load, look: Duration) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("samples").to_string_lossy().into_owned();
    let before = load.count();
    let arguments = ["record", "-q", "-F", FREQUENCY, "--call-graph", "dwarf,16384", "-o", &file];
    let seconds = look.as_secs().max(1).to_string();
    let recorded = Command::new("perf")
        .args(arguments)
        .args(["-p", &pid.to_string(), "--", "sleep", &seconds])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    let jobs = (load.count() - before).max(1);
    if !recorded.is_ok_and(|status| status.success()) {
        println!("\nThe steps are left out: perf is missing, or may not take samples here.");
        return;
    }
    let script = Command::new("perf")
        .args(["script", "-i", &file, "--no-inline", "-F", "comm,ip,sym"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .expect("perf reads what it wrote");
    let steps = divide(&String::from_utf8_lossy(&script.stdout));
    let all: u64 = steps.values().map(|step| step.samples).sum();
    println!("\n{all} samples of stacks, over {jobs} jobs.\n\n| step | part | in the kernel |\n|---|---:|---:|");
    let mut steps: Vec<(&str, Step)> = steps.into_iter().collect();
    steps.sort_by_key(|(_, step)| std::cmp::Reverse(step.samples));
    let part = |samples: u64| samples as f64 * 100.0 / all.max(1) as f64;
    for (name, step) in steps {
        println!("| {name} | {:.1} % | {:.1} % |", part(step.samples), part(step.kernel));
    }
}

/// Samples of one step.
#[derive(Clone, Copy, Default)]
struct Step {
    samples: u64,
    /// Of which the innermost frame is the kernel's.
    kernel: u64,
}

/// Divides what `perf script` prints: for each sample a line with the thread, then its frames from the innermost on, each
/// an address and a name, then an empty line.
fn divide(script: &str) -> BTreeMap<&'static str, Step> {
    let mut steps = BTreeMap::<&'static str, Step>::new();
    for sample in script.split("\n\n") {
        let mut lines = sample.trim_start_matches('\n').lines();
        if lines.next().is_none() {
            continue;
        }
        let frames: Vec<(&str, &str)> = lines.filter_map(|line| line.trim_start().split_once(' ')).collect();
        let Some((innermost, _)) = frames.first() else { continue };
        let step = frames.iter().find_map(|(_, name)| step_of(name)).unwrap_or("not known");
        let counted = steps.entry(step).or_default();
        counted.samples += 1;
        // Addresses in the upper half are the kernel's.
        counted.kernel += u64::from(innermost.len() == 16 && innermost.starts_with('f'));
    }
    steps
}

fn step_of(name: &str) -> Option<&'static str> {
    STEPS.iter().find(|(_, known)| known.iter().any(|part| name.contains(part))).map(|(step, _)| *step)
}
