use super::*;

const JOB: RunRef = RunRef { kind: RunKind::Job, id: 4 };
const WORKFLOW: RunRef = RunRef { kind: RunKind::Workflow, id: 33 };

/// An event as AWX shows it; `lines` is how many line ends its text and what follows it have.
fn event(counter: u64, start: u64, lines: u64, stdout: &str) -> Value {
    json!({"counter": counter, "start_line": start, "end_line": start + lines, "stdout": stdout, "event": "verbose"})
}

/// What AWX makes of events as its whole text, put together independently of what is tested: `COPY` of a database.
fn whole_text(events: &[Value]) -> String {
    let texts = events.iter().map(|event| event["stdout"].as_str().unwrap()).filter(|text| !text.is_empty());
    let copied = texts.map(|text| {
        let text = text.replace('\\', "\\\\").replace('\t', "\\t").replace("\r\n", "\n").replace('\r', "\\r");
        format!("{text}\n")
    });
    copied.collect()
}

/// Answers for job 4 as AWX does, pages of at most `page` events; `text` is its whole text.
fn job(all: Vec<Value>, page: usize, text: String) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |seen| {
        if seen.path == "/api/v2/jobs/4/stdout/" {
            assert_eq!((seen.param("format"), &seen.headers["accept"]), ("ansi_download", &"*/*".parse().unwrap()));
            return answer(200, "text/plain", text.clone());
        }
        assert_eq!(seen.path, "/api/v2/jobs/4/job_events/");
        assert_eq!((seen.param("order_by"), seen.param("no_truncate")), ("counter", "true"));
        let after = seen.param("counter__gt").parse::<u64>().unwrap();
        let mut rows: Vec<Value> =
            all.iter().filter(|event| event["counter"].as_u64().unwrap() > after).cloned().collect();
        rows.sort_by_key(|event| event["counter"].as_u64());
        let page = page.min(seen.param("page_size").parse().unwrap());
        let next = (rows.len() > page).then_some("/more");
        rows.truncate(page);
        json_answer(200, &json!({"next": next, "results": rows}))
    }
}

/// Reads on from a cursor until nothing more comes, with the cursor written down between pieces.
async fn read_on(client: &Client, cursor: &mut OutputCursor, stage: Stage, budget: usize) -> OutputRead {
    let mut all = OutputRead::default();
    for _ in 0..10_000 {
        let read = client.output(JOB, cursor, stage, budget).await.unwrap();
        all.text.push_str(&read.text);
        all.lacks |= read.lacks;
        let moved = read.cursor != *cursor || read.lacks;
        *cursor = read.cursor.to_string().parse().unwrap();
        if !read.more || !moved {
            all.waits = read.waits;
            return all;
        }
    }
    panic!("it never comes to an end");
}

/// All three habits of AWX: an empty line, text without a line end, and what its whole text writes as escapes.
fn habits() -> (Vec<Value>, &'static str) {
    let events = vec![
        event(1, 0, 0, ""),
        event(2, 0, 2, "\r\nPLAY [all] ***"),
        event(3, 2, 1, ""),
        event(4, 3, 1, "\u{1b}[0;32mok: [a]\u{1b}[0m"),
        event(5, 4, 0, "10%\r"),
        event(6, 4, 0, "Sure? "),
        event(7, 4, 1, "yes"),
        event(8, 5, 2, "C:\\dir\r\n\tindented ✓"),
        event(9, 7, 0, ""),
        event(10, 7, 1, "end"),
    ];
    (events, "\nPLAY [all] ***\n\nok: [a]\n10%\nSure? \nyes\nC:\\dir\n\tindented ✓\nend\n")
}

#[tokio::test]
async fn a_run_is_read_by_its_events_and_never_past_a_gap() {
    let (mut events, expected) = habits();
    let late = events.remove(6);
    let stub = Stub::start(job(events.clone(), 2, String::new())).await;
    let (client, mut cursor) = (stub.client(), OutputCursor::default());
    let first = read_on(&client, &mut cursor, Stage::Following, 10_000).await;
    assert_eq!(first.text, expected.split_once("yes").unwrap().0);
    let again = read_on(&client, &mut cursor, Stage::Following, 10_000).await;
    assert_eq!((again.text.as_str(), again.waits, again.lacks), ("", false, false));
    events.push(late);
    let text = whole_text(&events);
    let stub = Stub::start(job(events, 2, text)).await;
    let rest = read_on(&stub.client(), &mut cursor, Stage::Ended, 10_000).await;
    assert_eq!((format!("{}{}", first.text, rest.text).as_str(), rest.waits, rest.lacks), (expected, false, false));
}

#[tokio::test]
async fn one_source_gives_the_same_in_whatever_pieces() {
    let (events, expected) = habits();
    for (page, budget) in [(1, 1), (2, 7), (3, 12), (200, 10_000)] {
        let stub = Stub::start(job(events.clone(), page, whole_text(&events))).await;
        let read = read_on(&stub.client(), &mut OutputCursor::default(), Stage::Ended, budget).await;
        assert_eq!((read.text.as_str(), read.waits, read.lacks), (expected, false, false), "{page} {budget}");
    }
}

