//! The client against the sandbox controller, which behaves as AWX does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use runwarden_sandbox::{Options, Sandbox, UseAnsible};

use super::*;

pub(super) async fn start() -> Sandbox {
    Sandbox::start(Options { use_ansible: UseAnsible::Never, speed: 100.0, ..Options::default() }).await.unwrap()
}

pub(super) fn client(sandbox: &Sandbox) -> Client {
    let limits = ClientLimits { request: Duration::from_secs(20), launch: Duration::from_secs(3), ..usual() };
    Client::new(&target_for(sandbox.address()), &Credential::bearer(sandbox.token()), limits).unwrap()
}

async fn fault(sandbox: &Sandbox, fault: Value) {
    let order = json!({"method": "POST", "path": "/launch/", "fault": fault});
    lever(sandbox, reqwest::Method::POST, "faults", order).await;
}

pub(super) async fn lever(sandbox: &Sandbox, method: reqwest::Method, path: &str, body: Value) {
    let answer = reqwest::Client::new()
        .request(method, format!("{}/sandbox/{path}", sandbox.url()))
        .bearer_auth(sandbox.control_token())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn launch(client: &Client, kind: TemplateKind, id: i64, parameters: Value) -> RunRef {
    let launched = client.launch(kind, id, &body(parameters)).await.unwrap();
    assert!(launched.ignored.is_empty(), "{:?}", launched.ignored);
    launched.run
}

/// Waits as the watcher does: by looking again.
async fn ended(client: &Client, run: RunRef) -> Ending {
    for _ in 0..600 {
        let row = client.runs(&[run]).await.unwrap().rows.remove(0);
        if let Some(ending) = row.ending() {
            return ending;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{run:?} does not end");
}

async fn read_all(client: &Client, run: RunRef, stage: Stage, budget: usize) -> String {
    let mut text = String::new();
    let mut cursor = OutputCursor::default();
    let begun = std::time::Instant::now();
    loop {
        let read = client.output(run, &cursor, stage, budget).await.unwrap();
        assert!(!read.lacks, "{}", read.text);
        let stuck = read.cursor == cursor;
        text.push_str(&read.text);
        cursor = read.cursor;
        if stuck && read.waits && stage == Stage::Ended {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not what the controller has: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else if stuck {
            return text;
        }
    }
}

#[tokio::test]
async fn connection_and_catalogue() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let account = client.who_am_i().await.unwrap();
    assert_eq!(
        (account.username, account.product, account.version),
        (sandbox.username(), "AWX".into(), "24.6.1".into())
    );

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = client.templates(cursor, 3).await.unwrap();
        seen.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let names: BTreeSet<&str> = seen.iter().map(|template| template.name.as_str()).collect();
    assert!(
        ["plain", "deploy", "sliced", "release", "release-with-survey"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    assert!(!names.contains("restricted"));
    for template in &seen {
        let view = client.template(template.kind, template.id).await.unwrap();
        assert_eq!(view.schema(), template.schema(), "{}", template.name);
        let again = client.template(template.kind, template.id).await.unwrap();
        assert_eq!(fingerprint(&view.parts()), fingerprint(&again.parts()), "{}", template.name);
        assert!(jsonschema::draft202012::new(&view.schema()).is_ok());
    }
    assert!(matches!(client.template(TemplateKind::Job, 999).await, Err(AwxError::NotFound { .. })));
    assert!(matches!(client.template(TemplateKind::Job, 19).await, Err(AwxError::Forbidden { .. })));

    let wrong = Client::new(&target_for(sandbox.address()), &Credential::bearer("wrong"), quick()).unwrap();
    assert_eq!(wrong.who_am_i().await.unwrap_err(), AwxError::Unauthorized);
    let account = sandbox.account("runwarden");
    let basic =
        Client::new(&target_for(sandbox.address()), &Credential::basic(account.username, account.password), quick())
            .unwrap();
    assert!(basic.who_am_i().await.is_ok());
    sandbox.stop().await;
}

/// Waits until all that a run printed has arrived.
async fn all_arrived(client: &Client, run: RunRef) {
    let begun = std::time::Instant::now();
    while !client.events_finished(run).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the output of {run:?} does not arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_job_from_launch_to_output() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let deploy = json!({"environment": "dev", "version": "1.2.3", "deploy_password": "hunter2hunter2"});
    let run = launch(&client, TemplateKind::Job, 10, deploy).await;
    assert_eq!(ended(&client, run).await, Ending::Successful);
    all_arrived(&client, run).await;
    let live = read_all(&client, run, Stage::Following, 100_000).await;
    let text = read_all(&client, run, Stage::Ended, 100_000).await;
    assert_eq!(live, text, "live and afterwards it is the same");
    assert!(text.contains("PLAY RECAP") && !text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(read_all(&client, run, Stage::Ended, 60).await.lines().count(), text.lines().count());

    assert_eq!(client.cancel(run).await.unwrap(), CancelAnswer::AlreadyFinished);
    assert_eq!(client.cancel(RunRef { id: 9999, ..run }).await.unwrap(), CancelAnswer::Gone);
    for (template, ending) in [(12, Ending::Failed), (23, Ending::Error)] {
        let run = launch(&client, TemplateKind::Job, template, json!({})).await;
        assert_eq!(ended(&client, run).await, ending);
    }
    let hangs = launch(&client, TemplateKind::Job, 13, json!({})).await;
    assert_eq!(client.cancel(hangs).await.unwrap(), CancelAnswer::Accepted);
    assert_eq!(ended(&client, hangs).await, Ending::Canceled);
    let found = client.runs(&[run, hangs, RunRef { id: 9999, ..run }]).await.unwrap();
    assert_eq!((found.rows.len(), found.missing), (2, vec![9999]));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_large_output_reads_the_same_live_and_afterwards() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let run = launch(&client, TemplateKind::Job, 14, json!({})).await;
    assert_eq!(ended(&client, run).await, Ending::Successful);
    all_arrived(&client, run).await;
    let downloaded = read_all(&client, run, Stage::Ended, 900_000).await;
    assert!(downloaded.len() > 1 << 20, "{}", downloaded.len());
    let live = read_all(&client, run, Stage::Following, 300_000).await;
    assert_eq!(live.len(), downloaded.len());
    assert!(live == downloaded, "both ways tell the same");
    sandbox.stop().await;
}

#[tokio::test]
async fn workflows_and_slices() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let workflow = launch(&client, TemplateKind::Workflow, 20, json!({})).await;
    assert_eq!(workflow.kind, RunKind::Workflow);
    assert_eq!(ended(&client, workflow).await, Ending::Successful);
    let told = read_all(&client, workflow, Stage::Ended, 1 << 20).await;
    assert!(told.contains("node prepare: successful") && told.contains("PLAY"), "{told}");
    assert_eq!(told.matches("node prepare: ").count(), 1);

    let sliced = launch(&client, TemplateKind::Job, 15, json!({})).await;
    assert_eq!(sliced.kind, RunKind::Workflow);
    assert_eq!(ended(&client, sliced).await, Ending::Successful);
    assert_eq!(read_all(&client, sliced, Stage::Ended, 1 << 20).await.matches("node ").count(), 3);
    assert!(client.events_finished(sliced).await.unwrap());
    let fails = launch(&client, TemplateKind::Workflow, 24, json!({})).await;
    assert_eq!(ended(&client, fails).await, Ending::Failed);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_its_marker_and_its_inputs() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let account = client.who_am_i().await.unwrap().id;
    for (template, lost) in [
        (22, json!({"kind": "lose_before"})),
        (25, json!({"kind": "lose_after"})),
        (22, json!({"kind": "delay_commit", "commit_after_ms": 400})),
        (15, json!({"kind": "lose_after"})),
    ] {
        let view = client.template(TemplateKind::Job, template).await.unwrap();
        let marker = Marker::new(&uuid::Uuid::new_v4().simple().to_string()).unwrap();
        let placement = MarkerPlacement::choose(&view);
        let parameters = if template == 25 { json!({}) } else { json!({"who": "me"}) };
        let body = LaunchBody::build(LaunchInput {
            schema: &json!({}),
            parameters: &object(parameters),
            fixed: &Map::new(),
            marker: Some((&marker, placement)),
            default_skip_tags: view.default_skip_tags().as_str(),
        })
        .unwrap();
        assert_eq!(preflight(&view, &body), Ok(()));
        let from = time::OffsetDateTime::now_utc() - time::Duration::seconds(5);
        fault(&sandbox, lost.clone()).await;
        let result = client.launch(TemplateKind::Job, template, &body).await;
        assert!(matches!(result, Err(LaunchError::Unresolved { .. })), "{lost}: {result:?}");
        let search = Search { template, account, created_from: from, looked_from: from };
        let mine = || async {
            let is_mine = |row: &RunRow| marker.is_in(row, placement) && body.dropped_in(row).is_empty();
            let Found::All(rows) = client.search(&search, is_mine).await.unwrap() else {
                panic!("a sandbox tells everything")
            };
            rows.iter().filter(|row| row.note).count()
        };
        if lost["kind"] == "lose_before" {
            assert_eq!(mine().await, 0);
        } else {
            let mut looks = 0;
            while mine().await == 0 {
                looks += 1;
                assert!(looks < 200, "{lost}: never found");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(mine().await, 1, "{lost}");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_run_tells_the_same_of_its_launch_wherever_it_is_read() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let account = client.who_am_i().await.unwrap().id;
    let everything = json!({
        "limit": " web ", "job_tags": ["a", "b"], "skip_tags": "slow,", "job_type": "check", "verbosity": 2, "diff_mode": true,
        "scm_branch": "dev", "forks": 5, "timeout": 60, "job_slice_count": 1, "who": "é \u{1f600}", "n": 1.0, "deep": {"a": [null, 1e20]},
    });
    let sent = try_body(everything, json!({"inventory": 2, "credentials": [1], "labels": [1]}), json!({})).unwrap();
    for template in [11, 9] {
        client.template(TemplateKind::Job, template).await.unwrap();
        let from = client.controller_time().expect("the sandbox tells the time");
        let launched = client.launch(TemplateKind::Job, template, &sent).await.unwrap();
        let run = launched.run;
        let search = Search { template, account, created_from: from, looked_from: from };
        let Found::All(found) = client.search(&search, RunRow::clone).await.unwrap() else {
            panic!("a sandbox tells everything")
        };
        let found: Vec<RunRow> = found.into_iter().map(|sighting| sighting.note).collect();
        let all = [client.find(run.id).await.unwrap().unwrap(), client.run(run).await.unwrap()];
        for row in all.iter().chain(&found) {
            assert_eq!((row.run, row.unified_job_template, row.launched_by), (run, Some(template), Some(account)));
            assert_eq!((row.created, row.launch_type.as_str()), (launched.row.created, "manual"));
            let dropped = sent.dropped_in(row);
            assert_eq!(dropped, sent.dropped_in(&launched.row), "{template}");
            assert_eq!(dropped.is_empty(), template == 11, "{template}: {dropped:?}");
            assert!(dropped.iter().all(|name| launched.ignored.contains(name)));
        }
        assert_eq!(found.len(), 1, "{template}");
    }
    assert_eq!(client.find(9999).await.unwrap(), None);
    sandbox.stop().await;
}

#[tokio::test]
async fn proxies_and_credentials_that_fail_are_told_apart() {
    let sandbox = start().await;
    let client = client(&sandbox);
    for (struck, unresolved) in [
        (json!({"kind": "status", "status": 502}), true),
        (json!({"kind": "status", "status": 504}), true),
        (json!({"kind": "redirect", "location": "https://login.example/"}), true),
        (json!({"kind": "status", "status": 200}), true),
        (json!({"kind": "status", "status": 403}), true),
        (json!({"kind": "status", "status": 403, "json": {"message": "forbidden"}}), true),
        (json!({"kind": "status", "status": 413}), false),
        (json!({"kind": "status", "status": 429, "retry_after": 3}), false),
        (json!({"kind": "migrating"}), false),
        (json!({"kind": "unauthorized"}), false),
    ] {
        fault(&sandbox, struck.clone()).await;
        let result = client.launch(TemplateKind::Job, 9, &body(json!({}))).await;
        assert_eq!(matches!(result, Err(LaunchError::Unresolved { .. })), unresolved, "{struck} {result:?}");
        assert_eq!(matches!(result, Err(LaunchError::NotLaunched(_))), !unresolved, "{struck} {result:?}");
    }
    assert!(sandbox.ledger().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_hidden_is_told_from_what_is_not_there() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let me = client.who_am_i().await.unwrap().id;
    let run = client.launch(TemplateKind::Job, 13, &body(json!({}))).await.unwrap().run;
    assert!(matches!(client.whereabouts(run).await, Ok(Whereabouts::There(row)) if row.run == run));
    for template in [13, 20] {
        assert_eq!(client.sight(me, template).await, Ok(TemplateSight::Clear), "a workflow's is 20");
    }
    assert_eq!(client.sight(me, 999).await, Ok(TemplateSight::Gone));
    assert!(matches!(client.sight(me + 1, 13).await, Ok(TemplateSight::Hidden(why)) if why.contains("id")));

    lever(&sandbox, reqwest::Method::PATCH, "templates/13", json!({"restricted": true})).await;
    assert_eq!(client.runs(&[run]).await.unwrap().missing, [run.id], "a list leaves it out");
    assert_eq!(client.whereabouts(run).await, Ok(Whereabouts::Hidden));
    assert!(matches!(client.sight(me, 13).await, Ok(TemplateSight::Hidden(_))));
    lever(&sandbox, reqwest::Method::DELETE, &format!("runs/{}", run.id), json!(null)).await;
    assert_eq!(client.whereabouts(run).await, Ok(Whereabouts::Gone));
    sandbox.stop().await;
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z$]{0,20}".prop_map(Value::from),
        (-3i64..12).prop_map(Value::from),
        Just(json!(1.5)),
        any::<bool>().prop_map(Value::from),
        Just(json!("$encrypted$")),
        Just(json!("a\u{0}b")),
        Just(Value::Null),
        Just(json!({"a": [1, "x"]})),
        prop::sample::select(vec!["dev", "staging", "prod", "web", "run", "check"]).prop_map(Value::from),
        prop::collection::vec(prop::sample::select(vec!["web", "db", "cache", "other"]), 0..3)
            .prop_map(|list| json!(list)),
    ]
}

fn any_parameters() -> impl Strategy<Value = Map<String, Value>> {
    let names = vec![
        "environment",
        "version",
        "replicas",
        "notes",
        "deploy_password",
        "who",
        "count",
        "envname",
        "parts",
        "ratio",
        "limit",
        "job_tags",
        "skip_tags",
        "job_type",
        "verbosity",
        "diff_mode",
        "scm_branch",
        "forks",
        "timeout",
        "job_slice_count",
        "free",
    ];
    let good = (prop::sample::select(vec!["dev", "prod"]), "[a-z]{2,9}", 1i64..5).prop_map(|(environment, word, n)| {
        object(json!({"environment": environment, "version": word, "replicas": n, "who": word, "count": n}))
    });
    let odd = prop::collection::btree_map(prop::sample::select(names), any_value(), 0..3);
    (good, any::<[bool; 5]>(), odd).prop_map(|(good, keep, odd)| {
        let mut all: Map<String, Value> =
            good.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(pair, _)| pair).collect();
        all.extend(odd.into_iter().map(|(name, value)| (name.to_owned(), value)));
        all
    })
}

#[test]
fn what_passes_preflight_is_taken_whole_and_what_awx_takes_whole_passes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sandbox = runtime.block_on(start());
    let client = client(&sandbox);
    let templates: Vec<TemplateView> = [
        (TemplateKind::Job, 9),
        (TemplateKind::Job, 10),
        (TemplateKind::Job, 11),
        (TemplateKind::Job, 16),
        (TemplateKind::Job, 18),
        (TemplateKind::Job, 22),
        (TemplateKind::Job, 25),
        (TemplateKind::Job, 26),
        (TemplateKind::Workflow, 20),
        (TemplateKind::Workflow, 21),
        (TemplateKind::Workflow, 28),
    ]
    .into_iter()
    .map(|(kind, id)| runtime.block_on(client.template(kind, id)).unwrap())
    .collect();
    let objects: Vec<Objects> =
        templates.iter().map(|view| runtime.block_on(client.objects(view, &[])).unwrap()).collect();
    let mut passed = 0;
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let passed_in = std::cell::Cell::new(0);
    runner
        .run(&(0..templates.len(), any_parameters()), |(n, parameters)| {
            let view = &templates[n];
            let built = try_body(parameters.clone().into(), json!({}), json!({}));
            let Ok(body) = built else { return Ok(()) };
            // Of how many hosts there are to slice, preflight knows nothing: a launch must fit as well.
            let slices = parameters.get("job_slice_count").map(|value| Setting {
                parameter: "job_slice_count",
                field: LaunchField::JobSliceCount,
                value,
            });
            let misfits = view.misfits(slices.as_slice(), &objects[n]);
            let fits = if misfits.is_empty() { Ok(()) } else { Err(misfits) };
            let verdict = preflight(view, &body).and(fits);
            let answer = runtime.block_on(client.launch(view.kind, view.id, &body));
            if let Ok(launched) = &answer {
                // What the answer names as dropped is what the run itself shows to be missing, and nothing else.
                let hidden = ["credentials", "instance_groups", "job_slice_count", "labels"];
                let shows: Vec<String> =
                    launched.ignored.iter().filter(|name| !hidden.contains(&name.as_str())).cloned().collect();
                prop_assert_eq!(body.dropped_in(&launched.row), shows, "{} {:?}", view.name, parameters);
            }
            match (&verdict, &answer) {
                (Ok(()), Ok(launched)) => {
                    passed_in.set(passed_in.get() + 1);
                    prop_assert!(
                        launched.ignored.is_empty(),
                        "{} dropped {:?} of {parameters:?}",
                        view.name,
                        launched.ignored
                    );
                }
                (Ok(()), Err(error)) => prop_assert!(false, "{} refused {parameters:?}: {error}", view.name),
                (Err(_), Err(error)) => prop_assert!(matches!(error, LaunchError::Refused { .. }), "{error}"),
                (Err(problems), Ok(launched)) => {
                    // Only what AWX takes and then misreads is refused although AWX would have it;
                    let misread = |p: &Problem| p.detail.contains("$encrypted$") || p.detail.contains("NUL");
                    // a workflow has fields fewer than a job, and drops what it does not know without a word;
                    let unknown =
                        |p: &Problem| view.kind == TemplateKind::Workflow && p.detail.contains("would drop it");
                    // and what the template has of its own anyway is neither taken nor dropped.
                    let sent = body.json();
                    let own = |name: &str| view.row.get(name).is_some_and(|own| sent.get(name) == Some(own));
                    let same = |p: &Problem| own(p.pointer.trim_start_matches('/'));
                    prop_assert!(
                        !launched.ignored.is_empty() || problems.iter().all(|p| misread(p) || unknown(p) || same(p)),
                        "{} took {parameters:?} but {problems:?}",
                        view.name
                    );
                }
            }
            Ok(())
        })
        .unwrap();
    passed += passed_in.get();
    assert!(passed > 10, "only {passed} launches passed: the test tests nothing");
    runtime.block_on(sandbox.stop());
}

#[tokio::test]
async fn a_label_is_made_once_and_found_from_then_on() {
    let sandbox = start().await;
    let admin = sandbox.account("admin");
    let credential = Credential::basic(&admin.username, admin.password.clone());
    let superuser = Client::new(&target_for(sandbox.address()), &credential, usual()).unwrap();
    let operator = client(&sandbox);
    let name = "runwarden-ref:CHG1, part {{ 2 }} & more?";
    let refused = operator.label(1, name).await.unwrap_err();
    assert!(refused.is_refusal(), "an account without the right makes none: {refused}");
    let made = superuser.label(1, name).await.unwrap();
    assert_eq!(superuser.label(1, name).await.unwrap(), made);
    assert_eq!(operator.label(1, name).await.unwrap(), made, "one that is there is found by everybody");
    assert_ne!(superuser.label(1, "another").await.unwrap(), made);
    let view = operator.template(TemplateKind::Job, 11).await.unwrap();
    assert_eq!((view.organization_id(), view.takes_labels()), (Some(1), true));
    assert!(!operator.template(TemplateKind::Job, 9).await.unwrap().takes_labels());
    let mut sent = body(json!({}));
    sent.label(&[made]);
    let launched = operator.launch(TemplateKind::Job, 11, &sent).await.unwrap();
    assert!(launched.ignored.is_empty(), "{:?}", launched.ignored);
}
