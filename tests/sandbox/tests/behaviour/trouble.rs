//! Restarts, the ledger and faults on order.

use crate::support::{Bench, Result, kept_in, told};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn after_a_crash_ids_tokens_output_and_ledger_go_on_and_runs_are_reaped() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::with(kept_in(dir.path())).await?;
    let done = bench.launch(22, json!({"extra_vars": {"a": 1}})).await?;
    bench.ended(done).await?;
    let hangs = bench.launch(13, json!({})).await?;
    bench.until(&format!("/api/v2/jobs/{hangs}/"), |job| job["status"] == "running").await?;
    let (token, control) = (bench.sandbox.token(), bench.sandbox.control_token());
    bench.sandbox.crash().await;

    let bench = Bench::with(kept_in(dir.path())).await?;
    assert_eq!((bench.sandbox.token(), bench.sandbox.control_token()), (token, control));
    let (_, reaped) = bench.get(&format!("/api/v2/jobs/{hangs}/")).await?;
    assert_eq!((&reaped["status"], &reaped["event_processing_finished"]), (&json!("failed"), &json!(false)));
    assert!(reaped["job_explanation"].as_str().unwrap().starts_with("Task was marked as running at system start up."));
    let (_, output) = bench.get(&format!("/api/v2/jobs/{done}/stdout/?format=json")).await?;
    assert!(output["content"].as_str().unwrap().contains("a = 1"));
    let next = bench.launch(9, json!({})).await?;
    assert!(next > hangs);
    let runs: Vec<u64> = bench.sandbox.ledger().iter().map(|e| e.run).collect();
    assert_eq!(runs, [done, hangs, next]);
    bench.sandbox.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_orderly_stop_is_told_as_such() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::with(kept_in(dir.path())).await?;
    let hangs = bench.launch(13, json!({})).await?;
    bench.until(&format!("/api/v2/jobs/{hangs}/"), |job| job["status"] == "running").await?;
    bench.sandbox.stop().await;
    let bench = Bench::with(kept_in(dir.path())).await?;
    let (_, job) = bench.get(&format!("/api/v2/jobs/{hangs}/")).await?;
    assert_eq!(
        (&job["status"], &job["job_explanation"]),
        (&json!("failed"), &json!("Task was canceled due to receiving a shutdown signal."))
    );
    Ok(())
}

#[tokio::test]
async fn the_ledger_knows_what_was_launched_and_what_ran() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(9, json!({"limit": "x"})).await?;
    bench.ended(run).await?;
    let (_, ledger) = told(bench.control(Method::GET, "/sandbox/ledger?account=runwarden").send().await?).await?;
    let entry = &ledger["items"][0];
    assert_eq!((&entry["template"], &entry["run"], &entry["account"]), (&json!(9), &json!(run), &json!("runwarden")));
    assert_eq!(entry["ignored_fields"], json!({"limit": "x"}));
    assert_eq!(
        (&entry["ran"]["starts"], &entry["ran"]["status"], &entry["ran"]["engine"]),
        (&json!(1), &json!("successful"), &json!("simulated"))
    );
    let uninvited = bench.ask(Method::GET, "/sandbox/ledger").send().await?;
    assert_eq!(uninvited.status(), 401);
    Ok(())
}

async fn order(bench: &Bench, fault: serde_json::Value) -> Result<()> {
    let body = json!({"method": "POST", "path": "/launch/", "fault": fault});
    assert_eq!(bench.control(Method::POST, "/sandbox/faults").json(&body).send().await?.status(), 201);
    Ok(())
}

