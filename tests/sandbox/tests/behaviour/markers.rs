//! Somebody switches prompts off between a client's look at the template and its launch.

use crate::support::{Bench, Result};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn variables_and_skip_tags_are_dropped_from_one_launch() -> Result<()> {
    let bench = Bench::start().await?;
    let launch = async |template: u64, body: &Value| -> Result<Value> {
        let (status, answer) = bench.post(&format!("/api/v2/job_templates/{template}/launch/"), body.clone()).await?;
        assert_eq!(status, 201, "{answer}");
        Ok(answer)
    };
    let cases = [
        (22, json!({"extra_vars": {"gw_correlation_id": "m-1", "colour": "red"}})),
        (25, json!({"skip_tags": "gw_123"})),
        (11, json!({"extra_vars": {"gw_correlation_id": "m-2"}, "skip_tags": "gw_124"})),
    ];
    for (template, body) in cases {
        bench.lever(Method::POST, "faults", json!({"fault": {"kind": "drop_marker"}})).await?;
        // Looking does not use it up, and what one looks at still prompts.
        let (_, needs) = bench.get(&format!("/api/v2/job_templates/{template}/launch/")).await?;
        let asks = |flag: &str| needs[flag] == true;
        assert!(asks("ask_variables_on_launch") || asks("ask_skip_tags_on_launch"));
        let answer = launch(template, &body).await?;
        assert_eq!(answer["ignored_fields"], body);
        assert_eq!((&answer["extra_vars"], &answer["skip_tags"]), (&json!("{}"), &json!("")));
        assert_eq!(launch(template, &body).await?["ignored_fields"], json!({}), "only one launch");
    }
    Ok(())
}

#[tokio::test]
async fn other_prompts_and_a_surveys_answers_still_get_through() -> Result<()> {
    let bench = Bench::start().await?;
    let body = json!({"extra_vars": {"environment": "dev", "version": "7", "stray": 1}, "limit": "localhost"});
    bench.at_next_launch(json!({"kind": "drop_marker"})).await?;
    let (_, answer) = bench.post("/api/v2/job_templates/10/launch/", body).await?;
    assert_eq!(answer["ignored_fields"], json!({"extra_vars": {"stray": 1}}));
    assert_eq!(answer["limit"], "localhost");
    assert!(answer["extra_vars"].as_str().unwrap().contains("\"version\": \"7\""));
    // A workflow drops nothing: it refuses.
    bench.at_next_launch(json!({"kind": "drop_marker"})).await?;
    let launched = bench.sandbox.launched();
    let body = json!({"extra_vars": {"gw_correlation_id": "m-1"}});
    let (status, answer) = bench.post("/api/v2/workflow_job_templates/21/launch/", body).await?;
    assert_eq!((status, answer["extra_vars"].is_array()), (400, true));
    assert_eq!(bench.sandbox.launched(), launched);
    Ok(())
}

#[tokio::test]
async fn the_answer_that_would_tell_so_can_be_lost() -> Result<()> {
    let bench = Bench::start().await?;
    bench.at_next_launch(json!({"kind": "drop_marker", "lose": true})).await?;
    assert!(bench.launch(22, json!({"extra_vars": {"gw_correlation_id": "m-1"}})).await.is_err());
    let entry = bench.sandbox.ledger().remove(0);
    assert!(entry.extra_vars.is_empty());
    assert_eq!(Value::Object(entry.ignored_fields), json!({"extra_vars": {"gw_correlation_id": "m-1"}}));
    Ok(())
}

#[tokio::test]
async fn the_ledger_tells_what_a_marker_was_put_in_and_when() -> Result<()> {
    let bench = Bench::start().await?;
    bench.at_next_launch(json!({"kind": "delay_commit", "commit_after_ms": 300})).await?;
    assert!(bench.launch(25, json!({"skip_tags": "gw_123"})).await.is_err());
    bench.until("/api/v2/jobs/?job_template=25", |list| list["count"] == 1).await?;
    let run = bench.launch(22, json!({"extra_vars": {"gw_correlation_id": "m-1"}})).await?;
    let ledger = bench.lever(Method::GET, "ledger", Value::Null).await?;
    let (late, next) = (&ledger["items"][0], &ledger["items"][1]);
    assert_eq!((&late["skip_tags"], &late["extra_vars"]), (&json!("gw_123"), &json!({})));
    assert_eq!(next["extra_vars"], json!({"gw_correlation_id": "m-1"}));
    let time = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    for entry in [late, next] {
        for field in ["requested_at", "committed_at"] {
            assert_eq!(time(entry, field).len(), "2026-01-31T23:59:59.000000Z".len(), "{entry}");
        }
        assert!(time(entry, "requested_at") <= time(entry, "committed_at"));
    }
    assert!(time(late, "committed_at") < time(next, "committed_at"));
    let (_, row) = bench.get(&format!("/api/v2/jobs/{run}/")).await?;
    assert_eq!(row["created"], next["requested_at"]);
    let only = bench.lever(Method::GET, &format!("ledger?run={run}"), Value::Null).await?;
    let found: Vec<&Value> = only["items"].as_array().unwrap().iter().map(|entry| &entry["seq"]).collect();
    assert_eq!(found, [&next["seq"]]);
    Ok(())
}
