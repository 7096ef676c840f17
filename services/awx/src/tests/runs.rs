use proptest::prelude::*;
use time::macros::datetime;

use super::*;

fn run(id: i64) -> Value {
    json!({"id": id, "type": "job", "status": "running", "failed": false, "extra_vars": "{}", "job_explanation": ""})
}

#[tokio::test]
async fn a_run_in_detail_tells_whether_all_it_printed_has_arrived() {
    let stub = Stub::start(|seen| {
        let mut row = run(4);
        row["status"] = json!("failed");
        row["event_processing_finished"] = json!(false);
        if seen.path.contains("workflow_jobs") {
            row = json!({"id": 4, "type": "workflow_job", "status": "successful"});
        }
        json_answer(200, &row)
    })
    .await;
    let client = stub.client();
    let job = RunRef { kind: RunKind::Job, id: 4 };
    assert!(!client.events_finished(job).await.unwrap());
    assert!(client.events_finished(RunRef { kind: RunKind::Workflow, id: 4 }).await.unwrap());
    assert_eq!(client.run(job).await.unwrap().run, job);
    assert!(matches!(client.run(RunRef { id: 5, ..job }).await, Err(AwxError::BadAnswer { .. })));
    assert_eq!(stub.seen()[0].path, "/api/v2/jobs/4/");
}

#[tokio::test]
async fn a_run_of_unknown_kind_is_found_by_its_id() {
    let stub = Stub::start(|seen| {
        let id: i64 = seen.param("id").parse().unwrap();
        let kind = match id {
            4 => "job",
            5 => "workflow_job",
            6 => "project_update",
            _ => return page(vec![]),
        };
        page(vec![json!({
            "id": id, "type": kind, "unified_job_template": 9, "created": "2026-11-22T05:00:00.5Z", "launch_type": "manual",
            "launched_by": {"id": 7, "name": "runwarden", "type": "user"}, "status": "pending", "extra_vars": "{\"a\": 1}",
        })])
    })
    .await;
    let client = stub.client();
    for (id, kind) in [(4, RunKind::Job), (5, RunKind::Workflow)] {
        let row = client.find(id).await.unwrap().unwrap();
        assert_eq!((row.run, row.status), (RunRef { kind, id }, RunStatus::Pending));
        assert_eq!((row.unified_job_template, row.launched_by), (Some(9), Some(7)));
        assert_eq!(row.created, Some(datetime!(2026-11-22 05:00:00.5 UTC)));
        assert!(body(json!({"a": 1})).matches(&row));
    }
    assert_eq!(client.find(6).await, Ok(None), "no launch becomes that");
    assert_eq!(client.find(7).await, Ok(None));
    let seen = stub.seen();
    assert!(seen.iter().all(|seen| seen.path == "/api/v2/unified_jobs/"));
    for id in [0, -4] {
        assert_eq!(client.find(id).await, Ok(None));
    }
    assert_eq!(stub.seen().len(), seen.len(), "there is no such id to ask for");
}

#[tokio::test]
async fn that_there_is_no_run_is_concluded_from_a_whole_answer_only() {
    for list in [
        json!({"next": null, "results": [{"id": 5, "type": "job"}]}),
        json!({"next": null, "results": [{"id": 4}]}),
        json!({"next": null, "results": [{"type": "job"}]}),
        json!({"next": null, "results": [null]}),
        json!({"next": "/more", "results": []}),
        json!({"count": 1, "next": null, "results": []}),
        json!({"detail": "x"}),
    ] {
        let stub = Stub::start(move |_| json_answer(200, &list)).await;
        let found = stub.client().find(4).await;
        assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "{found:?}");
    }
}

