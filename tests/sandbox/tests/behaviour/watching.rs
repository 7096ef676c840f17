//! Lists, searches, output, events, cancelling: what a client does with a run it has.

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn many_runs_are_watched_in_one_request() -> Result<()> {
    let bench = Bench::start().await?;
    let (job, hidden) = (bench.launch(9, json!({})).await?, 999);
    let (_, workflow) = bench.post("/api/v2/workflow_job_templates/20/launch/", json!({})).await?;
    let (_, rows) =
        bench.get(&format!("/api/v2/unified_jobs/?id__in={job},{},{hidden}&page_size=500", workflow["id"])).await?;
    let kinds: Vec<&Value> = rows["results"].as_array().unwrap().iter().map(|r| &r["type"]).collect();
    assert_eq!(kinds, [&json!("job"), &json!("workflow_job")]);
    assert!(rows["results"][0].get("event_processing_finished").is_none());
    Ok(())
}

#[tokio::test]
async fn a_launch_is_found_again_by_template_account_time_and_type() -> Result<()> {
    let bench = Bench::start().await?;
    let before = bench.launch(22, json!({})).await?;
    let (_, first) = bench.get(&format!("/api/v2/jobs/{before}/")).await?;
    let created = first["created"].as_str().unwrap().to_owned();
    let run = bench.launch(22, json!({"extra_vars": {"marker": "m-1"}})).await?;
    let admin = bench.ask_as("admin", Method::POST, "/api/v2/job_templates/22/launch/").json(&json!({})).send().await?;
    assert_eq!(admin.status(), 201);
    let query = format!(
        "unified_job_template=22&created_by=2&launch_type=manual&created__gt={created}&order_by=id&page_size=200"
    );
    for list in ["jobs", "unified_jobs"] {
        let (_, found) = bench.get(&format!("/api/v2/{list}/?{query}")).await?;
        assert_eq!((&found["count"], &found["results"][0]["id"]), (&json!(1), &json!(run)), "{list}");
        assert_eq!(found["results"][0]["extra_vars"], "{\"marker\": \"m-1\"}");
    }
    let (_, all) = bench
        .get(&format!(
            "/api/v2/jobs/?job_template=22&created__gte={created}&created_by__username=runwarden&not__id={before}"
        ))
        .await?;
    assert_eq!(all["count"], 1);
    Ok(())
}

#[tokio::test]
async fn a_skip_tag_serves_as_a_marker() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(25, json!({"skip_tags": "gw_123"})).await?;
    let (_, found) = bench.get("/api/v2/jobs/?skip_tags=gw_123").await?;
    assert_eq!(found["results"][0]["id"], run);
    // Only jobs have the field; all kinds together do not.
    assert_eq!(bench.get("/api/v2/unified_jobs/?skip_tags=gw_123").await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn bad_filters_are_refused_each_in_its_way() -> Result<()> {
    let bench = Bench::start().await?;
    assert_eq!(
        bench.get("/api/v2/jobs/?extra_vars__contains=x").await?,
        (403, json!({"detail": "Filtering on extra_vars is not allowed."}))
    );
    assert_eq!(bench.get("/api/v2/unified_jobs/?extra_vars__contains=x").await?.0, 400);
    let (status, answer) = bench.get("/api/v2/unified_jobs/?id__in=1,abc").await?;
    assert_eq!(status, 400);
    assert!(answer["detail"].as_str().unwrap().ends_with("must be an integer.\"]"));
    assert_eq!(
        bench.get("/api/v2/unified_jobs/?id__in=").await?,
        (400, json!({"detail": "cannot provide empty value for __in"}))
    );
    assert_eq!(bench.get("/api/v2/jobs/?page=2").await?, (404, json!({"detail": "Invalid page."})));
    assert_eq!(bench.get("/api/v2/jobs/?access_token=x").await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn pages_point_to_each_other_by_relative_paths() -> Result<()> {
    let bench = Bench::start().await?;
    let (_, first) = bench.get("/api/v2/job_templates/?page_size=5&order_by=-id").await?;
    assert_eq!(
        (&first["next"], &first["previous"]),
        (&json!("/api/v2/job_templates/?order_by=-id&page=2&page_size=5"), &Value::Null)
    );
    let (_, second) = bench.get(first["next"].as_str().unwrap()).await?;
    assert_eq!(second["previous"], "/api/v2/job_templates/?order_by=-id&page=1&page_size=5");
    assert!(second["results"][0]["id"].as_u64() < first["results"][4]["id"].as_u64());
    let (_, bare) = bench.get("/api/v2/job_templates/?count_disabled=1").await?;
    assert_eq!(bare.as_object().unwrap().len(), 1);
    Ok(())
}

#[tokio::test]
async fn output_is_collected_by_line_ranges() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(22, json!({"extra_vars": {"colour": "red"}})).await?;
    bench.ended(run).await?;
    let path = format!("/api/v2/jobs/{run}/stdout/");
    let (_, whole) = bench.get(&format!("{path}?format=json")).await?;
    let lines = whole["range"]["absolute_end"].as_u64().unwrap();
    let content = whole["content"].as_str().unwrap();
    assert_eq!(content.lines().count() as u64, lines);
    assert!(content.contains("\u{1b}[0;32m") && content.contains("colour = red"));
    let (_, part) = bench.get(&format!("{path}?format=json&start_line=1&end_line=3")).await?;
    assert_eq!(part["range"], json!({"start": 1, "end": 3, "absolute_end": lines}));
    let wanted: String = content.split_inclusive('\n').skip(1).take(2).collect();
    assert_eq!(part["content"], wanted);
    let text = bench.bare(Method::GET, &format!("{path}?format=txt")).bearer_auth(bench.sandbox.token()).send().await?;
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(!text.text().await?.contains('\u{1b}'));
    assert_eq!(bench.ask(Method::GET, &format!("{path}?format=txt")).send().await?.status(), 406);
    let page = bench.bare(Method::GET, &path).bearer_auth(bench.sandbox.token()).send().await?;
    assert!(page.headers()["content-type"].to_str()?.starts_with("text/html"));
    Ok(())
}

#[tokio::test]
async fn too_much_output_is_for_download_only() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(14, json!({})).await?;
    bench.ended(run).await?;
    let path = format!("/api/v2/jobs/{run}/stdout/");
    let (status, answer) = bench.get(&format!("{path}?format=json")).await?;
    assert_eq!(status, 200);
    assert!(answer["content"].as_str().unwrap().starts_with("Standard Output too large to display ("));
    let all = bench
        .bare(Method::GET, &format!("{path}?format=txt_download"))
        .bearer_auth(bench.sandbox.token())
        .send()
        .await?;
    let text = all.text().await?;
    assert!(text.len() > 3_000_000 && text.contains("page 39 row 0999"));
    Ok(())
}

#[tokio::test]
async fn events_arrive_out_of_order_and_end_without_gaps() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(10, json!({"extra_vars": {"environment": "dev", "version": "1"}})).await?;
    bench.ended(run).await?;
    let (_, page) =
        bench.get(&format!("/api/v2/jobs/{run}/job_events/?order_by=counter&page_size=200&counter__gt=0")).await?;
    let events = page["results"].as_array().unwrap();
    let counters: Vec<u64> = events.iter().filter_map(|e| e["counter"].as_u64()).collect();
    assert_eq!(counters, (1..=counters.len() as u64).collect::<Vec<_>>());
    let ids: Vec<u64> = events.iter().filter_map(|e| e["id"].as_u64()).collect();
    assert!(!ids.is_sorted(), "some event must have arrived late: {ids:?}");
    let mut line = 0;
    for event in events {
        assert_eq!(event["start_line"], line);
        line = event["end_line"].as_u64().unwrap();
    }
    let (_, rest) = bench.get(&format!("/api/v2/jobs/{run}/job_events/?start_line__gte={line}")).await?;
    assert_eq!(rest["count"], 0);
    Ok(())
}

