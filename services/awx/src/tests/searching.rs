use time::macros::datetime;

use super::*;

/// A run as our search should find it.
fn run(id: i64) -> Value {
    json!({
        "id": id, "type": "job", "created": "2026-11-22T05:00:00.123456Z", "unified_job_template": 9, "status": "running",
        "launch_type": "manual", "launched_by": {"id": 7, "name": "runwarden", "type": "user"}, "extra_vars": "{}",
    })
}

fn search() -> Search {
    let from = datetime!(2026-11-22 06:00:00 +2);
    Search { template: 9, account: 7, created_from: from, looked_from: from }
}

/// What rows there are, shown page by page as AWX does.
fn shown(seen: &Seen, all: &[Value]) -> Response {
    let after: i64 = seen.param("id__gt").parse().unwrap();
    let size: usize = seen.param("page_size").parse().unwrap();
    let rest: Vec<&Value> = all.iter().filter(|row| row["id"].as_i64().unwrap() > after).collect();
    let next = (rest.len() > size).then_some("/api/v2/unified_jobs/?page=2");
    let rows: Vec<String> = rest.iter().copied().take(size).map(in_order).collect();
    let (count, next, rows) = (rest.len(), json!(next), rows.join(","));
    answer(200, "application/json", format!(r#"{{"count": {count}, "next": {next}, "results": [{rows}]}}"#))
}

/// A row in AWX's order: its variables come late.
fn in_order(row: &Value) -> String {
    let mut row = object(row.clone());
    let variables = row.remove("extra_vars").unwrap_or_default();
    let head = Value::Object(row).to_string();
    format!(r#"{},"extra_vars":{variables}}}"#, head.strip_suffix('}').unwrap())
}

async fn find(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> (Result<Found<()>, AwxError>, Vec<Seen>) {
    let stub = Stub::start(answer).await;
    let found = stub.narrow_client().search(&search(), |_| ()).await;
    (found, stub.seen())
}

fn ids(found: &Found<()>) -> Vec<i64> {
    found.rows().iter().map(|row| row.run.id).collect()
}

#[tokio::test]
async fn a_search_pages_after_ids_and_never_asks_for_variables() {
    let (found, seen) = find(|seen| shown(seen, &(1..=450).map(run).collect::<Vec<_>>())).await;
    let found = found.unwrap();
    assert_eq!(ids(&found), (1..=450).collect::<Vec<_>>());
    assert!(matches!(found, Found::All(_)) && found.gap().is_none());
    let seen = &seen[0];
    assert_eq!(seen.path, "/api/v2/unified_jobs/");
    assert_eq!(seen.param("created__gte"), "2026-11-22T04:00:00Z");
    assert_eq!(
        (seen.param("unified_job_template"), seen.param("created_by"), seen.param("launch_type")),
        ("9", "7", "manual")
    );
    assert!(!seen.query.iter().any(|(key, _)| key.contains("extra_vars")));
}

#[tokio::test]
async fn rows_too_large_for_a_page_are_read_on_smaller_pages_from_where_it_stood() {
    for (bytes, most) in [(500, 20), (3_000, 60), (20_000, 130)] {
        let (found, seen) = find(move |seen| {
            let row = |id| with(run(id), "extra_vars", json!(format!("{{\"x\": \"{}\"}}", "x".repeat(bytes))));
            shown(seen, &(1..=120).map(row).collect::<Vec<_>>())
        })
        .await;
        let found = found.unwrap();
        assert_eq!(ids(&found), (1..=120).collect::<Vec<_>>(), "{bytes}");
        assert!(matches!(found, Found::All(_)));
        assert!(seen.len() <= most, "{bytes}: {} requests", seen.len());
        let after: Vec<i64> = seen.iter().map(|seen| seen.param("id__gt").parse().unwrap()).collect();
        assert!(after.is_sorted(), "{after:?}");
    }
}

#[tokio::test]
async fn a_run_too_large_to_be_read_alone_blocks_no_search_and_is_never_taken_for_absent() {
    let huge = |id| with(run(id), "extra_vars", json!("x".repeat(600 << 10)));
    let (found, seen) = find(move |seen| shown(seen, &[run(1), run(2), huge(3), run(4), run(5)])).await;
    let found = found.unwrap();
    assert_eq!(ids(&found), [1, 2, 4, 5]);
    assert!(matches!(&found, Found::Part { unreadable, cut: false, .. } if *unreadable == [3]), "{found:?}");
    assert_eq!(found.gap().unwrap(), "1 of its runs cannot be read, such as 3");
    assert!(seen.len() < 20, "{}", seen.len());

    // What it begins with shows that it is none of ours.
    for (key, value) in [
        ("unified_job_template", json!(10)),
        ("created", json!("2026-11-22T03:59:59.999999Z")),
        ("type", json!("project_update")),
    ] {
        let (found, _) = find(move |seen| shown(seen, &[run(1), with(huge(3), key, value.clone()), run(4)])).await;
        assert!(matches!(found.unwrap(), Found::All(rows) if rows.len() == 2), "{key}");
    }
}

#[tokio::test]
async fn a_run_too_large_whose_id_does_not_even_show_ends_the_search_without_proof() {
    let (found, _) = find(|seen| {
        if seen.param("id__gt") == "0" && seen.param("page_size") != "1" {
            return answer(200, "application/json", " ".repeat(70 << 10));
        }
        answer(200, "application/json", format!("{{\"results\": [{{\"extra_vars\": \"{}\"}}]}}", "x".repeat(600 << 10)))
    })
    .await;
    let found = found.unwrap();
    assert!(matches!(&found, Found::Part { cut: true, .. }), "{found:?}");
    assert!(found.gap().is_some());
}

#[tokio::test]
async fn a_server_that_heeds_no_filter_is_seen_through() {
    let others = [
        ("unified_job_template", json!(10)),
        ("created", json!("2026-11-22T03:59:59.999999Z")),
        ("created", json!("2026-11-22T05:30:00+02:00")),
        ("launched_by", json!({"id": 8, "name": "admin", "type": "user"})),
        ("launch_type", json!("relaunch")),
        ("launch_type", json!("scheduled")),
        ("type", json!("project_update")),
        ("type", json!("system_job")),
    ];
    let (found, _) = find(move |seen| {
        let foreign = others.iter().zip(10..).map(|((key, value), id)| with(run(id), key, value.clone()));
        let ours = [run(1), run(2), with(run(99), "type", json!("workflow_job"))];
        let mut all: Vec<Value> = ours.into_iter().chain(foreign).collect();
        all.sort_by_key(|row| row["id"].as_i64());
        shown(seen, &all)
    })
    .await;
    let found = found.unwrap();
    assert_eq!(ids(&found), [1, 2, 99]);
    assert!(matches!(found, Found::All(_)));
}

#[tokio::test]
async fn a_row_that_tells_little_is_kept_and_one_that_tells_nothing_is_named() {
    let (found, _) = find(|seen| {
        let all = [
            json!({"id": 1, "type": "job"}),
            json!({"id": 2, "type": "job", "created": "yesterday", "unified_job_template": "9", "launched_by": [], "launch_type": null}),
            json!({"id": 3}),
            json!({"id": 4, "type": null, "unified_job_template": 10}),
        ];
        shown(seen, &all)
    })
    .await;
    let found = found.unwrap();
    assert_eq!(ids(&found), [1, 2]);
    assert!(matches!(found, Found::Part { unreadable, cut: false, .. } if unreadable == [3]));
}

#[tokio::test]
async fn lists_out_of_order_without_ids_or_without_end_are_no_answer() {
    for results in
        [json!([run(2), run(1)]), json!([run(1), run(1)]), json!([{"type": "job"}]), json!([run(-1)]), json!([5])]
    {
        let (found, seen) = find(move |_| json_answer(200, &json!({"next": null, "results": results}))).await;
        assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "{found:?}");
        assert_eq!(seen.len(), 1);
    }
    // The same page for ever, and pages of nothing for ever.
    let (found, seen) = find(|_| json_answer(200, &json!({"next": "/more", "results": [run(1)]}))).await;
    assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "{found:?}");
    assert_eq!(seen.len(), 2);
    let (found, _) = find(|_| json_answer(200, &json!({"next": "/more", "results": []}))).await;
    assert!(matches!(found, Err(AwxError::BadAnswer { .. })), "{found:?}");
}

#[tokio::test]
async fn more_runs_than_can_be_looked_through_are_no_proof_of_anything() {
    let (found, seen) = find(|seen| {
        let after: i64 = seen.param("id__gt").parse().unwrap();
        json_answer(200, &json!({"next": "/more", "results": (1..=3).map(|n| run(after + n)).collect::<Vec<_>>()}))
    })
    .await;
    assert!(matches!(found.unwrap(), Found::Part { cut: true, rows, .. } if rows.len() == 3 * seen.len()));
    assert_eq!(seen.len(), 400);
}

#[tokio::test]
async fn rows_that_come_and_go_while_pages_are_read_leave_no_gap() {
    // The first page counts one more than it shows, which shows on the next.
    let (found, seen) = find(|seen| match seen.param("id__gt") {
        "0" => json_answer(200, &json!({"count": 3, "next": null, "results": [run(1), run(2)]})),
        "2" => json_answer(200, &json!({"count": 1, "next": null, "results": [run(3)]})),
        _ => page(vec![]),
    })
    .await;
    assert_eq!(ids(&found.unwrap()), [1, 2, 3]);
    assert_eq!(seen.len(), 2);
}
