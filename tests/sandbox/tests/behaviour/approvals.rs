//! Steps that wait for a person, as AWX has them.

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};

/// Launches a workflow and waits until one of its nodes is an approval that waits. Answers both ids.
async fn waiting(bench: &Bench, template: u64) -> Result<(u64, u64)> {
    let (_, run) = bench.post(&format!("/api/v2/workflow_job_templates/{template}/launch/"), json!({})).await?;
    let run = run["id"].as_u64().unwrap();
    let nodes = format!("/api/v2/workflow_jobs/{run}/workflow_nodes/");
    let found = bench.until(&nodes, |nodes| approval(nodes).is_some()).await?;
    Ok((run, approval(&found).unwrap()["id"].as_u64().unwrap()))
}

fn approval(nodes: &Value) -> Option<&Value> {
    let jobs = nodes["results"].as_array()?.iter().map(|node| &node["summary_fields"]["job"]);
    jobs.into_iter().find(|job| job["type"] == "workflow_approval")
}

async fn ended(bench: &Bench, run: u64) -> Result<Value> {
    bench.until(&format!("/api/v2/workflow_jobs/{run}/"), |job| !job["finished"].is_null()).await
}

#[tokio::test]
async fn an_approval_is_seen_at_its_node_and_on_no_list_of_jobs() -> Result<()> {
    let bench = Bench::start().await?;
    let (run, id) = waiting(&bench, 40).await?;
    let (_, nodes) = bench.get(&format!("/api/v2/workflow_jobs/{run}/workflow_nodes/")).await?;
    let seen = approval(&nodes).unwrap();
    assert_eq!(
        (&seen["name"], &seen["description"], &seen["status"], &seen["timed_out"]),
        (&json!("Release manager says yes"), &json!("to prod"), &json!("pending"), &json!(false))
    );
    assert_eq!(bench.get(&format!("/api/v2/workflow_jobs/{run}/")).await?.1["status"], "running");
    assert_eq!(bench.get(&format!("/api/v2/unified_jobs/?id__in={id}")).await?.1["count"], 0);
    let (_, list) = bench.get(&format!("/api/v2/workflow_approvals/?unified_job_node__workflow_job={run}")).await?;
    assert_eq!((&list["count"], &list["results"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(list["results"][0]["approval_expiration"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn who_may_only_run_the_workflow_cannot_approve_and_nobody_can_twice() -> Result<()> {
    let bench = Bench::start().await?;
    let (run, id) = waiting(&bench, 40).await?;
    let path = format!("/api/v2/workflow_approvals/{id}/approve/");
    assert_eq!(bench.post(&path, json!({})).await?.0, 403);
    let approve = || bench.ask_as("admin", Method::POST, &path).json(&json!({})).send();
    assert_eq!(approve().await?.status(), 204);
    let again = approve().await?;
    assert_eq!(again.status(), 400);
    assert_eq!(again.json::<Value>().await?["error"], "This workflow step has already been approved or denied.");
    assert_eq!(ended(&bench, run).await?["status"], "successful");
    Ok(())
}

#[tokio::test]
async fn a_denial_and_a_time_out_fail_the_workflow_and_only_the_node_tells_why() -> Result<()> {
    let bench = Bench::start().await?;
    let (denied, id) = waiting(&bench, 40).await?;
    let deny = bench.ask_as("admin", Method::POST, &format!("/api/v2/workflow_approvals/{id}/deny/"));
    assert_eq!(deny.json(&json!({})).send().await?.status(), 204);
    let (late, late_id) = waiting(&bench, 41).await?;
    for (run, id, timed_out, why) in [
        (denied, id, false, String::new()),
        (
            late,
            late_id,
            true,
            format!("The approval node Release manager says yes ({late_id}) has expired after 20 seconds."),
        ),
    ] {
        let workflow = ended(&bench, run).await?;
        assert_eq!(
            (&workflow["status"], &workflow["job_explanation"]),
            (&json!("failed"), &json!("No error handling paths found, marking workflow as failed"))
        );
        let (_, nodes) = bench.get(&format!("/api/v2/workflow_jobs/{run}/workflow_nodes/")).await?;
        let seen = approval(&nodes).unwrap();
        assert_eq!((&seen["status"], &seen["timed_out"]), (&json!("failed"), &json!(timed_out)));
        let (_, row) = bench.get(&format!("/api/v2/workflow_approvals/{id}/")).await?;
        assert_eq!((&row["status"], &row["job_explanation"]), (&json!("failed"), &json!(why)));
    }
    Ok(())
}

#[tokio::test]
async fn a_denial_that_is_handled_leaves_no_trace_in_the_workflows_row() -> Result<()> {
    let bench = Bench::start().await?;
    let (run, id) = waiting(&bench, 42).await?;
    let deny = bench.ask_as("admin", Method::POST, &format!("/api/v2/workflow_approvals/{id}/deny/"));
    assert_eq!(deny.json(&json!({})).send().await?.status(), 204);
    let workflow = ended(&bench, run).await?;
    assert_eq!((&workflow["status"], &workflow["job_explanation"]), (&json!("successful"), &json!("")));
    Ok(())
}

#[tokio::test]
async fn a_workflow_is_cancelled_while_it_waits_and_workflows_run_inside_others() -> Result<()> {
    let bench = Bench::start().await?;
    let (run, id) = waiting(&bench, 40).await?;
    assert_eq!(bench.ask(Method::POST, &format!("/api/v2/workflow_jobs/{run}/cancel/")).send().await?.status(), 202);
    assert_eq!(ended(&bench, run).await?["status"], "canceled");
    assert_eq!(bench.get(&format!("/api/v2/workflow_approvals/{id}/")).await?.1["status"], "canceled");
    let (_, outer) = bench.post("/api/v2/workflow_job_templates/43/launch/", json!({})).await?;
    let nodes = format!("/api/v2/workflow_jobs/{}/workflow_nodes/", outer["id"]);
    let inside = |nodes: &Value| {
        let kinds = ["workflow_job", "workflow_job"];
        let jobs: Vec<&Value> =
            nodes["results"].as_array().unwrap().iter().map(|n| &n["summary_fields"]["job"]).collect();
        jobs.iter().map(|job| job["type"].as_str().unwrap_or("")).eq(kinds) && jobs[0]["status"] == "failed"
    };
    bench.until(&nodes, inside).await?;
    Ok(())
}