#[test]
fn who_launched_a_run_is_told_in_one_of_three_places() {
    let by = |told: Value| {
        let mut row = object(told);
        row.extend(object(json!({"id": 1, "type": "job"})));
        RunRow::read(&row.into()).unwrap().launched_by
    };
    let user = json!({"id": 7, "name": "x", "type": "user"});
    assert_eq!(by(json!({"launched_by": user, "created_by": 8})), Some(7));
    let schedule = json!({"id": 3, "name": "nightly", "type": "schedule"});
    assert_eq!(by(json!({"launched_by": schedule, "summary_fields": {"created_by": {"id": 7}}})), Some(7));
    assert_eq!(by(json!({"launched_by": schedule})), None);
    assert_eq!(by(json!({"created_by": 7})), Some(7));
    assert_eq!(by(json!({"launched_by": {}, "summary_fields": [], "created_by": null})), None);
}

fn told(row: Value) -> RunRow {
    let mut all = object(json!({"id": 1, "type": "job"}));
    all.extend(object(row));
    RunRow::read(&all.into()).unwrap()
}

#[test]
fn endings_are_told_apart_and_a_lost_run_from_a_failed_one() {
    let ending =
        |status: &str, explanation: &str| told(json!({"status": status, "job_explanation": explanation})).ending();
    assert_eq!(ending("successful", ""), Some(Ending::Successful));
    assert_eq!(ending("failed", ""), Some(Ending::Failed));
    assert_eq!(ending("error", ""), Some(Ending::Error));
    assert_eq!(ending("canceled", ""), Some(Ending::Canceled));
    for lost in [
        "Task was marked as running at system start up. The system must have not shut down properly, so it has been marked as failed.",
        "Task was marked as running but was not present in the job queue, so it has been marked as failed.",
        "Task was canceled due to receiving a shutdown signal.",
        "Task was stopped due to a service disruption.",
    ] {
        for status in ["failed", "error"] {
            assert_eq!(ending(status, lost), Some(Ending::Lost), "{lost}");
            // AWX adds it to what was explained before, which may be long.
            assert_eq!(ending(status, &format!("{} {lost}", "blocked. ".repeat(400))), Some(Ending::Lost));
        }
        assert_eq!(ending("successful", lost), Some(Ending::Successful));
        assert_eq!(ending("canceled", lost), Some(Ending::Canceled), "nothing of it is at work");
        assert_eq!(ending("running", lost), None);
    }
    assert!(told(json!({"job_explanation": "x".repeat(100_000)})).job_explanation.len() < 1100);
}

#[test]
fn only_a_word_for_an_end_ends_a_run() {
    for open in ["new", "pending", "waiting", "running", "hibernating", "Successful", "failed ", ""] {
        let row = told(json!({
            "status": open, "failed": true, "finished": "2026-11-22T05:00:00Z", "event_processing_finished": true,
            "job_explanation": "waiting for job-7 to finish",
        }));
        assert_eq!((row.ending(), row.status.is_end()), (None, false), "{open}");
        assert!(row.finished.is_some());
    }
    for status in [json!(null), json!(5), json!(["failed"]), json!({"failed": true})] {
        assert_eq!(told(json!({"status": status})).ending(), None, "{status}");
    }
    let unfinished = told(json!({"status": "failed", "finished": null, "event_processing_finished": false}));
    assert_eq!(unfinished.ending(), Some(Ending::Failed));
}

#[test]
fn a_row_that_is_odd_in_what_we_do_not_need_is_still_a_row() {
    let row = told(json!({
        "failed": "yes", "created": 5, "started": "soon", "finished": [], "elapsed": "1.5", "job_explanation": null,
        "unified_job_template": "9", "event_processing_finished": 1, "extra_vars": [1], "limit": 5, "skip_tags": null,
        "inventory": -1, "launch_type": {}, "launched_by": 5, "name": [], "surprise": {"deep": [[[]]]},
    }));
    assert_eq!((row.failed, row.created, row.started, row.finished, row.elapsed), (false, None, None, None, 0.0));
    assert_eq!((row.job_explanation.as_str(), row.unified_job_template), ("", None));
    assert_eq!((row.event_processing_finished, row.extra_vars.as_ref(), row.inventory), (None, None, None));
    for nothing in
        [json!({"id": 1}), json!({"id": 1, "type": "ad_hoc_command"}), json!({"type": "job"}), json!(5), json!(null)]
    {
        assert_eq!(RunRow::read(&nothing), None, "{nothing}");
    }
    for id in [json!(0), json!(-1), json!("1"), json!(1.0), json!(u64::MAX), json!(null)] {
        assert_eq!(RunRow::read(&json!({"id": id, "type": "job"})), None, "{id}");
    }
}

