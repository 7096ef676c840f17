use runwarden_kit::launch_field::LaunchField;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn created(extra: Value) -> Value {
    let mut row = json!({
        "job": 2, "ignored_fields": {}, "id": 2, "type": "job", "url": "/api/v2/jobs/2/", "name": "jt-plain",
        "job_template": 9, "unified_job_template": 9, "launch_type": "manual", "status": "pending", "extra_vars": "{}",
        "limit": "", "created": "2026-11-22T05:00:00.123456Z", "started": null, "finished": null, "failed": false,
        "event_processing_finished": false, "launched_by": {"id": 1, "name": "admin", "type": "user"},
        "summary_fields": {}, "related": {}
    });
    row.as_object_mut().unwrap().extend(object(extra));
    row
}

async fn launch(
    kind: TemplateKind,
    answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
) -> Result<Launched, LaunchError> {
    let stub = Stub::start(answer).await;
    let result = stub.client().launch(kind, 9, &body(json!({"who": "world"}))).await;
    assert_eq!(stub.seen().len(), 1, "a launch is sent once, whatever comes back");
    result
}

fn refusal(result: Result<Launched, LaunchError>) -> (u16, String) {
    match result {
        Err(LaunchError::Refused { status, refusal }) => (status, refusal.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

fn not_launched(result: Result<Launched, LaunchError>) -> AwxError {
    match result {
        Err(LaunchError::NotLaunched(error)) => error,
        other => panic!("not proof that nothing was launched: {other:?}"),
    }
}

fn unresolved(result: Result<Launched, LaunchError>) -> Option<RunRef> {
    match result {
        Err(LaunchError::Unresolved { named, .. }) => named,
        other => panic!("not unresolved: {other:?}"),
    }
}

#[tokio::test]
async fn a_launch_posts_the_body_to_the_one_address_and_binds_the_run() {
    let stub = Stub::start(|_| json_answer(201, &created(json!({})))).await;
    let body = try_body(json!({"who": "world", "limit": "web"}), json!({"inventory": 3}), json!({})).unwrap();
    let launched = stub.client().launch(TemplateKind::Job, 9, &body).await.unwrap();
    assert_eq!(launched.run, RunRef { kind: RunKind::Job, id: 2 });
    assert!(launched.ignored.is_empty());
    assert_eq!(launched.row.status, RunStatus::Pending);
    assert_eq!(launched.row.launched_by, Some(1));
    assert!(launched.row.created.is_some());
    let seen = &stub.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/job_templates/9/launch/"));
    assert_eq!(seen.json(), json!({"extra_vars": {"who": "world"}, "limit": "web", "inventory": 3}));
    assert_eq!(seen.headers["content-type"], "application/json");
}

#[tokio::test]
async fn what_was_dropped_is_named() {
    let dropped = json!({"ignored_fields": {"extra_vars": {"runwarden_attempt": "c-1", "x": 1}, "limit": "nohost", "labels": [1], "job_tags": "t"}});
    let launched = launch(TemplateKind::Job, move |_| json_answer(201, &created(dropped.clone()))).await.unwrap();
    assert_eq!(launched.ignored, ["extra_vars.runwarden_attempt", "extra_vars.x", "job_tags", "labels", "limit"]);
    assert!(!launched.ignored.is_empty());
    assert!(!launched.took_marker(MarkerPlacement::ExtraVar));
    assert!(launched.took_marker(MarkerPlacement::SkipTag));
}

#[tokio::test]
async fn a_sliced_template_becomes_a_workflow_job() {
    let sliced = json!({"workflow_job": 65, "id": 65, "type": "workflow_job", "is_sliced_job": true});
    let launched = launch(TemplateKind::Job, move |_| json_answer(201, &sliced)).await.unwrap();
    assert_eq!(launched.run, RunRef { kind: RunKind::Workflow, id: 65 });
}

#[tokio::test]
async fn refusals_are_proof_that_nothing_was_launched_and_say_why() {
    for (status, answer, reason) in [
        (
            400,
            json!({"variables_needed_to_start": ["'who' value missing"]}),
            "variables_needed_to_start: 'who' value missing",
        ),
        (
            400,
            json!({"resources_needed_to_start": ["Job Template inventory is missing or undefined."]}),
            "resources_needed_to_start: Job Template inventory is missing or undefined.",
        ),
        (
            400,
            json!({"limit": ["Field is not configured to prompt on launch."]}),
            "limit: Field is not configured to prompt on launch.",
        ),
        (400, json!({"verbosity": ["\"9\" is not a valid choice."]}), "verbosity: \"9\" is not a valid choice."),
        (400, json!({"extra_vars": ["This field may not be null."]}), "extra_vars: This field may not be null."),
        (400, json!({"detail": "JSON parse error - not a JSON object"}), "JSON parse error - not a JSON object"),
        (
            403,
            json!({"detail": "You do not have permission to perform this action."}),
            "You do not have permission to perform this action.",
        ),
        (404, json!({"detail": "No JobTemplate matches the given query."}), "No JobTemplate matches the given query."),
        (405, json!({"detail": "Method \"POST\" not allowed."}), "Method \"POST\" not allowed."),
        (409, json!({"error": "Resource is being used by running jobs."}), "Resource is being used by running jobs."),
        (415, json!({"detail": "You did not use correct Content-Type"}), "You did not use correct Content-Type"),
    ] {
        let got = refusal(launch(TemplateKind::Job, move |_| json_answer(status, &answer)).await);
        assert_eq!(got, (status, reason.to_owned()));
    }
}

#[tokio::test]
async fn what_is_only_said_instead_of_passing_a_request_on_is_proof_and_no_refusal() {
    for answer in [html, gateway] {
        for status in [407, 411, 413, 414, 421, 426, 431] {
            let error = not_launched(launch(TemplateKind::Job, move |_| answer(status)).await);
            assert_eq!(error, AwxError::InFront { status });
        }
        let error = not_launched(launch(TemplateKind::Job, move |_| answer(401)).await);
        assert_eq!(error, AwxError::Unauthorized);
        let error = not_launched(launch(TemplateKind::Job, move |_| answer(429)).await);
        assert_eq!(error, AwxError::Throttled { retry_after: None });
    }
    let own = |status| move |_: &Seen| json_answer(status, &json!({"detail": "x"}));
    assert_eq!(not_launched(launch(TemplateKind::Job, own(401)).await), AwxError::Unauthorized);
    assert!(matches!(not_launched(launch(TemplateKind::Job, own(429)).await), AwxError::Throttled { .. }));
    let upgrade = launch(TemplateKind::Job, |_| redirect(302, "/migrations_notran/")).await;
    assert_eq!(not_launched(upgrade), AwxError::Migrating);
}

#[tokio::test]
async fn what_stands_in_front_of_awx_refuses_nothing_and_proves_nothing() {
    // An nginx that was told to redirect when AWX takes too long sends this after the launch got through.
    for status in [301, 302, 303, 307, 308] {
        for location in ["/api/v2/job_templates/9/launch/", "https://login.example/?next=/migrations_notran/"] {
            assert_eq!(unresolved(launch(TemplateKind::Job, move |_| redirect(status, location)).await), None);
        }
    }
    for status in [400, 403, 404, 405, 406, 408, 409, 410, 415, 418, 422, 451, 499] {
        for answer in [html, gateway] {
            assert_eq!(unresolved(launch(TemplateKind::Job, move |_| answer(status)).await), None, "{status}");
        }
    }
    // AWX's headers around a body that cannot be read are not its word either.
    for body in ["{\"detail\": \"You do", "<html>403</html>"] {
        let broken = launch(TemplateKind::Job, move |_| answer(403, "application/json", body)).await;
        assert_eq!(unresolved(broken), None, "{body}");
    }
}

#[test]
fn only_a_refusal_by_awx_itself_ends_anything() {
    for status in 100..1000 {
        let refuses = (400..500).contains(&status);
        assert!(proof(status, false) != Proof::Refused, "{status}");
        assert!(refuses || proof(status, true) == Proof::None, "{status}");
    }
    assert_eq!(proof(400, true), Proof::Refused);
}

#[tokio::test]
async fn what_proves_nothing_stays_unresolved() {
    for status in [408, 500, 502, 503, 504, 599] {
        assert_eq!(unresolved(launch(TemplateKind::Job, move |_| html(status)).await), None);
    }
    for odd in [
        json!({}),
        json!([]),
        json!({"id": 2}),
        json!({"id": 2, "type": "project_update"}),
        json!({"id": -1, "type": "job"}),
        json!({"id": 2, "job": 3, "type": "job"}),
    ] {
        assert_eq!(unresolved(launch(TemplateKind::Job, move |_| json_answer(201, &odd)).await), None);
    }
    assert_eq!(unresolved(launch(TemplateKind::Job, |_| html(200)).await), None);
    // A workflow template cannot become a job.
    assert_eq!(unresolved(launch(TemplateKind::Workflow, |_| json_answer(201, &created(json!({})))).await), None);
}

#[tokio::test]
async fn the_head_of_a_broken_answer_still_names_the_run() {
    let result = launch(TemplateKind::Job, |_| {
        let mut response = answer(201, "application/json", "{\"job\": 2, \"igno");
        response.headers_mut().insert("location", "/api/controller/v2/jobs/2/".parse().unwrap());
        response
    })
    .await;
    assert_eq!(unresolved(result), Some(RunRef { kind: RunKind::Job, id: 2 }));
}

#[tokio::test]
async fn a_server_that_reads_and_hangs_up_or_falls_silent_leaves_it_unresolved() {
    for silent in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _read = socket.read(&mut [0; 4096]).await.unwrap();
            if silent {
                std::future::pending::<()>().await;
            }
            socket.shutdown().await.unwrap();
            // A second connection would be a second launch.
            let _second = listener.accept().await;
            panic!("launched twice");
        });
        let result = client_for(address).launch(TemplateKind::Job, 9, &body(json!({}))).await;
        assert_eq!(unresolved(result), None);
        assert!(server.try_join_next().is_none(), "launched twice");
    }
}