#[tokio::test]
async fn a_line_of_300_000_characters_is_whole() {
    let line = "é".repeat(300_000);
    let events = vec![event(1, 0, 1, "before"), event(2, 1, 1, &line), event(3, 2, 1, "after")];
    let stub = Stub::start(job(events.clone(), 200, whole_text(&events))).await;
    let read = read_on(&stub.client(), &mut OutputCursor::default(), Stage::Ended, 256 << 10).await;
    assert_eq!(read.text, format!("before\n{line}\nafter\n"));
    assert!(!read.lacks);
}

#[tokio::test]
async fn output_that_is_not_what_the_controller_has_is_waited_for_and_then_marked() {
    let (events, expected) = habits();
    for text in [format!("{}more\n", whole_text(&events)), whole_text(&events[..9])] {
        let stub = Stub::start(job(events.clone(), 200, text)).await;
        let (client, mut cursor) = (stub.client(), OutputCursor::default());
        let read = read_on(&client, &mut cursor, Stage::Ended, 10_000).await;
        assert_eq!((read.text.as_str(), read.waits, read.lacks), (expected, true, false));
        let last = read_on(&client, &mut cursor, Stage::GivenUp { arrived: true }, 10_000).await;
        assert!(last.lacks && last.text.starts_with("[Runwarden: ") && last.text.ends_with("]\n"), "{last:?}");
    }
}

#[tokio::test]
async fn output_whose_arrival_was_given_up_is_marked_and_has_what_there_is() {
    let (mut events, expected) = habits();
    events.remove(6);
    let stub = Stub::start(job(events.clone(), 3, whole_text(&events))).await;
    let (client, mut cursor) = (stub.client(), OutputCursor::default());
    let read = read_on(&client, &mut cursor, Stage::Ended, 10_000).await;
    assert!(read.waits && !read.lacks);
    let rest = read_on(&client, &mut cursor, Stage::GivenUp { arrived: false }, 10_000).await;
    let all = format!("{}{}", read.text, rest.text);
    assert!(rest.lacks && all.starts_with(&expected.replace("yes\n", "")) && all.contains("[Runwarden: "), "{all}");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_read_in_smaller_ones_and_an_event_that_is_cannot_be_read() {
    let large = "x".repeat(300 << 10);
    let events = vec![event(1, 0, 1, "one"), event(2, 1, 1, &large), event(3, 2, 1, "three")];
    let stub = Stub::start(job(events.clone(), 200, whole_text(&events))).await;
    // 64 KiB at once, 512 KiB of what cannot be had in parts.
    let read = read_on(&stub.narrow_client(), &mut OutputCursor::default(), Stage::Ended, 1 << 20).await;
    assert_eq!((read.text, read.lacks), (format!("one\n{large}\nthree\n"), false));
    let huge = "x".repeat(600 << 10);
    let events = vec![event(1, 0, 1, "one"), event(2, 1, 1, &huge), event(3, 2, 1, "three")];
    let stub = Stub::start(job(events.clone(), 200, whole_text(&events))).await;
    let client = stub.narrow_client();
    let first = client.output(JOB, &OutputCursor::default(), Stage::Ended, 1 << 20).await.unwrap();
    assert_eq!((first.text.as_str(), first.more), ("one\n", true));
    let error = client.output(JOB, &first.cursor, Stage::Ended, 1 << 20).await.unwrap_err();
    assert_eq!(error, AwxError::TooLarge { limit: 512 << 10 });
}

#[tokio::test]
async fn a_whole_text_without_end_or_that_breaks_off_is_an_error_that_costs_no_text() {
    for kind in ["endless", "silent", "cut", "refused"] {
        let stub = Stub::start(move |seen| {
            if seen.path.ends_with("/job_events/") {
                let rows = if seen.param("counter__gt") == "0" { vec![event(1, 0, 1, "one")] } else { vec![] };
                return page(rows);
            }
            let piece = vec![b'x'; 64 * 1024];
            let endless = futures::stream::iter(std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())));
            let begun = futures::stream::iter([Ok("one\n"), Ok("tw")]);
            match kind {
                "endless" => answer(200, "text/plain", Body::from_stream(futures::StreamExt::take(endless, 800))),
                "refused" => json_answer(403, &json!({"detail": "You do not have permission to perform this action."})),
                _ => {
                    let rest = futures::stream::once(async move {
                        if kind == "silent" { std::future::pending().await } else { Err(std::io::Error::other("cut")) }
                    });
                    answer(200, "text/plain", Body::from_stream(futures::StreamExt::chain(begun, rest)))
                }
            }
        })
        .await;
        let client = stub.client();
        let read = client.output(JOB, &OutputCursor::default(), Stage::Ended, 10_000).await.unwrap();
        assert_eq!((read.text.as_str(), read.more), ("one\n", true));
        let error = client.output(JOB, &read.cursor, Stage::Ended, 10_000).await.unwrap_err();
        match kind {
            "endless" => assert_eq!(error, AwxError::TooLarge { limit: 8 * 1024 * 1024 }),
            "refused" => assert!(error.is_refusal(), "{error:?}"),
            _ => assert!(error.is_outage() && (error == AwxError::Timeout) == (kind == "silent"), "{error:?}"),
        }
    }
}

