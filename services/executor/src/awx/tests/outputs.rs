use super::*;

const JOB: RunRef = RunRef { kind: RunKind::Job, id: 4 };
const WORKFLOW: RunRef = RunRef { kind: RunKind::Workflow, id: 33 };

fn event(start: u64, end: u64, stdout: &str) -> Value {
    json!({"start_line": start, "end_line": end, "stdout": stdout, "event": "verbose"})
}

/// Answers as AWX does to `end_line__gt` and `order_by=start_line`.
fn events(all: Vec<Value>) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| {
        assert_eq!(seen.path, "/api/v2/jobs/4/job_events/");
        let after = seen.param("end_line__gt").parse::<u64>().unwrap();
        let mut rows: Vec<Value> =
            all.iter().filter(|event| event["end_line"].as_u64().unwrap() > after).cloned().collect();
        rows.sort_by_key(|event| event["start_line"].as_u64());
        let next = (rows.len() > 2).then_some("/more");
        rows.truncate(2);
        json_answer(200, &json!({"next": next, "results": rows}))
    }
}

#[tokio::test]
async fn a_running_job_is_read_event_by_event_and_never_past_a_gap() {
    let stub = Stub::start(events(vec![
        event(0, 2, "\r\nPLAY [all] ***"),
        event(2, 2, ""),
        event(2, 3, "\u{1b}[0;32mok: [a]\u{1b}[0m"),
        event(3, 5, "one\r\ntwo"),
        event(6, 7, "after the gap"),
    ]))
    .await;
    let client = stub.client();
    let read = client.output(JOB, &OutputCursor::default(), false, 10_000).await.unwrap();
    assert_eq!(read.text, "\nPLAY [all] ***\nok: [a]\none\ntwo\n");
    assert!(!read.more);
    let again = client.output(JOB, &read.cursor, false, 10_000).await.unwrap();
    assert_eq!((again.text.as_str(), again.cursor == read.cursor), ("", true));
}

#[tokio::test]
async fn a_small_budget_reads_the_same_in_more_pieces() {
    let all = vec![
        event(0, 3, "alpha\r\nbeta\r\ngamma"),
        event(3, 4, "delta"),
        event(4, 5, "a line that is longer than the budget"),
    ];
    let stub = Stub::start(events(all)).await;
    let client = stub.client();
    let mut text = String::new();
    let mut cursor = OutputCursor::default();
    for _ in 0..8 {
        let read = client.output(JOB, &cursor, false, 12).await.unwrap();
        assert!(read.text.len() <= 12);
        text.push_str(&read.text);
        cursor = read.cursor.to_string().parse().unwrap();
    }
    assert_eq!(text, "alpha\nbeta\ngamma\ndelta\na line that\n");
}

fn stdout(lines: &'static [&'static str]) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| {
        assert_eq!((seen.path.as_str(), seen.param("format")), ("/api/v2/jobs/4/stdout/", "json"));
        let from = seen.param("start_line").parse::<usize>().unwrap().min(lines.len());
        let content: String = lines[from..].concat();
        json_answer(
            200,
            &json!({"range": {"start": from, "end": lines.len(), "absolute_end": lines.len()}, "content": content}),
        )
    }
}

#[tokio::test]
async fn an_ended_job_is_read_on_from_where_its_events_stopped() {
    let stub = Stub::start(stdout(&["one\r\n", "two\r\n", "\u{1b}[31mthree\u{1b}[0m\r\n"])).await;
    let client = stub.client();
    let cursor: OutputCursor = "{\"line\":1}".parse().unwrap();
    let read = client.output(JOB, &cursor, true, 10_000).await.unwrap();
    assert_eq!(read.text, "two\nthree\n");
    let rest = client.output(JOB, &read.cursor, true, 10_000).await.unwrap();
    assert_eq!((rest.text.as_str(), rest.more), ("", false));
}

#[tokio::test]
async fn an_output_too_large_to_show_is_downloaded_within_bounds() {
    let lines = 60_000;
    let stub = Stub::start(move |seen| {
        if seen.path.ends_with("/job_events/") {
            return page(vec![event(0, 1, "this is line number 0")]);
        }
        if seen.param("format") == "json" {
            let content = "Standard Output too large to display (1888890 bytes), only download supported for sizes over 1048576 bytes.";
            return json_answer(200, &json!({"range": {"start": 0, "end": 1, "absolute_end": 1}, "content": content}));
        }
        assert_eq!(seen.param("format"), "txt_download");
        assert_eq!(seen.headers["accept"], "*/*");
        let text: String = (0..lines).map(|n| format!("this is line number {n}\r\n")).collect();
        answer(200, "text/plain", text)
    })
    .await;
    let client = stub.client();
    let mut text = String::new();
    let mut cursor = OutputCursor::default();
    loop {
        let read = client.output(JOB, &cursor, true, 700_000).await.unwrap();
        text.push_str(&read.text);
        cursor = read.cursor;
        if !read.more {
            break;
        }
    }
    assert_eq!(text.lines().count(), lines);
    assert!(text.lines().enumerate().all(|(n, line)| line == format!("this is line number {n}")));
}

