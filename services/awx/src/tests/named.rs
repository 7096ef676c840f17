//! A launch that succeeded, by its head, and whose rest cannot be read.

use super::wire::{Then, Wire};
use super::*;

const JOB: &str = "location: /api/v2/jobs/12/\r\n";
const NAMED: RunRef = RunRef { kind: RunKind::Job, id: 12 };

/// What is known of a launch that was answered with these bytes.
async fn unresolved(head: &str, body: &str, then: Then) -> (String, Option<RunRef>) {
    let wire = Wire::start(format!("HTTP/1.1 {head}\r\n{body}"), then).await;
    let result = wire.client().launch(TemplateKind::Job, 9, &body_of_one()).await;
    match result {
        Err(LaunchError::Unresolved { why, named }) => (why, named),
        other => panic!("not unresolved: {other:?}"),
    }
}

fn body_of_one() -> LaunchBody {
    body(json!({"who": "world"}))
}

#[tokio::test]
async fn whatever_becomes_of_the_body_the_head_still_names_the_run() {
    let created = format!("201 Created\r\n{JOB}");
    let sized = |length: usize| format!("{created}content-length: {length}\r\n");
    let endless = "x".repeat(2 << 20);
    for (head, body, then, why) in [
        (sized(19), "<html>502</html>   ", Then::Close, "web page"),
        (sized(5), "hello", Then::Close, "not JSON"),
        (sized(0), "", Then::Close, "not JSON"),
        (sized(100), r#"{"job": 12, "igno"#, Then::Close, "ended before it was complete"),
        (sized(100), r#"{"job": 12, "igno"#, Then::Silence, "in time"),
        (sized(1 << 19), r#"{"job": 12, "igno"#, Then::Drip, "in time"),
        (sized(50 << 20), endless.as_str(), Then::Silence, "larger than"),
        (format!("{created}connection: close\r\n"), endless.as_str(), Then::Close, "larger than"),
        (format!("{created}transfer-encoding: chunked\r\n"), "zz\r\n", Then::Close, "ended before it was complete"),
        (sized(2), "[]", Then::Close, "names no run"),
        (sized(10), r#"{"id": 12}"#, Then::Close, "names no run"),
        (sized(28), r#"{"id": 12, "type": "system"}"#, Then::Close, "names no run"),
    ] {
        let (told, named) = unresolved(&head, body, then).await;
        assert!(told.contains(why), "{why}: {told}");
        assert_eq!(named, Some(NAMED), "{why}");
    }
}

#[tokio::test]
async fn a_head_that_names_nothing_believable_names_nothing() {
    for location in [
        "",
        "location: /api/v2/jobs/0/\r\n",
        "location: https://evil.example/api/v2/jobs/12/\r\n",
        "location: /api/v2/jobs/12/../../jobs/13/\r\n",
        "location: \u{80}\r\n",
    ] {
        let (_, named) =
            unresolved(&format!("201 Created\r\n{location}content-length: 9\r\n"), "<html>..>", Then::Close).await;
        assert_eq!(named, None, "{location}");
    }
    let (_, named) = unresolved(
        &format!("201 Created\r\n{JOB}content-length: 9\r\nx: {}\r\n", "y".repeat(20_000)),
        "<html>..>",
        Then::Close,
    )
    .await;
    assert_eq!(named, Some(NAMED));
}

#[tokio::test]
async fn what_is_no_success_names_nothing() {
    for status in ["500 Server Error", "502 Bad Gateway", "504 Gateway Timeout", "408 Timeout"] {
        let (_, named) = unresolved(&format!("{status}\r\n{JOB}content-length: 2\r\n"), "{}", Then::Close).await;
        assert_eq!(named, None, "{status}");
    }
    let (why, named) = unresolved("", "", Then::Close).await;
    assert_eq!((why.contains("connection broke"), named), (true, None));
    let (why, named) = unresolved("201 Created\r\nlocation: /api/v2/jobs/12", "", Then::Silence).await;
    assert_eq!((why.contains("in time"), named), (true, None), "half a head is none");
}

#[tokio::test]
async fn an_answer_that_names_two_runs_names_none() {
    for (location, named) in [
        ("/api/v2/jobs/2/", true),
        ("http://127.0.0.1/api/v2/jobs/2/", true),
        ("/api/v2/jobs/3/", false),
        ("/api/v2/workflow_jobs/2/", false),
    ] {
        let stub = Stub::start(move |_| {
            let mut response = json_answer(201, &json!({"id": 2, "job": 2, "type": "job", "ignored_fields": {}}));
            response.headers_mut().insert("location", location.parse().unwrap());
            response
        })
        .await;
        match stub.client().launch(TemplateKind::Job, 9, &body_of_one()).await {
            Ok(launched) => assert!(named && launched.run.id == 2, "{location}"),
            Err(LaunchError::Unresolved { why, named: None }) => {
                assert!(!named && why.contains("two runs"), "{location}")
            }
            other => panic!("{location}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_sliced_template_is_named_as_the_workflow_it_became() {
    let wire = Wire::start(
        "HTTP/1.1 201 Created\r\nlocation: /api/controller/v2/workflow_jobs/65/\r\ncontent-length: 5\r\n\r\n{\"id\"",
        Then::Close,
    )
    .await;
    for kind in [TemplateKind::Job, TemplateKind::Workflow] {
        let result = wire.client().launch(kind, 9, &body_of_one()).await;
        let workflow = RunRef { kind: RunKind::Workflow, id: 65 };
        assert!(
            matches!(result, Err(LaunchError::Unresolved { named: Some(run), .. }) if run == workflow),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn where_an_answer_does_not_say_what_was_dropped_the_run_does() {
    let launched = |ignored: Value| async move {
        let stub = Stub::start(move |_| {
            let row = json!({"id": 2, "job": 2, "type": "job", "limit": "", "extra_vars": "{}"});
            json_answer(201, &with(row, "ignored_fields", ignored.clone()))
        })
        .await;
        let sent = body(json!({"who": "world", "limit": "web"}));
        stub.client().launch(TemplateKind::Job, 9, &sent).await.unwrap().ignored
    };
    for silent in [json!(null), json!("none"), json!([])] {
        assert_eq!(launched(silent).await, ["extra_vars.who", "limit"]);
    }
    assert_eq!(launched(json!({"extra_vars": {}, "labels": null})).await, Vec::<String>::new(), "nothing is nothing");
    assert_eq!(launched(json!({"extra_vars": {"a": null}, "limit": ""})).await, ["extra_vars.a", "limit"]);
}
