//! Log lines: JSON, findable by every id, and silent about secrets.

use runwarden_harness::Settings;
use runwarden_harness::jobs::text;
use serde_json::Value;

use crate::walk::{REQUEST, TRACE, Walk};

/// Every line of a log but the one for people, on standard output.
fn lines(log: &str) -> Vec<Value> {
    log.lines()
        .filter(|line| !line.starts_with("runwarden is ready on "))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test]
async fn every_line_is_json_and_those_of_a_request_carry_its_ids() {
    let settings = Settings::new(env!("CARGO_BIN_EXE_runwarden")).set("RUNWARDEN_LOG", "runwarden=debug,info");
    let walk = Walk::take(settings).await;
    let log = walk.system.log();
    walk.keeps_secrets("the log", &log);
    let lines = lines(&log);
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
    let principal = text(&walk.job, "requested_by");
    let of_request: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == REQUEST).collect();
    assert!(of_request.iter().all(|line| line["trace_id"] == TRACE), "{of_request:#?}");
    let told = |message: &str| {
        let found = of_request.iter().find(|line| line["message"] == message);
        *found.unwrap_or_else(|| panic!("no line {message:?} in {of_request:#?}"))
    };
    let answered = told("answered");
    assert_eq!((text(answered, "route"), &answered["status"]), ("/api/v1/jobs", &Value::from(202)));
    assert_eq!((text(answered, "tenant"), text(answered, "principal")), ("acme", principal), "{answered}");
    // The launch, and the end that came long after the request was answered, are found by the same ids.
    for line in [told("job accepted"), told("bound"), told("job finished")] {
        assert_eq!(text(line, "job"), walk.id(), "{line}");
        assert_eq!((text(line, "tenant"), text(line, "principal")), ("acme", principal), "{line}");
    }
}
