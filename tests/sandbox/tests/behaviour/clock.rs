//! A controller whose clock is wrong.

use crate::support::{Bench, Result, kept_in};
use reqwest::Method;
use serde_json::json;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Duration, OffsetDateTime};

/// How far a time of the controller's is from ours, in minutes.
fn minutes_ahead(text: &str) -> i64 {
    let time = OffsetDateTime::parse(text, &Rfc3339).unwrap();
    ((time - OffsetDateTime::now_utc()).as_seconds_f64() / 60.0).round() as i64
}

#[tokio::test]
async fn all_it_tells_is_by_its_own_clock() -> Result<()> {
    let bench = Bench::start().await?;
    for minutes in [-90, 30] {
        let set = bench.lever(Method::POST, "clock", json!({"offset_ms": minutes * 60_000})).await?;
        assert_eq!(minutes_ahead(set["now"].as_str().unwrap()), minutes);
        let run = bench.launch(9, json!({})).await?;
        let job = bench.ended(run).await?;
        for field in ["created", "started", "finished", "modified"] {
            assert_eq!(minutes_ahead(job[field].as_str().unwrap()), minutes, "{field}");
        }
        assert!(job["elapsed"].as_f64().unwrap() < 20.0, "{job}");
        let (_, events) = bench.get(&format!("/api/v2/jobs/{run}/job_events/")).await?;
        assert_eq!(minutes_ahead(events["results"][0]["created"].as_str().unwrap()), minutes);
        let answer = bench.ask(Method::GET, "/api/v2/ping/").send().await?;
        let date = OffsetDateTime::parse(answer.headers()["date"].to_str()?, &Rfc2822)?;
        assert_eq!(minutes_ahead(&date.format(&Rfc3339)?), minutes);
        let entry = bench.sandbox.ledger().pop().unwrap();
        assert!((entry.committed_at - entry.requested_at).abs() < Duration::minutes(1));
        assert_eq!(minutes_ahead(&entry.committed_at.format(&Rfc3339)?), minutes);
    }
    Ok(())
}

#[tokio::test]
async fn filters_compare_by_its_clock() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::POST, "clock", json!({"offset_ms": -3_600_000})).await?;
    let run = bench.launch(22, json!({})).await?;
    let found = async |since: OffsetDateTime| -> Result<serde_json::Value> {
        let since = since.format(&Rfc3339)?;
        let query = format!("unified_job_template=22&created_by=2&launch_type=manual&created__gte={since}&order_by=id");
        Ok(bench.get(&format!("/api/v2/unified_jobs/?{query}")).await?.1)
    };
    let now = OffsetDateTime::now_utc();
    assert_eq!(found(now - Duration::minutes(5)).await?["count"], 0, "by our clock it was long ago");
    assert_eq!(found(now - Duration::minutes(65)).await?["results"][0]["id"], run);
    Ok(())
}

#[tokio::test]
async fn a_wrong_clock_stays_wrong_over_a_restart_and_is_never_wrong_beyond_reason() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::with(kept_in(dir.path())).await?;
    bench.lever(Method::POST, "clock", json!({"offset_ms": 600_000})).await?;
    assert_eq!(bench.try_lever(Method::POST, "clock", json!({"offset_ms": i64::MIN})).await?.0, 422);
    bench.sandbox.stop().await;
    let bench = Bench::with(kept_in(dir.path())).await?;
    let run = bench.launch(9, json!({})).await?;
    let (_, job) = bench.get(&format!("/api/v2/jobs/{run}/")).await?;
    assert_eq!(minutes_ahead(job["created"].as_str().unwrap()), 10);
    Ok(())
}
