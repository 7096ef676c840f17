//! Events and the whole text, and how they differ.

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};

/// A run that hangs and has printed all that it prints by itself.
async fn silent(bench: &Bench) -> Result<u64> {
    let run = bench.hanging().await?;
    let last =
        |events: &Value| events["results"][0]["stdout"].as_str().is_some_and(|text| text.contains("TASK [Wait]"));
    bench.until(&format!("/api/v2/jobs/{run}/job_events/?order_by=-counter"), last).await?;
    Ok(run)
}

#[tokio::test]
async fn the_whole_text_leaves_out_empty_lines_and_escapes_what_events_do_not() -> Result<()> {
    let bench = Bench::start().await?;
    let run = silent(&bench).await?;
    let known = bench.truth(run).await?["lines"].as_u64().unwrap();
    let text = "one\r\n\r\n10%\r20%\rC:\\dir\tx ✓\r\nSure? ";
    bench.lever(Method::POST, &format!("runs/{run}/print"), json!({"text": text})).await?;
    let events = format!("/api/v2/jobs/{run}/job_events/?order_by=counter&no_truncate=true&start_line__gte={known}");
    let (_, events) = bench.get(&events).await?;
    let shown: Vec<(&str, u64)> = events["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["stdout"].as_str().unwrap(), e["end_line"].as_u64().unwrap() - e["start_line"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [("one", 1), ("", 1), ("10%\r", 0), ("20%\r", 0), ("C:\\dir\tx ✓", 1), ("Sure? ", 0)]);
    let download = format!("/api/v2/jobs/{run}/stdout/?format=ansi_download");
    let whole = bench.bare(Method::GET, &download).bearer_auth(bench.sandbox.token()).send().await?.text().await?;
    let mut last: Vec<&str> = whole.lines().rev().take(5).collect();
    last.sort_unstable();
    assert_eq!(last, ["10%\\r", "20%\\r", "C:\\\\dir\\tx ✓", "Sure? ", "one"], "{whole}");
    let (_, json) = bench.get(&format!("/api/v2/jobs/{run}/stdout/?format=json")).await?;
    assert_eq!(json["content"], whole);
    bench.lever(Method::POST, &format!("runs/{run}/finish"), json!({"status": "successful"})).await?;
    bench.ended(run).await?;
    let late = bench.try_lever(Method::POST, &format!("runs/{run}/print"), json!({"text": "late"})).await?;
    assert_eq!((late.0, &late.1["detail"]), (409, &Value::from("The run is not at work.")));
    Ok(())
}

#[tokio::test]
async fn a_line_of_300_000_characters_is_whole_in_its_event_and_in_the_text() -> Result<()> {
    let bench = Bench::start().await?;
    let run = silent(&bench).await?;
    let line = "x".repeat(300_000);
    bench.lever(Method::POST, &format!("runs/{run}/print"), json!({"text": format!("{line}\r\n")})).await?;
    let (_, events) = bench.get(&format!("/api/v2/jobs/{run}/job_events/?order_by=-counter&no_truncate=true")).await?;
    assert_eq!(events["results"][0]["stdout"], line);
    let (_, text) = bench.get(&format!("/api/v2/jobs/{run}/stdout/?format=json")).await?;
    assert!(text["content"].as_str().unwrap().ends_with(&format!("\n{line}\n")));
    Ok(())
}
