//! Many runs: pages that shift, rows that are kept as text, room, counters, constant answer times.

use std::time::{Duration, Instant};

use crate::support::{Bench, Result, options};
use reqwest::Method;
use runwarden_sandbox::Options;
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<u64> {
    list["results"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_u64()).collect()
}

#[tokio::test]
async fn pages_shift_when_rows_come_and_go() -> Result<()> {
    let bench = Bench::start().await?;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(bench.launch(13, json!({})).await?);
    }
    let page = async |query: &str| -> Result<(u16, Value)> {
        bench.get(&format!("/api/v2/unified_jobs/?page_size=2&{query}")).await
    };
    assert_eq!(ids(&page("order_by=id&page=1").await?.1), runs[0..2]);
    bench.lever(Method::DELETE, &format!("runs/{}", runs[0]), Value::Null).await?;
    // The third run has moved to the first page: whoever goes by pages never sees it.
    let (_, second) = page("order_by=id&page=2").await?;
    assert_eq!((ids(&second), &second["count"]), (runs[3..5].to_vec(), &json!(4)));
    assert_eq!(page("order_by=id&page=3").await?.0, 404, "the last page is gone");
    // From the other end a new row pushes one that was seen to the next page.
    assert_eq!(ids(&page("order_by=-id&page=1").await?.1), [runs[4], runs[3]]);
    let new = bench.launch(13, json!({})).await?;
    assert_eq!(ids(&page("order_by=-id&page=2").await?.1), [runs[3], runs[2]]);
    // Going by ids is not moved by that.
    assert_eq!(ids(&page(&format!("order_by=id&id__gt={}", runs[2])).await?.1), runs[3..5]);
    assert_eq!(ids(&page(&format!("order_by=id&id__gt={}", runs[4])).await?.1), [new]);
    Ok(())
}

#[tokio::test]
async fn a_list_is_never_behind_what_it_lists() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.hanging().await?;
    let list = format!("/api/v2/unified_jobs/?id__in={run}");
    let row = async || -> Result<Value> { Ok(bench.get(&list).await?.1["results"][0].clone()) };
    let first = row().await?;
    let (_, detail) = bench.get(&format!("/api/v2/jobs/{run}/")).await?;
    for (field, value) in first.as_object().unwrap().iter().filter(|(field, _)| *field != "elapsed") {
        assert_eq!(value, &detail[field], "{field}");
    }
    bench.until(&list, |list| list["results"][0]["elapsed"].as_f64() > first["elapsed"].as_f64()).await?;
    bench.lever(Method::PATCH, "templates/13", json!({"name": "renamed"})).await?;
    assert_eq!(row().await?["summary_fields"]["unified_job_template"]["name"], "renamed");
    bench.lever(Method::POST, &format!("runs/{run}/finish"), json!({"status": "failed"})).await?;
    let ended = row().await?;
    assert_eq!((&ended["status"], ended["finished"].is_string()), (&json!("failed"), true));
    // A step tells how its workflow stands, which it does not change itself.
    let (_, workflow) = bench.post("/api/v2/workflow_job_templates/20/launch/", json!({})).await?;
    let steps = format!("/api/v2/jobs/?unified_job_node__workflow_job={}&order_by=id", workflow["id"]);
    for status in ["running", "successful"] {
        bench
            .until(&steps, |list| list["results"][0]["summary_fields"]["source_workflow_job"]["status"] == status)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_platforms_addresses_and_awx_own_are_kept_apart() -> Result<()> {
    let bench = Bench::with(Options { api_root: "/api/controller/v2".to_owned(), ..options() }).await?;
    bench.launch(13, json!({})).await?;
    for root in ["/api/v2", "/api/controller/v2", "/api/v2"] {
        let (_, list) = bench.get(&format!("{root}/unified_jobs/")).await?;
        assert_eq!(list["results"][0]["url"], format!("{root}/jobs/1/"));
    }
    Ok(())
}

#[tokio::test]
async fn as_many_run_at_once_as_there_is_room_for() -> Result<()> {
    let bench = Bench::with(Options { room: Some(2), ..options() }).await?;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(bench.launch(13, json!({})).await?);
    }
    let all = "/api/v2/jobs/?order_by=id";
    let statuses = |list: &Value| -> Vec<String> {
        list["results"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["status"].as_str().map(str::to_owned))
            .collect()
    };
    bench.until(all, |list| statuses(list) == ["running", "running", "pending", "pending"]).await?;
    bench.lever(Method::POST, &format!("runs/{}/finish", runs[0]), json!({"status": "successful"})).await?;
    bench.until(all, |list| statuses(list) == ["successful", "running", "running", "pending"]).await?;
    // Nobody is forgotten who leaves the queue, and nobody who makes room by being deleted or lost.
    bench.lever(Method::DELETE, &format!("runs/{}", runs[1]), Value::Null).await?;
    bench.until(all, |list| statuses(list) == ["successful", "running", "running"]).await?;
    let last = bench.launch(9, json!({})).await?;
    bench.lever(Method::POST, &format!("runs/{}/reap", runs[2]), Value::Null).await?;
    assert_eq!(bench.ended(last).await?["status"], "successful");
    assert!(Bench::with(Options { room: Some(0), ..options() }).await.is_err(), "nothing could ever start");
    Ok(())
}

