//! Metrics: on a listener of their own, named as documented, and of bounded number.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use runwarden_harness::{Settings, until};
use serde_json::Value;

use crate::walk::Walk;

/// The labels that may exist. Each takes one of a fixed number of values, but for the tenant, of which there are as
/// many as the platform's administrators make.
const LABELS: [&str; 15] = [
    "listener", "method", "route", "status", "service", "rpc", "code", "tenant", "state", "result", "cache", "answer",
    "store", "by", "le",
];
/// Labels of metrics that the walk does not touch.
const OTHERS: [&str; 3] = ["reason", "wanted", "quantile"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn metrics_are_served_beside_the_api_as_documented_and_count_no_individuals() {
    let settings = Settings::new(env!("CARGO_BIN_EXE_runwarden")).set("RUNWARDEN_METRICS_LISTEN", "127.0.0.1:0");
    let walk = Walk::take(settings).await;
    let log = walk.system.log();
    let line = log.lines().find(|line| line.contains("metrics at /metrics")).unwrap();
    let address = serde_json::from_str::<Value>(line).unwrap()["address"].as_str().unwrap().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/metrics");
    let text = until("the run to be counted", async || {
        let text = http.get(&url).send().await.ok()?.text().await.ok()?;
        text.contains("runwarden_jobs_finished_total").then_some(text)
    })
    .await;
    walk.keeps_secrets("a metric", &text);
    let documented = documented();
    let mut served = BTreeSet::new();
    for sample in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, labels) = read(sample);
        served.insert(documented.iter().find(|known| is_of(&name, known)).unwrap_or_else(|| panic!("{name}?")).clone());
        for (label, value) in labels {
            assert!(LABELS.contains(&label.as_str()) || OTHERS.contains(&label.as_str()), "{label}: {sample}");
            for individual in ["job_", "sa_", "client_", "req_", "dec_", "rec_", "tok_", "bind_", walk.id()] {
                assert!(!value.contains(individual), "{label} tells individuals apart: {sample}");
            }
            assert!(value.len() < 100, "{sample}");
        }
    }
    for name in [
        "runwarden_http_requests_total",
        "runwarden_http_seconds",
        "runwarden_rpc_total",
        "runwarden_rpc_seconds",
        "runwarden_watched_total",
        "runwarden_watched_fresh",
        "runwarden_jobs_accepted_total",
        "runwarden_jobs_finished_total",
        "runwarden_policy_decisions_total",
        "runwarden_auth_tokens_issued_total",
        "runwarden_audit_records_total",
        "runwarden_audit_batch_records",
        "runwarden_certificate_expiry_seconds",
        "runwarden_sweep_seconds",
    ] {
        assert!(served.contains(name), "{name} is not served: {served:?}");
    }
    let outside = http.get(format!("{}/metrics", walk.system.reach().base_url)).send().await.unwrap();
    assert_eq!(outside.status(), 404, "callers have no business with metrics");
}

#[test]
fn what_the_code_counts_is_documented_and_what_is_documented_is_counted() {
    let mut counted = BTreeSet::new();
    for folder in ["services", "edge/src", "src"] {
        for file in sources(&root().join(folder)) {
            counted.extend(names_in(&std::fs::read_to_string(file).unwrap()));
        }
    }
    assert!(counted.len() > 10, "{counted:?}");
    assert_eq!(counted, documented(), "left: in the code; right: in docs/operating.md");
}

/// The metrics that code touches: the first text in each macro's parentheses.
fn names_in(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for kind in ["counter!(", "gauge!(", "histogram!("] {
        for rest in code.split(kind).skip(1) {
            let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            names.push(name.unwrap_or_else(|| panic!("a metric without a fixed name: {kind}{rest}")).to_owned());
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The names in the first column of the table of metrics.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `runwarden_")?.split('|').next());
    rows.flat_map(|cell| format!("`runwarden_{cell}").split('`').map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| name.starts_with("runwarden_"))
        .collect()
}

/// Whether a sample is one of a metric's: histograms have several.
fn is_of(sample: &str, metric: &str) -> bool {
    sample.strip_prefix(metric).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
}

/// Name and labels of a sample.
fn read(sample: &str) -> (String, Vec<(String, String)>) {
    let Some((name, rest)) = sample.split_once('{') else {
        return (sample.split(' ').next().unwrap().to_owned(), Vec::new());
    };
    let (labels, _value) = rest.rsplit_once("} ").unwrap();
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), pairs.collect())
}