#[tokio::test]
async fn lost_answers_leave_the_client_without_knowledge() -> Result<()> {
    let bench = Bench::start().await?;
    order(&bench, json!({"kind": "lose_before"})).await?;
    assert!(bench.launch(9, json!({})).await.is_err());
    assert_eq!(bench.sandbox.ledger().len(), 0);
    order(&bench, json!({"kind": "lose_after"})).await?;
    assert!(bench.launch(9, json!({})).await.is_err());
    assert_eq!(bench.sandbox.ledger().len(), 1);
    assert_eq!(bench.launch(9, json!({})).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_late_commit_is_dated_back_to_its_request() -> Result<()> {
    let bench = Bench::start().await?;
    order(&bench, json!({"kind": "delay_commit", "commit_after_ms": 400})).await?;
    assert!(bench.launch(9, json!({})).await.is_err());
    assert_eq!(bench.get("/api/v2/jobs/?job_template=9").await?.1["count"], 0);
    let later = bench.launch(22, json!({})).await?;
    let found = bench.until("/api/v2/jobs/?job_template=9", |list| list["count"] == 1).await?;
    let late = &found["results"][0];
    let (_, later) = bench.get(&format!("/api/v2/jobs/{later}/")).await?;
    assert!(late["id"].as_u64() > later["id"].as_u64());
    assert!(late["created"].as_str() < later["created"].as_str());
    Ok(())
}

#[tokio::test]
async fn proxies_fail_credentials_vanish_and_states_go_backwards_on_order() -> Result<()> {
    let bench = Bench::start().await?;
    order(&bench, json!({"kind": "status", "status": 502})).await?;
    let page = bench.ask(Method::POST, "/api/v2/job_templates/9/launch/").json(&json!({})).send().await?;
    assert_eq!(page.status(), 502);
    assert!(page.text().await?.contains("nginx"));
    order(&bench, json!({"kind": "unauthorized"})).await?;
    assert_eq!(bench.post("/api/v2/job_templates/9/launch/", json!({})).await?.0, 401);
    let fault = json!({"fault": {"kind": "backwards"}});
    bench.control(Method::POST, "/sandbox/faults").json(&fault).send().await?;
    let run = bench.launch(9, json!({})).await?;
    let path = format!("/api/v2/jobs/{run}/");
    bench.until(&path, |job| job["status"] == "running").await?;
    bench.until(&path, |job| job["status"] == "pending").await?;
    assert_eq!(bench.ended(run).await?["status"], "successful");
    assert_eq!(bench.sandbox.ledger()[0].ran.starts, 1);
    let unknown =
        bench.control(Method::POST, "/sandbox/faults").json(&json!({"fault": {"kind": "nonsense"}})).send().await?;
    assert_eq!(unknown.status(), 422);
    Ok(())
}

#[tokio::test]
async fn without_a_dispatcher_launches_are_taken_and_wait() -> Result<()> {
    let bench = Bench::start().await?;
    let switch =
        |running: bool| bench.control(Method::POST, "/sandbox/dispatcher").json(&json!({"running": running})).send();
    switch(false).await?;
    let run = bench.launch(9, json!({})).await?;
    assert_eq!(bench.get("/api/v2/ping/").await?.1["instances"][0]["capacity"], 0);
    assert_eq!(bench.get(&format!("/api/v2/jobs/{run}/")).await?.1["status"], "pending");
    switch(true).await?;
    assert_eq!(bench.ended(run).await?["status"], "successful");
    Ok(())
}

#[tokio::test]
async fn a_template_can_drift() -> Result<()> {
    let bench = Bench::start().await?;
    let changed = bench
        .control(Method::PATCH, "/sandbox/templates/9")
        .json(&json!({"playbook": "fails.yml", "ask": ["limit"]}))
        .send()
        .await?;
    assert_eq!(changed.status(), 200);
    let (_, template) = bench.get("/api/v2/job_templates/9/").await?;
    assert_eq!((&template["playbook"], &template["ask_limit_on_launch"]), (&json!("fails.yml"), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn somebody_in_front_can_answer_in_the_controllers_place_before_or_after_it_acted() -> Result<()> {
    let bench = Bench::start().await?;
    let faults = [
        json!({"kind": "status", "status": 403, "json": {"message": "forbidden"}, "retry_after": 7}),
        json!({"kind": "redirect", "location": "https://login.example/"}),
        json!({"kind": "status", "status": 200}),
    ];
    for (n, mut fault) in faults.into_iter().enumerate() {
        for (after, launched) in [(false, n), (true, n + 1)] {
            fault["after"] = json!(after);
            bench.lever(Method::POST, "faults", json!({"path": "/launch", "fault": fault})).await?;
            let answer = bench.ask(Method::POST, "/api/v2/job_templates/9/launch/").json(&json!({})).send().await?;
            assert_eq!(u64::from(answer.status().as_u16()), fault["status"].as_u64().unwrap_or(302), "{fault}");
            assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("x-api-")), "{fault}");
            if let Some(seconds) = fault["retry_after"].as_u64() {
                assert_eq!(answer.headers()["retry-after"], seconds.to_string().as_str());
                assert_eq!(answer.json::<serde_json::Value>().await?, json!({"message": "forbidden"}));
            }
            assert_eq!(bench.sandbox.launched(), launched, "{fault}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_hidden_is_left_out_of_lists_and_forbidden_by_itself_while_it_is_there() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(13, json!({})).await?;
    let (template, detail) = ("/api/v2/job_templates/13/", format!("/api/v2/jobs/{run}/"));
    let list = format!("/api/v2/unified_jobs/?id__in={run}");
    let seen = async || -> Result<(u16, u16, u64)> {
        let count = bench.get(&list).await?.1["count"].as_u64().unwrap();
        Ok((bench.get(template).await?.0, bench.get(&detail).await?.0, count))
    };
    assert_eq!(seen().await?, (200, 200, 1));
    bench.lever(Method::PATCH, "templates/13", json!({"restricted": true})).await?;
    assert_eq!(seen().await?, (403, 403, 0));
    bench.lever(Method::DELETE, &format!("runs/{run}"), json!(null)).await?;
    assert_eq!(seen().await?, (403, 404, 0));
    bench.lever(Method::PATCH, "templates/13", json!({"restricted": false})).await?;
    assert_eq!(seen().await?, (200, 404, 0));
    Ok(())
}
