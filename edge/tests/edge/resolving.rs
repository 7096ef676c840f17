//! Jobs that wait, and launches that a person decides about.

use runwarden_edge::route_table::Listener;
use runwarden_proto::executor::v1 as proto;
use runwarden_proto::executor::v1::resolve_job_request::Resolution;
use serde_json::json;

use crate::support::{Edge, get, post};

#[tokio::test]
async fn urgency_and_times_of_a_job_travel_to_the_executor() {
    let edge = Edge::new();
    let body = json!({
        "template": "deploy-web", "priority": "high", "start_at": "2026-12-01T06:00:00Z",
        "start_by": "2026-12-01T07:00:00+01:00", "max_duration_seconds": 600,
    });
    assert_eq!(edge.submit(&body.to_string()).await.status, 202);
    let submitted = edge.jobs.submitted.lock().unwrap();
    let (request, _) = &submitted[0];
    assert_eq!((request.priority(), request.max_duration_seconds), (proto::JobPriority::High, 600));
    assert_eq!(request.start_at.map(|at| at.seconds), Some(1_796_104_800));
    assert_eq!(request.start_by, request.start_at);
}

#[tokio::test]
async fn a_full_queue_is_a_429_that_says_when_to_come_back() {
    let edge = Edge::new();
    let answer = edge.submit(r#"{"template":"full"}"#).await;
    let problem = answer.problem(429, "QUEUE_FULL");
    assert_eq!((answer.header("retry-after"), problem["title"].as_str()), ("42", Some("The queue is full")));
    assert_eq!(problem["detail"], "100 jobs of this template wait already.");
}

#[tokio::test]
async fn what_a_person_found_out_travels_to_the_executor() {
    let edge = Edge::new();
    for (body, want) in [
        (json!({"action": "bind", "run": 123}), Resolution::Bind(proto::BindRun { run_id: 123 })),
        (json!({"action": "retry"}), Resolution::Retry(proto::RetryLaunch {})),
        (json!({"action": "give_up"}), Resolution::GiveUp(proto::GiveUp {})),
    ] {
        let mut body = body;
        body["reason"] = json!(" Looked at it. ");
        let answer = edge.call_on(Listener::Admin, post("/api/v1/jobs/job_1/resolve"), body.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (202, "/api/v1/jobs/job_1"));
        assert_eq!(answer.json()["state"], "running");
        let resolved = edge.jobs.resolved.lock().unwrap();
        let request = resolved.last().unwrap();
        assert_eq!((request.id.as_str(), request.reason.as_str()), ("job_1", "Looked at it."));
        assert_eq!(request.resolution.as_ref(), Some(&want));
    }
}

#[tokio::test]
async fn a_resolution_that_says_too_little_or_too_much_reaches_nobody() {
    let edge = Edge::new();
    for (body, pointer) in [
        (json!({"action": "bind", "reason": "r"}), "/run"),
        (json!({"action": "retry", "run": 1, "reason": "r"}), "/run"),
        (json!({"action": "retry", "reason": "  "}), "/reason"),
        (json!({"action": "retry"}), "/reason"),
        (json!({"reason": "r"}), "/action"),
    ] {
        let answer = edge.call_on(Listener::Admin, post("/api/v1/jobs/job_1/resolve"), body.to_string()).await;
        assert_eq!(answer.problem(422, "VALIDATION_FAILED")["errors"][0]["pointer"], pointer, "{body}");
    }
    assert!(edge.jobs.resolved.lock().unwrap().is_empty());
}

#[tokio::test]
async fn attempts_are_told_with_what_finds_them_on_the_controller() {
    let edge = Edge::new();
    let page = edge.call_on(Listener::Admin, get("/api/v1/jobs/job_1/attempts"), "").await.json();
    let want = json!({
        "items": [{
            "number": 1, "state": "ambiguous", "detail": "two runs look alike",
            "installation": "7a8e2c4f-51d0-4b8e-9a63-0d1f2b3c4d5e",
            "controller_address": "https://awx.example", "controller_template": 10, "account": 4,
            "sent_at": "2026-01-31T11:00:00.000000Z", "controller_time": "2026-01-31T11:00:01.000000Z",
            "marker": "rw_1", "marker_placement": "extra_var", "candidates": [7, 8],
        }],
        "next_page_token": "",
    });
    assert_eq!(page, want);
    edge.call_on(Listener::Admin, get("/api/v1/jobs/job_2/attempts"), "").await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn from_outside_there_is_nothing_to_resolve() {
    let edge = Edge::new();
    edge.call(get("/api/v1/jobs/job_1/attempts"), "").await.problem(404, "NOT_FOUND");
    edge.call(post("/api/v1/jobs/job_1/resolve"), r#"{"action":"retry","reason":"r"}"#).await.problem(404, "NOT_FOUND");
    assert!(edge.jobs.resolved.lock().unwrap().is_empty());
}
