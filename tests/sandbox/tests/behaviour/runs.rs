//! Levers for runs: ends that nobody could ask AWX for, deletion, and playbooks that outlive their run.

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_hanging_run_ends_as_it_is_told() -> Result<()> {
    let bench = Bench::start().await?;
    for status in ["successful", "failed", "error", "canceled"] {
        let run = bench.hanging().await?;
        let lever = format!("runs/{run}/finish");
        bench.lever(Method::POST, &lever, json!({"status": status})).await?;
        let (_, job) = bench.get(&format!("/api/v2/jobs/{run}/")).await?;
        assert_eq!((&job["status"], job["finished"].is_string()), (&json!(status), true), "at once");
        assert_eq!(bench.ended(run).await?["status"], status, "and its events come to an end");
        assert_eq!(bench.try_lever(Method::POST, &lever, json!({"status": "failed"})).await?.0, 409);
        let truth = bench.truth(run).await?;
        assert_eq!((&truth["starts"], &truth["still_at_work"]), (&json!(1), &json!(false)));
    }
    assert_eq!(bench.try_lever(Method::POST, "runs/999/finish", json!({"status": "failed"})).await?.0, 404);
    assert_eq!(bench.try_lever(Method::POST, "runs/1/finish", json!({"status": "running"})).await?.0, 422);
    Ok(())
}

#[tokio::test]
async fn what_does_not_run_yet_ends_as_soon_as_it_runs() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::POST, "dispatcher", json!({"running": false})).await?;
    let (good, bad) = (bench.launch(13, json!({})).await?, bench.launch(13, json!({})).await?);
    bench.lever(Method::POST, &format!("runs/{good}/finish"), json!({"status": "successful"})).await?;
    bench.lever(Method::POST, &format!("runs/{bad}/finish"), json!({"status": "canceled"})).await?;
    let status =
        async |run: u64| -> Result<Value> { Ok(bench.get(&format!("/api/v2/jobs/{run}/")).await?.1["status"].clone()) };
    assert_eq!((status(good).await?, status(bad).await?), (json!("pending"), json!("canceled")));
    bench.lever(Method::POST, "dispatcher", json!({"running": true})).await?;
    let ended = bench.ended(good).await?;
    assert_eq!((&ended["status"], ended["started"].is_string()), (&json!("successful"), true));
    assert_eq!(
        (bench.truth(good).await?["starts"].clone(), bench.truth(bad).await?["starts"].clone()),
        (json!(1), json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn all_runs_end_at_once_workflows_with_their_steps() -> Result<()> {
    let bench = Bench::start().await?;
    let hanging = [bench.hanging().await?, bench.hanging().await?];
    // A workflow whose first step hangs.
    bench.lever(Method::PATCH, "templates/9", json!({"playbook": "hangs.yml"})).await?;
    let (_, workflow) = bench.post("/api/v2/workflow_job_templates/20/launch/", json!({})).await?;
    let steps = format!("/api/v2/jobs/?unified_job_node__workflow_job={}", workflow["id"]);
    bench.until(&steps, |list| list["results"][0]["status"] == "running").await?;
    let told = bench.lever(Method::POST, "runs/finish-all", json!({"status": "successful"})).await?;
    assert_eq!(told["finished"], 3);
    for run in hanging {
        assert_eq!(bench.ended(run).await?["status"], "successful");
    }
    let (_, ended) = bench.get(&format!("/api/v2/workflow_jobs/{}/", workflow["id"])).await?;
    assert_eq!((&ended["status"], &bench.get(&steps).await?.1["count"]), (&json!("successful"), &json!(1)));
    assert_eq!(bench.get(&steps).await?.1["results"][0]["status"], "successful");
    assert_eq!(bench.lever(Method::POST, "runs/finish-all", json!({"status": "failed"})).await?["finished"], 0);
    Ok(())
}

#[tokio::test]
async fn a_run_can_be_deleted_while_it_runs_and_only_the_ledger_remembers() -> Result<()> {
    let bench = Bench::start().await?;
    let (gone, stays) = (bench.hanging().await?, bench.hanging().await?);
    assert_eq!(bench.lever(Method::DELETE, &format!("runs/{gone}"), Value::Null).await?, Value::Null);
    assert_eq!(bench.get(&format!("/api/v2/jobs/{gone}/")).await?.0, 404);
    assert_eq!(bench.post(&format!("/api/v2/jobs/{gone}/cancel/"), json!({})).await?.0, 404);
    for list in ["unified_jobs/?id__in=", "jobs/?id__in="] {
        let (_, rows) = bench.get(&format!("/api/v2/{list}{gone},{stays}")).await?;
        assert_eq!((&rows["count"], &rows["results"][0]["id"]), (&json!(1), &json!(stays)));
    }
    assert_eq!(bench.get("/api/v2/unified_jobs/?unified_job_template=13").await?.1["count"], 1);
    let ledger = bench.sandbox.ledger();
    assert_eq!((ledger[0].ran.status.as_str(), ledger[0].ran.starts), ("deleted", 1));
    assert_eq!(ledger[1].ran.status, "running");
    assert_eq!(bench.try_lever(Method::DELETE, &format!("runs/{gone}"), Value::Null).await?.0, 404);
    assert!(bench.launch(9, json!({})).await? > stays, "its id is not used again");
    Ok(())
}

#[tokio::test]
async fn a_workflow_whose_step_is_deleted_comes_to_an_end() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::PATCH, "templates/22", json!({"playbook": "hangs.yml"})).await?;
    let (_, workflow) = bench.post("/api/v2/workflow_job_templates/21/launch/", json!({})).await?;
    let steps = format!("/api/v2/jobs/?unified_job_node__workflow_job={}", workflow["id"]);
    let step = bench.until(&steps, |list| list["results"][0]["status"] == "running").await?["results"][0]["id"].clone();
    bench.lever(Method::DELETE, &format!("runs/{step}"), Value::Null).await?;
    bench.until(&format!("/api/v2/workflow_jobs/{}/", workflow["id"]), |job| job["status"] == "failed").await?;
    assert_eq!(bench.get(&steps).await?.1["count"], 0, "nothing came after it");
    Ok(())
}

