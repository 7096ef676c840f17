//! What a controller that sends as much as it can is able to make us read and keep.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use time::macros::datetime;

use super::*;

const JOB: RunRef = RunRef { kind: RunKind::Job, id: 4 };
const WORKFLOW: RunRef = RunRef { kind: RunKind::Workflow, id: 4 };

/// Small budgets, so that a test of them is small, too.
fn small() -> ClientLimits {
    ClientLimits {
        answer_bytes: 1 << 20,
        run_bytes: 2 << 20,
        operation_bytes: 8 << 20,
        kept_bytes: 1 << 20,
        request: Duration::from_secs(20),
        ..quick()
    }
}

fn client_within(stub: &Stub, limits: ClientLimits) -> Client {
    Client::new(&target_for(stub.address), &Credential::bearer("t0ken"), limits).unwrap()
}

fn search() -> Search {
    let from = datetime!(2026-11-22 06:00:00 UTC);
    Search { template: 9, account: 7, created_from: from, looked_from: from }
}

/// A row of nearly `bytes` that could be anything: a run, a template, a step, an event.
fn row(id: i64, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(
        r#"{{"id": {id}, "type": "job", "status": "running", "created": "2026-11-22T06:30:00Z", "launch_type": "manual",
            "unified_job_template": 9, "counter": {id}, "start_line": {}, "end_line": {id}, "stdout": "{text}", "name": "{text}",
            "survey_enabled": true, "identifier": "{text}", "description": "{text}",
            "extra_vars": "{{\"a\": \"{text}\"}}"}}"#,
        id - 1
    )
}