#[tokio::test]
async fn cancelling_says_what_became_of_it() {
    let run = RunRef { kind: RunKind::Job, id: 4 };
    for (status, want) in
        [(202, CancelAnswer::Accepted), (405, CancelAnswer::AlreadyFinished), (404, CancelAnswer::Gone)]
    {
        let stub = Stub::start(move |_| answer(status, "application/json", "")).await;
        assert_eq!(stub.client().cancel(run).await.unwrap(), want);
        let seen = &stub.seen()[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/jobs/4/cancel/"));
    }
    let stub = Stub::start(|_| json_answer(403, &json!({"detail": "no"}))).await;
    assert!(matches!(stub.client().cancel(run).await, Err(AwxError::Forbidden { .. })));
    let stub = Stub::start(|_| html(502)).await;
    assert!(matches!(stub.client().cancel(run).await, Err(AwxError::ServerError { status: 502 })));
}

/// Any JSON, of the keys these parsers look at and others.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,12}".prop_map(Value::from),
        "[0-9T:Z.-]{0,30}".prop_map(Value::from),
        prop::sample::select(vec![
            "job",
            "workflow_job",
            "running",
            "{}",
            "{\"a\":1}",
            "$encrypted$",
            "text",
            "integer"
        ])
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "id",
            "type",
            "job",
            "status",
            "extra_vars",
            "results",
            "next",
            "spec",
            "variable",
            "choices",
            "default",
            "min",
            "max",
            "summary_fields",
            "launched_by",
            "ignored_fields",
            "start_line",
            "end_line",
            "stdout",
            "required",
        ])
        .prop_map(str::to_owned),
        "[a-z_]{0,6}",
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_row_a_controller_could_send_panics(value in any_json()) {
        if let Some(row) = RunRow::read(&value) {
            prop_assert!(row.run.id > 0);
            prop_assert_eq!(row.ending().is_some(), row.status.is_end());
            let sent = body(json!({"a": 1, "limit": "web"}));
            prop_assert_eq!(sent.dropped_in(&row).is_empty(), sent.matches(&row));
            let _any = Marker::any_in(&row);
        }
        let text = value.to_string();
        if let Ok(list) = list::List::<summary::Told>::read(text.as_bytes(), &mut (1 << 20)) {
            let rows: Vec<RunSummary> = list.into_rows().into_iter().filter_map(summary::Told::summary).collect();
            let full: Vec<RunRow> = value["results"].as_array().unwrap().iter().filter_map(RunRow::read).collect();
            prop_assert!(rows.iter().eq(full.iter().map(|row| &row.summary)), "both ways of reading tell the same");
        }
        for end in 0..text.len() {
            let _first = list::List::<summary::Told>::first_of(&text.as_bytes()[..end]);
        }
        let survey = Survey::read(&value);
        if let Ok(summary) = TemplateSummary::read(TemplateKind::Job, value.clone(), Some(survey)) {
            let view = TemplateView::assemble(summary, Some(&value), None, None);
            prop_assert_eq!(fingerprint(&view.parts()).len(), 64);
            prop_assert!(drift(&view.parts(), &view.parts()).is_empty());
            let _preflight = preflight(&view, &body(json!({"a": 1})));
            let _schema = view.schema();
        }
        let _drift = drift(&value, &json!({}));
    }
}