#[tokio::test]
async fn a_reaped_runs_playbook_goes_on_unheard() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.hanging().await?;
    let path = format!("/api/v2/jobs/{run}/");
    bench.lever(Method::POST, &format!("runs/{run}/reap"), Value::Null).await?;
    let (_, job) = bench.get(&path).await?;
    assert_eq!((&job["status"], &job["event_processing_finished"]), (&json!("failed"), &json!(false)));
    assert!(job["job_explanation"].as_str().unwrap().starts_with("Task was marked as running at system start up."));
    assert_eq!(bench.truth(run).await?["still_at_work"], true);
    assert!(bench.sandbox.ledger()[0].ran.still_at_work);
    // Its end changes nothing of what the controller says.
    bench.lever(Method::POST, &format!("runs/{run}/finish"), json!({"status": "successful"})).await?;
    let started = std::time::Instant::now();
    while bench.truth(run).await?["still_at_work"] == true {
        assert!(started.elapsed().as_secs() < 20, "the playbook never ends");
    }
    let (_, after) = bench.get(&path).await?;
    assert_eq!(after, job);
    // On order it dies with its run.
    let other = bench.hanging().await?;
    bench.lever(Method::POST, &format!("runs/{other}/reap"), json!({"playbook_goes_on": false})).await?;
    assert_eq!(bench.get(&format!("/api/v2/jobs/{other}/")).await?.1["status"], "failed");
    let started = std::time::Instant::now();
    while bench.truth(other).await?["still_at_work"] == true {
        assert!(started.elapsed().as_secs() < 20, "the playbook never ends");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_stops_a_second_run_beside_a_reaped_ones_playbook() -> Result<()> {
    let bench = Bench::start().await?;
    bench.lever(Method::PATCH, "templates/17", json!({"playbook": "hangs.yml"})).await?;
    let (first, second) = (bench.launch(17, json!({})).await?, bench.launch(17, json!({})).await?);
    bench.until(&format!("/api/v2/jobs/{first}/"), |job| job["status"] == "running").await?;
    assert_eq!(bench.get(&format!("/api/v2/jobs/{second}/")).await?.1["status"], "pending");
    bench.lever(Method::POST, &format!("runs/{first}/reap"), Value::Null).await?;
    bench.until(&format!("/api/v2/jobs/{second}/"), |job| job["status"] == "running").await?;
    assert_eq!(bench.truth(first).await?["still_at_work"], true);
    Ok(())
}