/// Lists that never end, of rows of about `bytes` each, and the same for everything else. Counts what is read of it.
fn hostile(bytes: usize, sent: Arc<AtomicUsize>) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| {
        let after = ["id__gt", "counter__gt"].iter().find_map(|name| seen.param(name).parse().ok()).unwrap_or(0);
        // More than is taken of one answer, and no more than a test can put together.
        let most = 1 + 3_000_000 / i64::try_from(bytes).unwrap();
        let size = seen.param("page_size").parse().unwrap_or(1).min(most);
        let rows: Vec<String> = (1..=size).map(|n| row(after + n, bytes / 5)).collect();
        let rows = rows.join(",");
        let body = if seen.path.ends_with("/stdout/") {
            format!(r#"{{"content": "{}"}}"#, "x".repeat(bytes))
        } else if seen.path.ends_with("/survey_spec/") {
            // Few bytes that stand for many: each becomes a tree of its own.
            format!(r#"{{"spec": [{}0]}}"#, r#"{"":0},"#.repeat(bytes / 7))
        } else if seen.query.is_empty() {
            row(9, bytes / 5)
        } else {
            format!(r#"{{"count": 10000, "next": "/more", "results": [{rows}]}}"#)
        };
        // What is announced to be larger than is taken is hardly begun.
        let one_run = !seen.param("id__in").is_empty() && !seen.param("id__in").contains(',');
        let limit = if one_run { small().run_bytes } else { small().answer_bytes };
        sent.fetch_add(if body.len() > limit { 64 << 10 } else { body.len() }, Ordering::Relaxed);
        answer(200, "application/json", body)
    }
}

type Call = (&'static str, fn(&Client) -> BoxFuture<'_, Result<(), AwxError>>);

fn operations() -> Vec<Call> {
    vec![
        ("search", |client| {
            Box::pin(async {
                match client.search(&search(), |_| ()).await? {
                    Found::All(_) => panic!("taken for all there is"),
                    Found::Part { .. } => Ok(()),
                }
            })
        }),
        ("templates", |client| Box::pin(async { client.templates(None, 200).await.map(drop) })),
        ("template", |client| Box::pin(async { client.template(TemplateKind::Job, 9).await.map(drop) })),
        ("workflow template", |client| Box::pin(async { client.template(TemplateKind::Workflow, 9).await.map(drop) })),
        ("runs", |client| {
            Box::pin(async { client.runs(&jobs(1..=200)).await.map(|found| assert!(found.missing.is_empty())) })
        }),
        ("run", |client| Box::pin(async { client.run(JOB).await.map(drop) })),
        ("live output", |client| Box::pin(output(client, JOB, Stage::Following))),
        ("output", |client| Box::pin(output(client, JOB, Stage::Ended))),
        ("workflow output", |client| Box::pin(output(client, WORKFLOW, Stage::Ended))),
    ]
}

async fn output(client: &Client, run: RunRef, stage: Stage) -> Result<(), AwxError> {
    let read = client.output(run, &OutputCursor::default(), stage, 64 << 20).await?;
    assert!(read.text.len() <= 8 << 20, "{}", read.text.len());
    Ok(())
}

#[tokio::test]
async fn no_operation_reads_more_than_its_budget_whatever_a_controller_sends() {
    for bytes in [2_000, 90_000, 1_500_000] {
        for (name, call) in operations() {
            let sent = Arc::new(AtomicUsize::new(0));
            let stub = Stub::start(hostile(bytes, sent.clone())).await;
            let outcome = call(&client_within(&stub, small())).await;
            if let Err(error) = outcome {
                let fits = matches!(error, AwxError::TooLarge { .. } | AwxError::BadAnswer { .. });
                assert!(fits, "{name} {bytes}: {error:?}");
            }
            let sent = sent.load(Ordering::Relaxed);
            assert!(sent <= small().operation_bytes + small().run_bytes, "{name} {bytes}: {sent} bytes");
        }
    }
}

#[tokio::test]
async fn what_is_over_the_budget_of_a_search_is_not_known() {
    let (sent, noted) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let stub = Stub::start(hostile(90_000, sent.clone())).await;
    let client = client_within(&stub, small());
    let note = |row: &RunRow| {
        noted.fetch_add(row.name.len(), Ordering::Relaxed);
    };
    let found = client.search(&search(), note).await.unwrap();
    assert!(matches!(found, Found::Part { cut: true, .. }), "{found:?}");
    assert!(found.gap().is_some());
    assert!(found.rows().len() > 50, "those that could be read are there: {}", found.rows().len());
    assert!(noted.load(Ordering::Relaxed) > 0 && found.rows().iter().all(|row| row.job_explanation.is_empty()));
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent <= small().operation_bytes + (4 << 20), "{sent}");
}

#[tokio::test]
async fn few_bytes_that_stand_for_many_are_not_built() {
    let bomb = |open: &str, piece: &str, close: &str| format!("{open}{}{close}", piece.repeat(900_000 / piece.len()));
    let client_of = async |body: String| {
        let stub = Stub::start(move |_| answer(200, "application/json", body.clone())).await;
        let client = client_within(&stub, ClientLimits { kept_bytes: 4 << 20, ..small() });
        (stub, client)
    };
    let runs = bomb(r#"{"results": [{"id": 1, "type": "job", "extra_vars": "{\"a\": ["#, "[],", r#"0]}"}]}"#);
    let (_stub, client) = client_of(runs).await;
    let found = client.search(&search(), |_| ()).await.unwrap();
    assert!(matches!(&found, Found::Part { unreadable, .. } if *unreadable == [1]), "{found:?}");
    for rows in [
        bomb(r#"{"results": ["#, "[],", "0]}"),
        bomb(r#"{"results": [{"id": 1, "type": "job", "name": ["#, r#"{"":0},"#, "0]}]}"),
    ] {
        let (_stub, client) = client_of(rows).await;
        let error = client.templates(None, 5).await.unwrap_err();
        assert!(matches!(error, AwxError::TooLarge { .. }), "{error:?}");
        assert!(!matches!(client.search(&search(), |_| ()).await, Ok(Found::All(_))));
        let found = client.runs(&[JOB]).await;
        assert!(found.is_err() || found.is_ok_and(|found| found.missing.is_empty()), "nothing is concluded from it");
    }
    let (_stub, client) = client_of(bomb(r#"{"id": 9, "type": "job", "name": ["#, r#"{"":0},"#, "0]}")).await;
    let error = client.template(TemplateKind::Job, 9).await.unwrap_err();
    assert!(matches!(error, AwxError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn one_tenants_large_answers_wait_for_each_other_and_nobody_else() {
    let memory = Memory::new(32 << 20);
    let of = |tenant: &str| ClientLimits { memory: memory.of(tenant), ..small() };
    let large = |_: &Seen| page(vec![json!({"id": 7, "username": "u", "more": "x".repeat(500 << 10)})]);
    let (stub, plain) =
        (Stub::start(large).await, Stub::start(|_| page(vec![json!({"id": 7, "username": "u"})])).await);
    let share = memory.of("acme").hold(memory.share()).await.unwrap();
    client_within(&plain, of("acme")).who_am_i().await.expect("ordinary answers wait for nobody");
    client_within(&stub, of("other")).who_am_i().await.expect("and nobody else waits");
    let waiting = tokio::spawn({
        let client = client_within(&stub, of("acme"));
        async move { client.who_am_i().await.map(|account| account.id) }
    });
    while stub.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    drop(share);
    assert_eq!(waiting.await.unwrap(), Ok(7));
}

#[tokio::test]
async fn a_template_in_hand_counts_until_it_is_put_away() {
    let memory = Memory::new(32 << 20);
    let choices: Vec<i64> = (0..5_000).collect();
    let survey = json!({"spec": [{"variable": "v", "type": "multiplechoice", "choices": choices}]});
    let stub = Stub::start(move |seen| {
        if seen.path.ends_with("/survey_spec/") {
            return json_answer(200, &survey);
        }
        json_answer(200, &json!({"id": 9, "name": "t", "survey_enabled": true}))
    })
    .await;
    let client = client_within(&stub, ClientLimits { memory: memory.of("acme"), ..small() });
    let all = memory.of("acme");
    let view = client.template(TemplateKind::Job, 9).await.unwrap();
    assert_eq!(view.survey.as_ref().unwrap().questions[0].choices.len(), 5_000);
    let copy = view.clone();
    drop(view);
    // It takes about 320 kB, so that 448 are set aside for it: there is not as much left again.
    let held = all.hold(memory.share() - (600 << 10)).await.unwrap();
    assert_eq!(client.template(TemplateKind::Job, 9).await.unwrap_err(), AwxError::Busy);
    drop((copy, held));
    client.template(TemplateKind::Job, 9).await.unwrap();
}