#[tokio::test]
async fn more_hang_at_once_than_usually_run_and_are_all_told_of() -> Result<()> {
    let bench = Bench::with(Options { room: Some(1000), ..options() }).await?;
    let mut runs = Vec::new();
    for _ in 0..250 {
        runs.push(bench.launch(13, json!({})).await?);
    }
    bench.until("/api/v2/jobs/?status=running&page_size=1", |list| list["count"] == 250).await?;
    let list: Vec<String> = runs.iter().rev().take(200).map(u64::to_string).collect();
    let path = format!("/api/v2/unified_jobs/?id__in={}&order_by=id&page_size=200", list.join(","));
    let (_, rows) = bench.get(&path).await?;
    assert_eq!((ids(&rows), &rows["next"]), (runs[50..].to_vec(), &Value::Null));
    assert_eq!(bench.lever(Method::POST, "runs/finish-all", json!({"status": "failed"})).await?["finished"], 250);
    assert_eq!(bench.get("/api/v2/jobs/?status=failed&page_size=1").await?.1["count"], 250);
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_another_says_for_whom_after_a_while() -> Result<()> {
    let bench = Bench::with(Options { speed: 1000.0, ..options() }).await?;
    bench.lever(Method::PATCH, "templates/17", json!({"playbook": "hangs.yml"})).await?;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(bench.launch(17, json!({})).await?);
    }
    let says = async |run: u64, other: u64| {
        let text = format!("waiting for job-{other} to finish");
        bench.until(&format!("/api/v2/jobs/{run}/"), |job| job["job_explanation"] == *text).await
    };
    says(runs[1], runs[0]).await?;
    says(runs[2], runs[0]).await?;
    bench.lever(Method::POST, &format!("runs/{}/finish", runs[0]), json!({"status": "successful"})).await?;
    let second = bench.until(&format!("/api/v2/jobs/{}/", runs[1]), |job| job["status"] == "running").await?;
    assert_eq!(second["job_explanation"], "");
    says(runs[2], runs[1]).await?;
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_with_what_they_were_answered() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::DELETE, "requests", Value::Null).await?;
    let run = bench.launch(9, json!({})).await?;
    let mut bytes = 0;
    for _ in 0..3 {
        bytes += bench.ask(Method::GET, &format!("/api/v2/jobs/{run}/")).send().await?.text().await?.len();
    }
    bench.at_next_launch(json!({"kind": "lose_after"})).await?;
    assert!(bench.launch(9, json!({})).await.is_err());
    let counted = bench.lever(Method::GET, "requests", Value::Null).await?;
    let one = |method: &str, path: &str| {
        let items = counted["items"].as_array().unwrap();
        items.iter().find(|item| item["method"] == method && item["path"] == path).cloned().unwrap_or_default()
    };
    let reads = one("GET", "/api/v2/jobs/ID/");
    assert_eq!((&reads["count"], &reads["answered"], &reads["bytes"]), (&json!(3), &json!(3), &json!(bytes)));
    let launches = one("POST", "/api/v2/job_templates/ID/launch/");
    assert_eq!((&launches["count"], &launches["answered"]), (&json!(2), &json!(1)));
    assert_eq!((&counted["count"], &counted["answered"]), (&json!(5), &json!(4)));
    let posts = bench.lever(Method::GET, "requests?method=post", Value::Null).await?;
    assert_eq!(posts["count"], 2, "the control API is not counted");
    bench.lever(Method::DELETE, "requests", Value::Null).await?;
    assert_eq!(bench.lever(Method::GET, "requests", Value::Null).await?["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn every_answer_takes_as_long_as_was_ordered() -> Result<()> {
    let bench = Bench::with(Options { latency_ms: 300, ..options() }).await?;
    bench.at_next_launch(json!({"kind": "status", "status": 502})).await?;
    for (method, path) in [(Method::GET, "/api/v2/ping/"), (Method::POST, "/api/v2/job_templates/9/launch/")] {
        let asked = Instant::now();
        bench.ask(method, path).json(&json!({})).send().await?;
        assert!(asked.elapsed() >= Duration::from_millis(300), "{path}: {:?}", asked.elapsed());
    }
    // Many wait at the same time.
    let asked = Instant::now();
    let all = (0..20).map(|_| bench.ask(Method::GET, "/api/v2/ping/").send());
    for answer in all.map(tokio::spawn).collect::<Vec<_>>() {
        answer.await??;
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    Ok(())
}