#[tokio::test]
async fn cancelling_is_202_and_nothing_then_405() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(13, json!({})).await?;
    bench.until(&format!("/api/v2/jobs/{run}/"), |job| job["status"] == "running").await?;
    let path = format!("/api/v2/jobs/{run}/cancel/");
    assert_eq!(bench.get(&path).await?, (200, json!({"can_cancel": true})));
    let response = bench.ask(Method::POST, &path).send().await?;
    assert_eq!((response.status().as_u16(), response.bytes().await?.len()), (202, 0));
    let ended = bench.ended(run).await?;
    assert_eq!((&ended["status"], &ended["failed"]), (&json!("canceled"), &json!(true)));
    assert_eq!(bench.post(&path, json!({})).await?, (405, json!({"detail": "Method \"POST\" not allowed."})));
    Ok(())
}

#[tokio::test]
async fn workflows_go_their_way_and_can_be_cancelled() -> Result<()> {
    let bench = Bench::start().await?;
    let launch = |id: u64, body: Value| {
        let bench = &bench;
        async move { bench.post(&format!("/api/v2/workflow_job_templates/{id}/launch/"), body).await }
    };
    let (_, good) = launch(21, json!({"extra_vars": {"colour": "red"}})).await?;
    let (_, bad) = launch(24, json!({})).await?;
    let path = |run: &Value| format!("/api/v2/workflow_jobs/{}/", run["id"]);
    let ended = bench.until(&path(&good), |job| !job["finished"].is_null()).await?;
    assert_eq!(ended["status"], "successful");
    let (_, nodes) = bench.get(&format!("{}workflow_nodes/", path(&good))).await?;
    let node = &nodes["results"][0];
    let (_, run) = bench.get(node["related"]["job"].as_str().unwrap()).await?;
    assert_eq!((&run["extra_vars"], &run["launch_type"]), (&json!("{\"colour\": \"red\"}"), &json!("workflow")));
    let ended = bench.until(&path(&bad), |job| !job["finished"].is_null()).await?;
    assert_eq!(ended["status"], "failed");
    assert!(ended["job_explanation"].as_str().unwrap().starts_with("No error handling path"));
    let (_, young) = launch(20, json!({})).await?;
    assert_eq!(bench.ask(Method::POST, &format!("{}cancel/", path(&young))).send().await?.status(), 202);
    assert_eq!(bench.until(&path(&young), |job| !job["finished"].is_null()).await?["status"], "canceled");
    Ok(())
}

#[tokio::test]
async fn failures_and_errors_are_different_things() -> Result<()> {
    let bench = Bench::start().await?;
    let (failing, erring) = (bench.launch(12, json!({})).await?, bench.launch(23, json!({})).await?);
    assert_eq!(bench.ended(failing).await?["status"], "failed");
    let error = bench.ended(erring).await?;
    assert_eq!(error["status"], "error");
    assert!(error["result_traceback"].as_str().unwrap().contains("could not be pulled"));
    Ok(())
}
