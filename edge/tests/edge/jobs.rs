use crate::support::{Edge, STOPPING, get, post};

#[tokio::test]
async fn a_job_is_accepted_with_the_way_to_it_and_what_travels_along() {
    let edge = Edge::new();
    let request = post("/api/v1/jobs")
        .header("idempotency-key", "\"once-1\"")
        .header("x-request-id", "mine-1")
        .header("x-tenant", "acme")
        .header("x-runwarden-source-address", "6.6.6.6")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let answer = edge.call(request, r#"{"template":"deploy-web","parameters":{"environment":"dev"}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (202, "/api/v1/jobs/job_1"));
    let job = answer.json();
    assert_eq!((job["state"].as_str(), job["parameters"]["environment"].as_str()), (Some("new"), Some("dev")));

    let submitted = edge.jobs.submitted.lock().unwrap();
    let (request, context) = &submitted[0];
    assert_eq!(request.parameters_json, r#"{"environment":"dev"}"#);
    assert_eq!(context.request_id, "mine-1");
    assert_eq!(context.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(context.idempotency_key.as_deref(), Some("once-1"));
    assert_eq!(context.tenant.as_deref(), Some("acme"));
    assert_eq!(context.source_address, "", "the caller's word for it does not count");
    assert!(context.deadline.is_some() && context.token.is_some());
}

#[tokio::test]
async fn jobs_are_listed_and_read() {
    let edge = Edge::new();
    let list = edge.call(get("/api/v1/jobs?state=running&page_size=2"), "").await.json();
    assert_eq!((list["items"].as_array().unwrap().len(), list["next_page_token"].as_str()), (2, Some("am9iXzE")));
    let job = edge.call(get("/api/v1/jobs/job_1?wait=5"), "").await.json();
    assert_eq!(job["state"], "succeeded");
}

#[tokio::test]
async fn output_is_put_together_from_its_pieces() {
    let edge = Edge::new();
    *edge.jobs.output.lock().unwrap() = vec!["one\n".into(), "zwei ü\n".into(), "three\n".into()];
    let all = edge.call(get("/api/v1/jobs/job_1/output"), "").await;
    assert_eq!(all.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(all.body, "one\nzwei ü\nthree\n");
    let rest = edge.call(get("/api/v1/jobs/job_1/output?offset=4"), "").await;
    assert_eq!(rest.body, "zwei ü\nthree\n");
    edge.call(get("/api/v1/jobs/job_1/output?offset=-1"), "").await.problem(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn events_come_as_they_happen_and_end_with_the_job() {
    let edge = Edge::new();
    let answer = edge.call(get("/api/v1/jobs/job_1/events"), "").await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let text = std::str::from_utf8(&answer.body).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("id:") || line.starts_with("event:")).collect();
    assert_eq!(lines, ["id: 1", "event: state", "id: 2", "event: output", "id: 3", "event: state", "event: end"]);
    assert!(text.contains(r#"data: {"state":"succeeded"}"#), "{text}");
}

#[tokio::test]
async fn a_stream_resumes_and_says_when_nothing_is_left() {
    let edge = Edge::new();
    let resumed = edge.call(get("/api/v1/jobs/job_1/events").header("last-event-id", "2"), "").await;
    let text = std::str::from_utf8(&resumed.body).unwrap();
    assert!(text.contains("id: 3\n") && !text.contains("id: 2\n"), "{text}");
    let done = edge.call(get("/api/v1/jobs/job_1/events").header("last-event-id", "3"), "").await;
    assert_eq!((done.status.as_u16(), done.body.len()), (204, 0));
    // The job is over, but that everything was sent is not known.
    let cut = get("/api/v1/jobs/job_1/events").header("last-event-id", STOPPING.to_string());
    edge.call(cut, "").await.problem(503, "UNAVAILABLE");
    edge.call(get("/api/v1/jobs/job_2/events"), "").await.problem(404, "NOT_FOUND");
    let odd = get("/api/v1/jobs/job_1/events").header("last-event-id", "x");
    edge.call(odd, "").await.problem(422, "VALIDATION_FAILED");
}
