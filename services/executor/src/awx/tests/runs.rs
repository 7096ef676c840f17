use proptest::prelude::*;
use time::macros::datetime;

use super::*;

fn run(id: i64) -> Value {
    json!({"id": id, "type": "job", "status": "running", "failed": false, "extra_vars": "{}", "job_explanation": ""})
}

fn ids_asked(seen: &Seen) -> Vec<i64> {
    seen.param("id__in").split(',').map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn many_runs_are_looked_up_200_at_a_time_and_the_absent_are_named() {
    let stub =
        Stub::start(|seen| page(ids_asked(seen).into_iter().filter(|id| id % 100 != 0).map(run).collect())).await;
    let ids: Vec<i64> = (1..=450).chain([7, 7, 0, -3]).collect();
    let found = stub.client().runs(&ids).await.unwrap();
    assert_eq!(found.rows.len(), 446);
    assert_eq!(found.missing, [100, 200, 300, 400]);
    let seen = stub.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.path == "/api/v2/unified_jobs/" && seen.param("page_size") == "200"));
    assert!(stub.client().runs(&[]).await.unwrap().rows.is_empty());
    assert_eq!(stub.seen().len(), 3, "nothing is asked for nothing: AWX refuses an empty list");
}

#[tokio::test]
async fn addresses_stay_below_what_proxies_take_even_with_the_longest_ids() {
    let stub = Stub::start(|_| page(vec![])).await;
    let ids: Vec<i64> = (0..200).map(|n| i64::MAX - n).collect();
    assert_eq!(stub.client().runs(&ids).await.unwrap().missing.len(), 200);
    assert!(stub.seen().iter().all(|seen| seen.query.iter().map(|(_, v)| v.len() + 300).sum::<usize>() < 8000));
}

#[tokio::test]
async fn a_short_page_is_no_proof_of_absence() {
    let stub = Stub::start(|seen| {
        let ids = ids_asked(seen);
        let rows: Vec<Value> = ids.iter().copied().filter(|id| *id != 5).take(3).map(run).collect();
        let next = (ids.iter().filter(|id| **id != 5).count() > 3).then_some("/api/v2/unified_jobs/?page=2");
        json_answer(200, &json!({"count": ids.len(), "next": next, "results": rows}))
    })
    .await;
    let found = stub.client().runs(&(1..=10).collect::<Vec<_>>()).await.unwrap();
    assert_eq!((found.rows.len(), found.missing), (9, vec![5]));
}

#[tokio::test]
async fn a_batch_too_large_to_answer_is_split() {
    let stub = Stub::start(|seen| {
        let mut rows: Vec<Value> = ids_asked(seen).into_iter().map(run).collect();
        for row in &mut rows {
            row["extra_vars"] = json!("x".repeat(300_000));
        }
        page(rows)
    })
    .await;
    let found = stub.client().runs(&(1..=10).collect::<Vec<_>>()).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (10, 0));
}

#[tokio::test]
async fn lists_that_lie_are_refused() {
    for results in [json!([{"id": 99, "type": "job"}]), json!([{"type": "job"}]), json!([5]), json!("x")] {
        let stub = Stub::start(move |_| json_answer(200, &json!({"next": null, "results": results}))).await;
        assert!(matches!(stub.client().runs(&[1]).await, Err(AwxError::BadAnswer { .. })));
    }
    let stub = Stub::start(|_| json_answer(200, &json!({"next": "/more", "results": []}))).await;
    assert!(matches!(stub.client().runs(&[1]).await, Err(AwxError::BadAnswer { .. })));
}

#[tokio::test]
async fn a_lost_credential_is_not_mistaken_for_lost_runs() {
    let stub = Stub::start(|_| json_answer(401, &json!({"detail": "x"}))).await;
    assert_eq!(stub.client().runs(&[1]).await.unwrap_err(), AwxError::Unauthorized);
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

#[test]
fn endings_are_told_apart_and_a_lost_run_from_a_failed_one() {
    let ending = |status: &str, explanation: &str| {
        row::RunRow::read(&json!({"id": 1, "type": "job", "status": status, "job_explanation": explanation}))
            .unwrap()
            .ending()
    };
    assert_eq!(ending("successful", ""), Some(Ending::Successful));
    assert_eq!(ending("failed", ""), Some(Ending::Failed));
    assert_eq!(ending("error", ""), Some(Ending::Error));
    assert_eq!(ending("canceled", ""), Some(Ending::Canceled));
    let lost = "Task was marked as running at system start up. The system must have not shut down properly, so it has been marked as failed.";
    assert_eq!(ending("failed", lost), Some(Ending::Lost));
    assert_eq!(ending("failed", "Task was canceled due to receiving a shutdown signal."), Some(Ending::Lost));
    for open in ["new", "pending", "waiting", "running", "hibernating", ""] {
        assert_eq!(ending(open, "waiting for job-7 to finish"), None, "{open}");
    }
}

#[tokio::test]
async fn a_search_pages_after_ids_and_never_asks_for_variables() {
    let stub = Stub::start(|seen| {
        let after: i64 = seen.param("id__gt").parse().unwrap();
        let rows: Vec<Value> = (1..=450).filter(|id| *id > after).take(200).map(run).collect();
        let next = (rows.len() == 200).then_some("/api/v2/unified_jobs/?page=2");
        json_answer(200, &json!({"count": 450, "next": next, "results": rows}))
    })
    .await;
    let search = Search { template: 9, account: 7, created_from: datetime!(2026-11-22 06:00:00 +2) };
    let rows = stub.client().search(&search).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.run.id).collect::<Vec<_>>(), (1..=450).collect::<Vec<_>>());
    let seen = &stub.seen()[0];
    assert_eq!(seen.path, "/api/v2/unified_jobs/");
    assert_eq!(seen.param("created__gte"), "2026-11-22T04:00:00Z");
    assert_eq!(
        (seen.param("unified_job_template"), seen.param("created_by"), seen.param("launch_type")),
        ("9", "7", "manual")
    );
    assert!(!seen.query.iter().any(|(key, _)| key.contains("extra_vars")));
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
        if let Some(row) = row::RunRow::read(&value) {
            prop_assert!(row.run.id > 0);
            let _ending = row.ending();
            let _matches = body(json!({"a": 1})).matches(&row);
        }
        let survey = Survey::read(&value);
        if let Ok(summary) = TemplateSummary::read(TemplateKind::Job, value.clone(), Some(survey)) {
            let view = TemplateView::assemble(summary, &value, None, None);
            prop_assert_eq!(view.fingerprint().len(), 64);
            prop_assert!(drift(&view.parts(), &view.parts()).is_empty());
            let _preflight = preflight(&view, &body(json!({"a": 1})));
            let _schema = view.schema();
        }
        let _drift = drift(&value, &json!({}));
    }
}