#[tokio::test]
async fn a_launch_never_uses_a_kept_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    let connections = Arc::new(Mutex::new(0));
    let counted = connections.clone();
    server.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            *counted.lock().unwrap() += 1;
            tokio::spawn(async move {
                while socket.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {
                    let body = created(json!({})).to_string();
                    let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", body.len());
                    socket.write_all(head.as_bytes()).await.unwrap();
                    socket.write_all(body.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let client = client_for(address);
    for _ in 0..3 {
        client.launch(TemplateKind::Job, 9, &body(json!({}))).await.unwrap();
    }
    assert_eq!(*connections.lock().unwrap(), 3);
}

#[tokio::test]
async fn no_connection_is_proof_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let result = client_for(address).launch(TemplateKind::Job, 9, &body(json!({}))).await;
    assert!(matches!(result, Err(LaunchError::NotLaunched(AwxError::Unreachable { .. }))), "{result:?}");
}

#[tokio::test]
async fn a_refusal_that_quotes_a_secret_is_not_passed_on() {
    for message in ["'pw' value hunter2 is too small (length is 7 must be at least 9).", "what is hunter2?"] {
        let stub = Stub::start(move |_| json_answer(400, &json!({"variables_needed_to_start": [message]}))).await;
        let body = try_body(json!({"pw": "hunter2"}), json!({}), json!({"pw": {"writeOnly": true}})).unwrap();
        assert!(!format!("{body:?}").contains("hunter2"));
        let error = stub.client().launch(TemplateKind::Job, 9, &body).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn parameters_go_where_name_and_schema_say_in_the_types_awx_wants() {
    let properties = json!({
        "count": {"type": "integer"}, "hosts": {"x-runwarden-target": "limit"},
        "verbosity": {"x-runwarden-target": "extra_vars"},
    });
    let parameters = json!({"count": 3.0, "hosts": "web", "verbosity": "loud", "job_tags": ["a", "b"], "ratio": 3.0, "forks": 5, "diff_mode": true, "job_type": "check"});
    let body = try_body(parameters, json!({"credentials": [4], "region": "eu"}), properties).unwrap();
    assert_eq!(
        body.json(),
        json!({
            "extra_vars": {"count": 3, "verbosity": "loud", "ratio": 3.0, "region": "eu"}, "limit": "web",
            "job_tags": "a,b", "forks": 5, "diff_mode": true, "job_type": "check", "credentials": [4],
        })
    );
    assert_eq!(body.origin(LaunchField::Limit), "hosts");
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_place() {
    let refused = |parameters, fixed, properties| -> Vec<String> {
        try_body(parameters, fixed, properties).unwrap_err().into_iter().map(|p| p.pointer).collect()
    };
    assert_eq!(refused(json!({"inventory": 1}), json!({}), json!({})), ["/inventory"]);
    assert_eq!(refused(json!({"x": 1}), json!({}), json!({"x": {"x-runwarden-target": "credentials"}})), ["/x"]);
    assert_eq!(refused(json!({"env": "prod"}), json!({"env": "dev"}), json!({})), ["/env"]);
    assert_eq!(
        refused(json!({"limit": "a", "hosts": "b"}), json!({}), json!({"hosts": {"x-runwarden-target": "limit"}})),
        ["/limit"]
    );
    assert_eq!(refused(json!({"runwarden_attempt": "x"}), json!({}), json!({})), ["/runwarden_attempt"]);
    for (name, wrong) in [
        ("limit", json!(1)),
        ("verbosity", json!(6)),
        ("verbosity", json!("1")),
        ("forks", json!(-1)),
        ("forks", json!(1.5)),
        ("job_type", json!("scan")),
        ("diff_mode", json!("yes")),
        ("job_tags", json!(["a,b"])),
        ("timeout", json!(1e20)),
    ] {
        assert_eq!(refused(json!({name: wrong}), json!({}), json!({})), [format!("/{name}")]);
    }
    for (name, wrong) in
        [("inventory", json!("1")), ("inventory", json!(0)), ("credentials", json!(1)), ("labels", json!([-1]))]
    {
        assert_eq!(refused(json!({}), json!({name: wrong}), json!({})), [format!("/{name}")]);
    }
}

fn marked(parameters: Value, placement: MarkerPlacement, default_skip_tags: &str) -> LaunchBody {
    LaunchBody::build(LaunchInput {
        schema: &json!({}),
        parameters: &object(parameters),
        fixed: &Map::new(),
        marker: Some((&Marker::new("att_1").unwrap(), placement)),
        default_skip_tags,
    })
    .unwrap()
}

#[test]
fn a_marker_rides_along_without_changing_what_is_asked() {
    assert_eq!(
        marked(json!({"a": 1}), MarkerPlacement::ExtraVar, "").json(),
        json!({"extra_vars": {"a": 1, "runwarden_attempt": "rw_att_1"}})
    );
    assert_eq!(
        marked(json!({"skip_tags": "slow"}), MarkerPlacement::SkipTag, "x").json(),
        json!({"skip_tags": "slow,rw_att_1"})
    );
    assert_eq!(
        marked(json!({}), MarkerPlacement::SkipTag, "own,tags,").json(),
        json!({"skip_tags": "own,tags,rw_att_1"})
    );
    assert_eq!(marked(json!({}), MarkerPlacement::SkipTag, "").json(), json!({"skip_tags": "rw_att_1"}));
    assert_eq!(marked(json!({}), MarkerPlacement::None, "").json(), json!({}));
    assert!(Marker::new("a,b").is_none() && Marker::new("").is_none() && Marker::new(&"a".repeat(62)).is_none());
}

#[test]
fn a_run_is_recognised_by_its_marker() {
    let row = |extra: Value| {
        let mut row =
            json!({"id": 5, "type": "job", "extra_vars": "{\"a\": 1.0, \"runwarden_attempt\": \"rw_att_1\"}"});
        row.as_object_mut().unwrap().extend(object(extra));
        RunRow::read(&row).unwrap()
    };
    let marker = Marker::new("att_1").unwrap();
    assert!(marker.is_in(&row(json!({})), MarkerPlacement::ExtraVar));
    assert!(!Marker::new("att_2").unwrap().is_in(&row(json!({})), MarkerPlacement::Survey));
    assert!(marker.is_in(&row(json!({"skip_tags": "x, rw_att_1"})), MarkerPlacement::SkipTag));
    assert!(!marker.is_in(&row(json!({"skip_tags": "rw_att_11"})), MarkerPlacement::SkipTag));
    assert!(!marker.is_in(&row(json!({})), MarkerPlacement::None));
}
