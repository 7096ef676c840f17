//! Launching, as AWX answers it.

use crate::support::{Bench, Result, told};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_launch_without_prompts_drops_what_was_asked_and_says_so() -> Result<()> {
    let bench = Bench::start().await?;
    let response = bench
        .ask(Method::POST, "/api/v2/job_templates/9/launch/")
        .json(&json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t"}))
        .send()
        .await?;
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str()?.to_owned();
    let answer: serde_json::Value = response.json().await?;
    assert_eq!(location, format!("/api/v2/jobs/{}/", answer["id"]));
    assert_eq!(answer["job"], answer["id"]);
    assert_eq!(
        answer["ignored_fields"],
        json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t"})
    );
    assert_eq!(
        (&answer["type"], &answer["status"], &answer["launch_type"]),
        (&json!("job"), &json!("pending"), &json!("manual"))
    );
    assert_eq!((&answer["extra_vars"], &answer["limit"]), (&json!("{}"), &json!("")));
    assert_eq!(answer["launched_by"]["name"], "runwarden");
    let ended = bench.ended(answer["id"].as_u64().unwrap()).await?;
    assert_eq!((&ended["status"], &ended["failed"]), (&json!("successful"), &json!(false)));
    assert_eq!(ended["execution_node"], "sandbox-simulated");
    Ok(())
}

#[tokio::test]
async fn a_workflow_template_refuses_what_it_does_not_prompt_for() -> Result<()> {
    let bench = Bench::start().await?;
    let (status, answer) = bench.post("/api/v2/workflow_job_templates/20/launch/", json!({"limit": "x"})).await?;
    assert_eq!((status, answer), (400, json!({"limit": ["Field is not configured to prompt on launch."]})));
    assert!(bench.sandbox.ledger().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_prompts_of_a_template_are_told_before_launching() -> Result<()> {
    let bench = Bench::start().await?;
    let (_, plain) = bench.get("/api/v2/job_templates/9/launch/").await?;
    assert_eq!(
        (&plain["ask_variables_on_launch"], &plain["can_start_without_user_input"]),
        (&json!(false), &json!(true))
    );
    let (_, deploy) = bench.get("/api/v2/job_templates/10/launch/").await?;
    assert_eq!(deploy["variables_needed_to_start"], json!(["environment", "version"]));
    assert_eq!((&deploy["survey_enabled"], &deploy["ask_limit_on_launch"]), (&json!(true), &json!(true)));
    let (_, survey) = bench.get("/api/v2/job_templates/10/survey_spec/").await?;
    let questions = survey["spec"].as_array().unwrap();
    assert_eq!(questions[0]["choices"], json!(["dev", "staging", "prod"]));
    assert_eq!(questions[4]["default"], "$encrypted$");
    let (_, all) = bench.get("/api/v2/job_templates/11/launch/").await?;
    let flags = all.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("ask_"));
    assert_eq!(flags.filter(|(_, on)| **on == json!(true)).count(), 16);
    Ok(())
}

#[tokio::test]
async fn passwords_of_a_survey_are_masked_everywhere_but_reach_the_run() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench
        .launch(10, json!({"extra_vars": {"environment": "dev", "version": "7", "deploy_password": "hunter2"}}))
        .await?;
    let job = bench.ended(run).await?;
    assert_eq!(
        job["extra_vars"],
        "{\"deploy_password\": \"$encrypted$\", \"environment\": \"dev\", \"notes\": \"\", \"replicas\": 2, \"version\": \"7\"}"
    );
    let output =
        bench.ask(Method::GET, &format!("/api/v2/jobs/{run}/stdout/?format=json")).send().await?.text().await?;
    assert!(output.contains("version = 7") && !output.contains("hunter2"));
    let ledger = bench.control(Method::GET, "/sandbox/ledger?template=deploy").send().await?.text().await?;
    assert!(!ledger.contains("hunter2"));
    let (_, truth) = told(bench.control(Method::GET, &format!("/sandbox/runs/{run}")).send().await?).await?;
    assert_eq!(truth["extra_vars"]["deploy_password"], "hunter2");
    Ok(())
}

#[tokio::test]
async fn each_bad_body_gets_its_own_shape() -> Result<()> {
    let bench = Bench::start().await?;
    let cases = [
        (18, json!({}), json!({"resources_needed_to_start": ["Job Template inventory is missing or undefined."]})),
        (16, json!({}), json!({"variables_needed_to_start": ["'who' value missing"]})),
        (9, json!({"inventory": 999}), json!({"inventory": ["Invalid pk \"999\" - object does not exist."]})),
        (9, json!({"verbosity": 9}), json!({"verbosity": ["\"9\" is not a valid choice."]})),
        (9, json!({"extra_vars": null}), json!({"extra_vars": ["This field may not be null."]})),
        (9, json!([1]), json!({"detail": "JSON parse error - not a JSON object"})),
    ];
    for (template, body, want) in cases {
        let got = bench.post(&format!("/api/v2/job_templates/{template}/launch/"), body).await?;
        assert_eq!(got, (400, want));
    }
    let launch = || bench.ask(Method::POST, "/api/v2/job_templates/9/launch/");
    let (status, answer) =
        told(launch().header("content-type", "application/json").body("{\"a\":,}").send().await?).await?;
    assert_eq!(status, 400);
    assert!(
        answer["detail"].as_str().unwrap().starts_with("JSON parse error - Expecting value: line 1 column 6 (char 5)"),
        "{answer}"
    );
    assert_eq!(launch().header("content-type", "text/plain").body("x").send().await?.status(), 415);
    let big = json!({"extra_vars": {"x": "y".repeat(6 * 1024 * 1024)}}).to_string();
    assert_eq!(launch().header("content-type", "application/json").body(big).send().await?.status(), 413);
    assert_eq!(bench.get(&format!("/api/v2/jobs/?name={}", "x".repeat(9000))).await?.0, 414);
    assert!(bench.sandbox.ledger().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_one_may_not_use_is_403_and_what_does_not_exist_404() -> Result<()> {
    let bench = Bench::start().await?;
    let forbidden = json!({"detail": "You do not have permission to perform this action."});
    let launch = "/api/v2/job_templates/9/launch/";
    assert_eq!(bench.post("/api/v2/job_templates/19/launch/", json!({})).await?, (403, forbidden.clone()));
    assert_eq!(
        bench.post("/api/v2/job_templates/11/launch/", json!({"inventory": 3})).await?,
        (403, forbidden.clone())
    );
    assert_eq!(
        told(bench.ask_as("viewer", Method::POST, launch).json(&json!({})).send().await?).await?,
        (403, forbidden)
    );
    assert_eq!(bench.ask_as("outsider", Method::GET, "/api/v2/job_templates/9/").send().await?.status(), 403);
    let (_, seen) = told(bench.ask_as("outsider", Method::GET, "/api/v2/job_templates/").send().await?).await?;
    assert_eq!(seen["count"], 0);
    let missing = json!({"detail": "No JobTemplate matches the given query."});
    for path in ["/api/v2/job_templates/999/launch/", "/api/v2/job_templates/20/launch/"] {
        assert_eq!(bench.post(path, json!({})).await?, (404, missing.clone()));
    }
    let put = bench.ask(Method::PUT, launch).json(&json!({})).send().await?;
    assert_eq!(told(put).await?, (405, json!({"detail": "Method \"PUT\" not allowed."})));
    Ok(())
}

#[tokio::test]
async fn a_sliced_template_answers_with_a_workflow_job() -> Result<()> {
    let bench = Bench::start().await?;
    let (status, answer) = bench.post("/api/v2/job_templates/15/launch/", json!({"extra_vars": {"a": 1}})).await?;
    assert_eq!(status, 201);
    assert_eq!(
        (&answer["type"], &answer["is_sliced_job"], answer.get("job")),
        (&json!("workflow_job"), &json!(true), None)
    );
    assert_eq!(answer["workflow_job"], answer["id"]);
    let id = answer["id"].as_u64().unwrap();
    let ended = bench.until(&format!("/api/v2/workflow_jobs/{id}/"), |job| !job["finished"].is_null()).await?;
    assert_eq!(ended["status"], "successful");
    let (_, nodes) = bench.get(&format!("/api/v2/workflow_jobs/{id}/workflow_nodes/")).await?;
    assert_eq!(nodes["count"], 3);
    let (_, slices) =
        bench.get(&format!("/api/v2/unified_jobs/?unified_job_node__workflow_job={id}&order_by=id")).await?;
    let numbers: Vec<_> = slices["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["job_slice_number"].clone(), s["job_slice_count"].clone()))
        .collect();
    assert_eq!(numbers, [(json!(1), json!(3)), (json!(2), json!(3)), (json!(3), json!(3))]);
    let (_, found) = bench.get("/api/v2/unified_jobs/?unified_job_template=15&launch_type=manual").await?;
    assert_eq!(found["results"][0]["id"], id);
    Ok(())
}

#[tokio::test]
async fn a_template_that_runs_alone_queues_its_second_launch() -> Result<()> {
    let bench = Bench::start().await?;
    let (first, second) =
        (bench.launch(17, json!({"extra_vars": {"a": 1}})).await?, bench.launch(17, json!({})).await?);
    let (first, second) = (bench.ended(first).await?, bench.ended(second).await?);
    assert!(first["finished"].as_str() <= second["started"].as_str(), "{} {}", first["finished"], second["started"]);
    Ok(())
}

#[tokio::test]
async fn yaml_variables_are_normalised() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(22, json!({"extra_vars": "---\ncolour: red\ncount: 3\n"})).await?;
    assert_eq!(bench.ended(run).await?["extra_vars"], "{\"colour\": \"red\", \"count\": 3}");
    Ok(())
}

#[tokio::test]
async fn a_relaunch_is_of_its_own_type_and_keeps_the_variables() -> Result<()> {
    let bench = Bench::start().await?;
    let run = bench.launch(22, json!({"extra_vars": {"colour": "red"}})).await?;
    bench.ended(run).await?;
    let (_, needs) = bench.get(&format!("/api/v2/jobs/{run}/relaunch/")).await?;
    assert_eq!(needs, json!({"passwords_needed_to_start": [], "retry_counts": {"all": 1, "failed": 0}}));
    let (status, again) = bench.post(&format!("/api/v2/jobs/{run}/relaunch/"), json!({})).await?;
    assert_eq!(
        (status, &again["launch_type"], &again["extra_vars"]),
        (201, &json!("relaunch"), &json!("{\"colour\": \"red\"}"))
    );
    assert_eq!(bench.ended(again["id"].as_u64().unwrap()).await?["status"], "successful");
    Ok(())
}