#[tokio::test]
async fn a_download_without_end_is_given_up() {
    let stub = Stub::start(|seen| {
        if seen.path.ends_with("/job_events/") {
            return html(500);
        }
        if seen.param("format") == "json" {
            return json_answer(200, &json!({"content": "Standard Output too large to display (9 bytes), …"}));
        }
        let piece = vec![b'x'; 64 * 1024];
        let endless = futures::stream::iter(std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())));
        answer(200, "text/plain", Body::from_stream(futures::StreamExt::take(endless, 800)))
    })
    .await;
    let cursor: OutputCursor = "{\"line\":1}".parse().unwrap();
    let error = stub.client().output(JOB, &cursor, true, 10_000).await.unwrap_err();
    assert_eq!(error, AwxError::TooLarge { limit: 8 * 1024 * 1024 });
    // One endless line that is wanted is cut.
    let read = stub.client().output(JOB, &OutputCursor::default(), true, 10_000).await.unwrap();
    assert!(read.text.len() <= 10_000 && read.text.starts_with("xxx"));
}

#[tokio::test]
async fn a_download_that_breaks_off_or_stops_is_no_output() {
    for silent in [true, false] {
        let stub = Stub::start(move |seen| {
            if seen.path.ends_with("/job_events/") {
                return page(vec![]);
            }
            if seen.param("format") == "json" {
                return json_answer(200, &json!({"content": "Standard Output too large to display (9 bytes), …"}));
            }
            let begun = futures::stream::iter([Ok("one\n"), Ok("tw")]);
            let rest = futures::stream::once(async move {
                if silent { std::future::pending().await } else { Err(std::io::Error::other("cut")) }
            });
            answer(200, "text/plain", Body::from_stream(futures::StreamExt::chain(begun, rest)))
        })
        .await;
        let error = stub.client().output(JOB, &OutputCursor::default(), true, 10_000).await.unwrap_err();
        assert!(error.is_outage() && (error == AwxError::Timeout) == silent, "{error:?}");
    }
}

#[tokio::test]
async fn a_workflow_tells_its_steps_once_each_with_what_they_printed() {
    let finished = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let gate = finished.clone();
    let stub = Stub::start(move |seen| {
        if seen.path == "/api/v2/jobs/4/stdout/" {
            return json_answer(200, &json!({"range": {"start": 0, "end": 1, "absolute_end": 1}, "content": "hello\r\n"}));
        }
        assert_eq!(seen.path, "/api/v2/workflow_jobs/33/workflow_nodes/");
        let second = if gate.load(std::sync::atomic::Ordering::SeqCst) { "failed" } else { "running" };
        let job = |id: i64, kind: &str, status: &str, name: &str| json!({"id": id, "type": kind, "status": status, "name": name});
        page(vec![
            json!({"id": 1, "job": 4, "identifier": "fetch", "summary_fields": {"job": job(4, "job", "successful", "jt")}}),
            json!({"id": 2, "job": 5, "identifier": "0e4c2a4f-6d4b-4b0e-9d1e-b8d9ad6a1111", "summary_fields": {"job": job(5, "workflow_approval", second, "approve")}}),
            json!({"id": 3, "job": null, "do_not_run": true, "summary_fields": {"unified_job_template": {"name": "cleanup"}}}),
            json!({"id": 4, "job": null, "do_not_run": false, "summary_fields": {}}),
        ])
    })
    .await;
    let client = stub.client();
    let first = client.output(WORKFLOW, &OutputCursor::default(), false, 10_000).await.unwrap();
    assert_eq!(first.text, "node fetch: successful (job 4)\nhello\nnode cleanup: skipped\n");
    finished.store(true, std::sync::atomic::Ordering::SeqCst);
    let second = client.output(WORKFLOW, &first.cursor, true, 10_000).await.unwrap();
    assert_eq!(second.text, "node approve: failed (workflow_approval 5)\n");
    let third = client.output(WORKFLOW, &second.cursor, true, 10_000).await.unwrap();
    assert_eq!((third.text.as_str(), third.more), ("", false));
}

#[tokio::test]
async fn odd_answers_are_errors_and_odd_events_are_passed_over() {
    for odd in [json!({}), json!([]), json!({"content": 5})] {
        let stub = Stub::start(move |_| json_answer(200, &odd)).await;
        assert!(stub.client().output(JOB, &OutputCursor::default(), true, 100).await.is_err());
        assert!(stub.client().output(JOB, &OutputCursor::default(), false, 100).await.is_err());
    }
    let stub =
        Stub::start(|_| page(vec![json!(5), json!({"start_line": -4, "end_line": 9}), event(0, 1, "fine")])).await;
    assert_eq!(stub.client().output(JOB, &OutputCursor::default(), false, 100).await.unwrap().text, "fine\n");
}
