use std::collections::BTreeSet;
use std::time::Instant;

use super::*;

fn run(id: i64) -> Value {
    json!({"id": id, "type": "job", "status": "running", "failed": false, "extra_vars": "{}", "job_explanation": ""})
}

fn ids_asked(seen: &Seen) -> Vec<i64> {
    seen.param("id__in").split(',').map(|id| id.parse().unwrap()).collect()
}

fn found_ids(found: &Runs) -> Vec<i64> {
    let mut ids: Vec<i64> = found.rows.iter().map(|row| row.run.id).collect();
    ids.sort_unstable();
    ids
}

/// Looks up runs at a controller that answers each batch as the closure says.
async fn sweep(
    ids: impl IntoIterator<Item = i64>,
    answer: impl Fn(Vec<i64>) -> Response + Send + Sync + 'static,
) -> (Result<Runs, AwxError>, usize) {
    let stub = Stub::start(move |seen| answer(ids_asked(seen))).await;
    let found = stub.narrow_client().runs(&jobs(ids)).await;
    (found, stub.seen().len())
}

#[tokio::test]
async fn many_runs_are_looked_up_200_at_a_time_and_the_absent_are_named() {
    let stub =
        Stub::start(|seen| page(ids_asked(seen).into_iter().filter(|id| id % 100 != 0).map(run).collect())).await;
    let found = stub.client().runs(&jobs((1..=450).chain([7, 7, 0, -3]))).await.unwrap();
    assert_eq!(found.rows.len(), 446);
    assert_eq!(found.missing, [100, 200, 300, 400]);
    assert_eq!(found.unreadable, Vec::<i64>::new());
    let seen = stub.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.path == "/api/v2/unified_jobs/" && seen.param("page_size") == "200"));
    assert!(stub.client().runs(&[]).await.unwrap().rows.is_empty());
    assert_eq!(stub.seen().len(), 3, "nothing is asked for nothing: AWX refuses an empty list");
}