/// Reads on until nothing more comes.
async fn read_workflow(client: &Client, cursor: &OutputCursor, stage: Stage) -> OutputRead {
    let mut all = OutputRead { cursor: cursor.clone(), ..OutputRead::default() };
    loop {
        let read = client.output(WORKFLOW, &all.cursor, stage, 10_000).await.unwrap();
        all = OutputRead { text: all.text + &read.text, lacks: all.lacks | read.lacks, ..read };
        if !all.more {
            return all;
        }
    }
}

#[tokio::test]
async fn a_workflow_tells_its_steps_once_each_with_what_they_printed() {
    let finished = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let gate = finished.clone();
    let stub = Stub::start(move |seen| {
        match seen.path.as_str() {
            "/api/v2/jobs/4/stdout/" => return answer(200, "text/plain", "hello\n"),
            "/api/v2/jobs/4/job_events/" if seen.param("counter__gt") == "0" => {
                return page(vec![event(1, 0, 0, ""), event(2, 0, 1, "hello")]);
            }
            "/api/v2/jobs/4/job_events/" => return page(vec![]),
            "/api/v2/jobs/4/" => {
                let done = json!({"id": 4, "type": "job", "status": "successful", "event_processing_finished": true});
                return json_answer(200, &done);
            }
            _ => {}
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
    let first = read_workflow(&client, &OutputCursor::default(), Stage::Following).await;
    assert_eq!(first.text, "node fetch: successful (job 4)\nhello\nnode cleanup: skipped\n");
    finished.store(true, std::sync::atomic::Ordering::SeqCst);
    let second = read_workflow(&client, &first.cursor, Stage::Ended).await;
    assert_eq!(second.text, "node approve: failed (workflow_approval 5, denied)\n");
    let third = read_workflow(&client, &second.cursor, Stage::Ended).await;
    assert_eq!((third.text.as_str(), third.more, third.waits, third.lacks), ("", false, false, false));
}

#[tokio::test]
async fn steps_of_a_workflow_inside_are_steps_too_and_long_output_of_one_is_whole() {
    let long: Vec<Value> = (1..=300).map(|n| event(n, n - 1, 1, &format!("line {n} {}", "x".repeat(100)))).collect();
    let answer_job = job(long.clone(), 50, whole_text(&long));
    let stub = Stub::start(move |seen| {
        let summary = |id: i64, kind: &str, name: &str| json!({"job": {"id": id, "type": kind, "status": "failed", "name": name}});
        match seen.path.as_str() {
            "/api/v2/workflow_jobs/33/workflow_nodes/" => page(vec![json!({"id": 1, "job": 40, "identifier": "outer",
                "always_nodes": [2], "summary_fields": summary(40, "workflow_job", "w")})]),
            "/api/v2/workflow_jobs/40/workflow_nodes/" => page(vec![json!({"id": 9, "job": 4, "identifier": "inner",
                "summary_fields": summary(4, "job", "jt")})]),
            "/api/v2/jobs/4/" => json_answer(200, &json!({"id": 4, "type": "job", "status": "failed", "event_processing_finished": true})),
            "/api/v2/unified_jobs/" => page(vec![json!({"id": 4, "type": "job", "status": "failed",
                "job_explanation": "Task was marked as running at system start up. The system must have not shut down properly, so it has been marked as failed."})]),
            _ => answer_job(seen),
        }
    })
    .await;
    let client = stub.client();
    let read = read_workflow(&client, &OutputCursor::default(), Stage::Ended).await;
    let lines: Vec<&str> = read.text.lines().collect();
    assert_eq!(lines[..2], ["node outer: failed (workflow_job 40)", "node outer / inner: failed (job 4)"]);
    assert_eq!((lines.len(), lines[301].starts_with("line 300 x"), read.lacks), (302, true, false));
    let found = client.steps(WORKFLOW).await.unwrap();
    let told: Vec<_> = found.steps.iter().map(|step| (step.path(), step.handled, step.lost)).collect();
    assert_eq!(told, [("outer".to_owned(), true, false), ("outer / inner".to_owned(), true, true)]);
}

#[tokio::test]
async fn odd_answers_are_errors_and_odd_events_are_passed_over() {
    for odd in [json!({}), json!([]), json!({"content": 5})] {
        let stub = Stub::start(move |_| json_answer(200, &odd)).await;
        assert!(stub.client().output(JOB, &OutputCursor::default(), Stage::Ended, 100).await.is_err());
        assert!(stub.client().output(JOB, &OutputCursor::default(), Stage::Following, 100).await.is_err());
    }
    let odd =
        || vec![json!(5), json!({"start_line": -4, "end_line": 9}), json!({"counter": -1}), event(1, 0, 1, "fine")];
    let stub = Stub::start(move |_| page(odd())).await;
    let read = stub.client().output(JOB, &OutputCursor::default(), Stage::Following, 100).await.unwrap();
    assert_eq!(read.text, "fine\n");
}