#[tokio::test]
async fn addresses_stay_below_what_proxies_take_even_with_the_longest_ids_and_roots() {
    let longest_root = format!("/api/{}/v2", ["a-word-of-some-length"; 220].join("/"));
    for (api_root, requests) in [(String::new(), 1), (longest_root, 3)] {
        let stub = Stub::start(|_| page(vec![])).await;
        let target = Target { api_root, ..target_for(stub.address) };
        let client = Client::new(&target, &Credential::bearer("t"), quick()).unwrap();
        let found = client.runs(&jobs((0..200).map(|n| i64::MAX - n))).await.unwrap();
        assert_eq!(found.missing.len(), 200);
        let seen = stub.seen();
        assert_eq!(seen.len(), requests);
        assert!(seen.iter().all(|seen| seen.line < 8000), "{:?}", seen.iter().map(|s| s.line).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_proxy_that_takes_shorter_addresses_still_is_a_way() {
    let (found, _) =
        sweep(1000..1200, |ids| if ids.len() > 60 { html(414) } else { page(ids.into_iter().map(run).collect()) })
            .await;
    assert_eq!(found.unwrap().rows.len(), 200);
}

#[tokio::test]
async fn a_short_page_is_no_proof_of_absence() {
    let (found, _) = sweep(1..=10, |ids| {
        let rows: Vec<Value> = ids.iter().copied().filter(|id| *id != 5).take(3).map(run).collect();
        let next = (ids.iter().filter(|id| **id != 5).count() > 3).then_some("/api/v2/unified_jobs/?page=2");
        json_answer(200, &json!({"count": ids.len(), "next": next, "results": rows}))
    })
    .await;
    // It counts more than it shows, and in the end shows nothing of what it counts.
    assert!(matches!(found, Err(AwxError::BadAnswer { .. })));
    let (found, _) = sweep(1..=10, |ids| {
        let there: Vec<i64> = ids.into_iter().filter(|id| *id != 5).collect();
        let next = (there.len() > 3).then_some("/api/v2/unified_jobs/?page=2");
        let rows: Vec<Value> = there.iter().copied().take(3).map(run).collect();
        json_answer(200, &json!({"count": there.len(), "next": next, "results": rows}))
    })
    .await;
    let found = found.unwrap();
    assert_eq!((found.rows.len(), found.missing), (9, vec![5]));
}

#[tokio::test]
async fn what_is_counted_but_not_shown_is_asked_for_again_before_it_counts_as_absent() {
    let asked = Arc::new(Mutex::new(0));
    let (found, requests) = sweep([1, 2], move |ids| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let rows: Vec<Value> = ids.iter().copied().take(1).map(run).collect();
        json_answer(200, &json!({"count": ids.len(), "next": null, "results": rows}))
    })
    .await;
    assert_eq!((found_ids(&found.unwrap()), requests), (vec![1, 2], 2));
}

#[tokio::test]
async fn a_batch_too_large_to_answer_is_split() {
    let (found, _) = sweep(1..=10, |ids| {
        page(ids.into_iter().map(|id| with(run(id), "extra_vars", json!("x".repeat(20_000)))).collect())
    })
    .await;
    let found = found.unwrap();
    assert_eq!((found.rows.len(), found.missing.len(), found.unreadable.len()), (10, 0, 0));
}

#[tokio::test]
async fn a_single_run_may_be_larger_than_any_other_answer() {
    let (found, requests) = sweep(1..=200, |ids| {
        let row = |id| if id == 77 { with(run(id), "extra_vars", json!("x".repeat(300 << 10))) } else { run(id) };
        page(ids.into_iter().map(row).collect())
    })
    .await;
    assert_eq!(found_ids(&found.unwrap()), (1..=200).collect::<Vec<_>>());
    assert!(requests <= 20, "{requests}");
}

#[tokio::test]
async fn one_run_that_cannot_be_told_holds_up_no_other() {
    let huge = with(run(77), "extra_vars", json!("x".repeat(600 << 10))).to_string();
    for (poison, why) in [
        (json!(null), "larger than anything"),
        (json!({"id": 77, "status": "running"}), "without a type"),
        (json!({"id": 77, "type": 5, "status": "running"}), "of no type"),
        (json!({"type": "job", "status": "running"}), "without an id"),
        (json!({"id": "77", "type": "job"}), "with an id that is none"),
        (json!(5), "no row at all"),
        (json!([[[]]]), "no row at all"),
    ] {
        let huge = huge.clone();
        let (found, requests) = sweep(1..=400, move |ids| {
            if poison.is_null() && ids.contains(&77) {
                return answer(200, "application/json", format!(r#"{{"next": null, "results": [{huge}]}}"#));
            }
            page(ids.into_iter().map(|id| if id == 77 { poison.clone() } else { run(id) }).collect())
        })
        .await;
        let found = found.unwrap();
        assert_eq!((found.missing.len(), found.unreadable.as_slice()), (0, [77].as_slice()), "{why}");
        assert_eq!(found_ids(&found).len(), 399, "{why}");
        assert!(requests <= 22, "{why}: {requests}");
    }
}

#[tokio::test]
async fn a_run_over_which_the_controller_fails_is_told_from_a_controller_that_fails() {
    let (found, _) =
        sweep(1..=200, |ids| if ids.contains(&1) { html(500) } else { page(ids.into_iter().map(run).collect()) }).await;
    let found = found.unwrap();
    assert_eq!((found.rows.len(), found.unreadable), (199, vec![1]));
    for ids in [1..=1, 1..=2, 1..=200] {
        let (found, requests) = sweep(ids, |_| html(500)).await;
        assert_eq!(found.unwrap_err(), AwxError::ServerError { status: 500 });
        assert!(requests <= 6, "a controller that fails is not hammered: {requests}");
    }
    let (found, requests) =
        sweep(1..=1000, |ids| if ids.contains(&1) { page(ids.into_iter().map(run).collect()) } else { html(500) })
            .await;
    assert_eq!(found.unwrap_err(), AwxError::ServerError { status: 500 }, "it began to fail half-way");
    assert!(requests <= 30, "{requests}");
    for status in [502, 503, 504] {
        let (found, requests) = sweep(1..=200, move |_| html(status)).await;
        assert_eq!((found.unwrap_err(), requests), (AwxError::ServerError { status }, 1));
    }
}

#[tokio::test]
async fn a_look_up_of_nothing_but_trouble_ends_and_claims_nothing() {
    let (found, requests) = sweep(1..=2000, |_| page(vec![json!({"type": "job"})])).await;
    let found = found.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (0, 0));
    assert_eq!(found.unreadable.iter().copied().collect::<BTreeSet<_>>(), (1..=2000).collect());
    assert!(requests < 600, "{requests}");
}

#[tokio::test]
async fn an_id_that_is_another_kind_of_run_by_now_is_not_ours() {
    let stub = Stub::start(|seen| {
        let kind = |id| match id {
            1 => "job",
            2 => "workflow_job",
            _ => "project_update",
        };
        page(ids_asked(seen).into_iter().map(|id| with(run(id), "type", json!(kind(id)))).collect())
    })
    .await;
    let workflow = |id| RunRef { kind: RunKind::Workflow, id };
    let client = stub.client();
    let found = client.runs(&jobs([1, 2, 3])).await.unwrap();
    assert_eq!((found_ids(&found), found.missing), (vec![1], vec![2, 3]));
    let found = client.runs(&[workflow(1), workflow(2)]).await.unwrap();
    assert_eq!((found_ids(&found), found.missing), (vec![2], vec![1]));
}

#[tokio::test]
async fn lists_that_lie_are_refused() {
    for results in [json!([{"id": 99, "type": "job"}]), json!("x"), json!({}), json!(null)] {
        let (found, _) = sweep([1], move |_| json_answer(200, &json!({"next": null, "results": results}))).await;
        assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "{found:?}");
    }
    let (found, _) = sweep([1], |_| json_answer(200, &json!({"next": "/more", "results": []}))).await;
    assert!(matches!(found, Err(AwxError::BadAnswer { .. })));
    let (found, requests) = sweep([1, 2], |ids| {
        json_answer(
            200,
            &json!({"next": "/more", "results": ids.iter().chain(&ids).map(|_| run(1)).collect::<Vec<_>>()}),
        )
    })
    .await;
    assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "a run told again and again is no progress: {found:?}");
    assert_eq!(requests, 2);
}

#[tokio::test]
async fn a_lost_credential_is_not_mistaken_for_lost_runs() {
    let (found, _) = sweep([1], |_| json_answer(401, &json!({"detail": "x"}))).await;
    assert_eq!(found.unwrap_err(), AwxError::Unauthorized);
}

/// A row as AWX lists it: about 2.8 kB, of which following a run needs a tenth.
fn listed(id: i64) -> Value {
    let url = format!("/api/v2/jobs/{id}/");
    let related: Map<String, Value> =
        ["stdout", "labels", "inventory", "project", "credentials", "unified_job_template", "job_events", "cancel"]
            .into_iter()
            .map(|name| (name.to_owned(), format!("{url}{name}/").into()))
            .collect();
    let summaries: Map<String, Value> = ["organization", "inventory", "project", "job_template", "created_by"]
        .into_iter()
        .map(|name| (name.to_owned(), json!({"id": 1, "name": name, "description": "x".repeat(120)})))
        .collect();
    json!({
        "id": id, "type": "job", "url": url, "related": related, "summary_fields": summaries,
        "created": "2026-11-22T05:00:00.123456Z", "modified": "2026-11-22T05:00:01.123456Z", "name": "deploy",
        "description": "", "unified_job_template": 9, "launch_type": "manual", "status": "running", "failed": false,
        "started": "2026-11-22T05:00:01.123456Z", "finished": null, "canceled_on": null, "elapsed": 12.345,
        "job_explanation": "waiting for job-7 to finish", "launched_by": {"id": 1, "name": "admin", "type": "user"},
        "extra_vars": json!({"version": "1.2.3", "text": "y".repeat(400)}).to_string(), "inventory": 2, "limit": "",
        "job_type": "run", "project": 8, "playbook": "site.yml", "forks": 0, "verbosity": 0, "job_tags": "",
        "skip_tags": "", "timeout": 0, "artifacts": {}, "scm_revision": "", "diff_mode": false,
    })
}

#[test]
fn a_sweep_of_ten_thousand_runs_builds_only_what_following_them_needs() {
    let bodies: Vec<Vec<u8>> = (0..50)
        .map(|n| json!({"count": 200, "next": null, "results": (1..=200).map(|id| listed(n * 200 + id)).collect::<Vec<_>>()}))
        .map(|page| page.to_string().into_bytes())
        .collect();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let started = Instant::now();
    let rows: Vec<RunSummary> = bodies
        .iter()
        .flat_map(|body| list::List::<summary::Told>::read(body, &mut (1 << 20)).unwrap().into_rows())
        .filter_map(summary::Told::summary)
        .collect();
    println!("{} rows, {bytes} bytes, parsed in {:?}", rows.len(), started.elapsed());
    assert_eq!(rows.len(), 10_000);
    assert!(bytes > 20_000_000, "rows as large as AWX's: {bytes}");
    assert!(size_of::<RunSummary>() <= 256, "{}", size_of::<RunSummary>());
    let full = RunRow::read(&listed(1)).unwrap();
    assert_eq!(rows[0], full.summary, "both ways of reading tell the same");
    assert_eq!((rows[0].elapsed, rows[0].unified_job_template), (12.345, Some(9)));
    assert_eq!(rows[0].job_explanation, "waiting for job-7 to finish");
}
