//! What is kept of runs: their output, the steps of workflows, and their ends.

use super::*;

impl Awx {
    /// Launches a workflow, and waits until it waits for an approval, its own or that of a workflow inside it. Answers
    /// its run and the approval's id.
    async fn waiting(&self, template: i64) -> (Run, i64) {
        let run = self.launch_workflow(template).await;
        let id = self.until("workflow_approvals/?status=pending", |list| list["results"][0]["id"].as_i64()).await;
        (run, id)
    }

    async fn launch_workflow(&self, template: i64) -> Run {
        let nothing = LaunchInput {
            schema: &json!({"type": "object"}),
            parameters: &serde_json::Map::new(),
            fixed: &serde_json::Map::new(),
            marker: None,
            default_skip_tags: "",
        };
        let client = self.client();
        let body = LaunchBody::build(nothing).unwrap();
        let launched = client.launch(TemplateKind::Workflow, template, &body).await.unwrap();
        Run::of(&launched.row, &client.installation(Ask::Afresh).await.unwrap())
    }

    /// Asks the controller until what it says is right.
    async fn until<T>(&self, path: &str, right: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let told = reqwest::Client::new()
                .get(format!("{}/api/v2/{path}", self.sandbox.url()))
                .bearer_auth(self.sandbox.token())
                .header("accept", "application/json")
                .send()
                .await
                .unwrap();
            let told: serde_json::Value = serde_json::from_str(&told.text().await.unwrap()).unwrap();
            if let Some(found) = right(&told) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{path} never came to that: {told}");
            tokio::task::yield_now().await;
        }
    }

    async fn print(&self, run: i64, text: &str) {
        self.lever(&format!("runs/{run}/print"), json!({"text": text})).await;
    }

    async fn finish(&self, run: i64, status: &str) {
        self.lever(&format!("runs/{run}/finish"), json!({"status": status})).await;
    }

    /// Waits until a run that hangs has printed all that it prints by itself.
    async fn silent(&self, run: i64) {
        let last = |text: &serde_json::Value| text["content"].as_str()?.contains("TASK [Wait]").then_some(());
        self.until(&format!("jobs/{run}/stdout/?format=json"), last).await;
    }

    async fn printed_all(&self, run: i64) {
        self.until(&format!("jobs/{run}/"), |job| (job["event_processing_finished"] == true).then_some(())).await;
    }
}

impl Watch {
    async fn of(awx: &Awx, run: &Run) -> Self {
        Self::over(run.clone(), Some(awx.mapped()), awx.sandbox.token(), |_| {}).await
    }

    /// Looks until the job is as it should be.
    async fn until(&self, right: impl Fn(&Job) -> bool) -> Job {
        let begun = Instant::now();
        loop {
            let job = self.look().await;
            if right(&job) {
                return job;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it never came to that: {job:?}");
        }
    }

    async fn ended(&self) -> Job {
        self.until(|job| job.state.is_end()).await
    }

    async fn output(&self) -> String {
        let job = self.store.get(&TenantId::trusted("acme"), &self.job.id).await.unwrap().unwrap();
        let (mut text, mut at) = (String::new(), 0);
        while at < job.output_bytes {
            let piece = self.store.output(&job.id, at, 1 << 20).await.unwrap();
            at += piece.len() as u64;
            text.push_str(&piece);
        }
        text
    }
}

#[tokio::test]
async fn what_a_run_prints_is_kept_to_the_byte_while_it_runs_and_after() {
    let awx = Awx::start().await;
    let run = awx.hanging().await;
    awx.silent(run.id).await;
    let watch = Watch::of(&awx, &run).await;
    let _somebody_waits = watch.watcher.shared.live.wait_for(&watch.job.id);
    let long = "é".repeat(300_000);
    awx.print(run.id, "one\r\n\r\n\r\n10%\r20%\r\tC:\\dir ✓\r\nSure? ").await;
    watch.until(|job| job.output_bytes > 0).await;
    let live = "\n\n10%\n20%\n\tC:\\dir ✓\nSure? \n";
    watch.look().await;
    assert!(watch.output().await.ends_with(&format!("one\n{live}")), "{}", watch.output().await);
    awx.print(run.id, &format!("\r\n{long}\r\n\\n\\t\r\n")).await;
    awx.finish(run.id, "successful").await;
    let job = watch.ended().await;
    let output = watch.output().await;
    assert!(output.ends_with(&format!("one\n{live}\n{long}\n\\n\\t\n")), "{} bytes", output.len());
    assert_eq!((job.state, job.output_incomplete, job.output_truncated), (JobState::Succeeded, false, false));
    // Read at once at the end it is the same.
    let after = Watch::of(&awx, &run).await;
    after.ended().await;
    assert!(after.output().await == output);
}

#[tokio::test]
async fn the_last_of_an_output_that_cannot_be_read_is_tried_again_and_then_marked() {
    for (path, recovers) in [("/job_events/", true), ("/stdout/", true), ("/job_events/", false), ("/stdout/", false)] {
        let awx = Awx::start().await;
        let run = awx.hanging().await;
        awx.silent(run.id).await;
        awx.print(run.id, "the last words\r\n").await;
        awx.finish(run.id, "successful").await;
        awx.printed_all(run.id).await;
        let times = if recovers { 2 } else { 10_000 };
        let fault = json!({"method": "GET", "path": path, "times": times, "fault": {"kind": "status", "status": 500}});
        awx.lever("faults", fault).await;
        let watch = Watch::of(&awx, &run).await;
        let job = watch.look().await;
        assert_eq!((job.state, job.output_incomplete), (JobState::Running, false), "{path}: it is tried again");
        if !recovers {
            watch.clock.advance(Duration::from_secs(121));
        }
        let job = watch.ended().await;
        assert_eq!((job.state, job.output_incomplete), (JobState::Succeeded, !recovers), "{path}");
        let output = watch.output().await;
        assert_eq!(output.contains("the last words\n"), recovers || path == "/stdout/", "{path}: {output}");
        assert_eq!(
            output.contains("\n[Runwarden: ") || output.starts_with("[Runwarden: "),
            !recovers,
            "{path}: {output}"
        );
    }
}

#[tokio::test]
async fn output_beyond_the_limit_is_cut_and_says_where() {
    let awx = Awx::start().await;
    let run = awx.hanging().await;
    awx.silent(run.id).await;
    awx.print(run.id, &format!("{}\r\n", "x".repeat(5000))).await;
    awx.finish(run.id, "successful").await;
    awx.printed_all(run.id).await;
    let mut watch = Watch::of(&awx, &run).await;
    watch.watcher.output_limit = 2000;
    let job = watch.ended().await;
    assert_eq!((job.output_truncated, job.output_incomplete), (true, false));
    let output = watch.output().await;
    assert!(output.len() <= 2000 && output.contains("xxx\n[Runwarden: the output is cut here: "), "{output}");
    // What just fits is whole.
    let mut fits = Watch::of(&awx, &run).await;
    fits.watcher.output_limit = u64::MAX;
    let whole = fits.ended().await.output_bytes;
    let mut fits = Watch::of(&awx, &run).await;
    fits.watcher.output_limit = whole;
    let job = fits.ended().await;
    assert_eq!((job.output_truncated, job.output_bytes), (false, whole));
}

#[tokio::test]
async fn a_workflow_that_waits_for_an_approval_says_so_and_what_came_of_it() {
    let awx = Awx::start().await;
    for (template, denied) in [(40, true), (40, false)] {
        let (run, approval) = awx.waiting(template).await;
        let watch = Watch::of(&awx, &run).await;
        let job = watch.look().await;
        let (what, since) = job.progress.split_once(" since ").unwrap();
        assert_eq!(what, "waiting for approval of step \"Release manager says yes\"");
        assert!(since.ends_with('Z'), "{since}");
        assert_eq!(watch.look().await.progress, job.progress, "it does not go back and forth");
        awx.finish(approval, if denied { "failed" } else { "successful" }).await;
        let job = watch.ended().await;
        if denied {
            assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some(reason::APPROVAL_DENIED)));
            let words = "The approval step \"Release manager says yes\" was denied on the controller.";
            assert_eq!(job.reason_detail.as_deref(), Some(words));
        } else {
            assert_eq!((job.state, job.reason), (JobState::Succeeded, None));
        }
        let outcome = job.outcome.unwrap();
        let steps = outcome["steps"].as_array().unwrap();
        let told: Vec<_> = steps.iter().map(|s| (s["name"].as_str().unwrap(), s["status"].as_str().unwrap())).collect();
        let (second, third) = if denied { ("failed", "skipped") } else { ("successful", "successful") };
        assert_eq!(told, [("build", "successful"), ("Release manager says yes", second), ("deploy", third)]);
        assert_eq!(steps[1]["run"], approval);
        assert_eq!(steps[1]["reason"], if denied { json!("denied") } else { serde_json::Value::Null });
    }
}

#[tokio::test]
async fn an_approval_that_nobody_gave_in_time_is_the_reason() {
    let awx = Awx::start().await;
    let run = awx.launch_workflow(41).await;
    let watch = Watch::of(&awx, &run).await;
    let job = watch.ended().await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some(reason::APPROVAL_TIMED_OUT)));
    let words = "The approval step \"Release manager says yes\" was not given in time.";
    assert_eq!(job.reason_detail.as_deref(), Some(words));
}

#[tokio::test]
async fn a_failure_that_was_handled_is_seen_also_inside_of_a_workflow() {
    let awx = Awx::start().await;
    let (run, approval) = awx.waiting(42).await;
    awx.finish(approval, "failed").await;
    let job = Watch::of(&awx, &run).await.ended().await;
    assert_eq!((job.state, job.reason), (JobState::Succeeded, None));
    let step = &job.outcome.unwrap()["steps"][0];
    assert_eq!(
        (&step["status"], &step["handled"], &step["reason"]),
        (&json!("failed"), &json!(true), &json!("denied"))
    );

    let (run, approval) = awx.waiting(43).await;
    let watch = Watch::of(&awx, &run).await;
    let job = watch.look().await;
    assert!(
        job.progress.starts_with("waiting for approval of step \"release / Release manager says yes\" since "),
        "{job:?}"
    );
    awx.finish(approval, "failed").await;
    let job = watch.ended().await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some(reason::APPROVAL_DENIED)));
    let outcome = job.outcome.unwrap();
    let told: Vec<_> = outcome["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["within"].as_str().unwrap_or(""), s["name"].as_str().unwrap(), s["handled"].as_bool().unwrap()))
        .collect();
    let expected = [
        ("", "try", true),
        ("try", "fails", true),
        ("try", "never", false),
        ("", "release", false),
        ("release", "build", false),
        ("release", "Release manager says yes", false),
        ("release", "deploy", false),
    ];
    assert_eq!(told, expected, "{outcome}");
    let output = watch.output().await;
    assert!(
        output.contains("node try / fails: failed (job ") && output.contains("This template fails on purpose."),
        "{output}"
    );
}

#[tokio::test]
async fn a_workflow_whose_job_the_controller_lost_is_lost() {
    let awx = Awx::start().await;
    let run = awx.launch_workflow(44).await;
    let nodes = format!("workflow_jobs/{}/workflow_nodes/", run.id);
    let id = awx.until(&nodes, |nodes| nodes["results"][0]["job"].as_i64()).await;
    awx.silent(id).await;
    awx.lever(&format!("runs/{id}/reap"), json!({})).await;
    let watch = Watch::of(&awx, &run).await;
    watch.look().await;
    // What its step printed never counts as complete.
    watch.clock.advance(Duration::from_secs(61));
    let job = watch.ended().await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some(reason::LOST)), "{job:?}");
    assert!(job.reason_detail.as_deref().is_some_and(|words| words.contains("step \"deploy\"")), "{job:?}");
    assert!(job.may_lack_output());
    assert_eq!(job.outcome.unwrap()["steps"][0]["reason"], "lost");
}

#[tokio::test]
async fn nothing_is_printed_after_the_end_by_whoever_looks_with_what_was_known_before_it() {
    let awx = Awx::start().await;
    let run = awx.hanging().await;
    awx.silent(run.id).await;
    awx.lever(&format!("runs/{}/reap", run.id), json!({})).await;
    let watch = Watch::of(&awx, &run).await;
    watch.look().await;
    let mut stale = Round::default();
    watch.watcher.load(&mut stale).await.unwrap();
    // What a lost run printed never counts as complete: that is said with the same cursor each time.
    watch.clock.advance(Duration::from_secs(61));
    let ended = watch.ended().await;
    assert!(ended.may_lack_output(), "{ended:?}");
    for key in stale.following.keys() {
        let looked = watch.watcher.look(&key, stale.following.all(&key), &Cost::default()).await;
        assert!(matches!(looked, Looked::Done { .. }), "{looked:?}");
    }
    let after = watch.store.get(&TenantId::trusted("acme"), &ended.id).await.unwrap().unwrap();
    assert_eq!((after.last_event, after.output_bytes), (ended.last_event, ended.output_bytes));
}

#[tokio::test]
async fn ends_are_recorded_with_few_writes_and_are_no_reason_to_look_later() {
    const ENDS: usize = 8;
    let awx = Awx::start().await;
    let first = awx.hanging().await;
    let watch = Watch::of(&awx, &first).await;
    let mut runs = vec![first];
    for n in 1..ENDS {
        let run = awx.hanging().await;
        let job = Job { id: format!("job_{n:032x}"), run: Some(run.clone()), ..watch.job.clone() };
        watch.store.accept(Acceptance::of(job)).await.unwrap();
        runs.push(run);
    }
    watch.look().await;
    for run in &runs {
        awx.silent(run.id).await;
        awx.finish(run.id, "successful").await;
        awx.printed_all(run.id).await;
    }
    let mut round = Round::default();
    watch.watcher.load(&mut round).await.unwrap();
    let before = watch.store.version().await.unwrap();
    let key = round.following.keys().remove(0);
    let (cost, begun) = (Cost::default(), Instant::now());
    watch.watcher.look(&key, round.following.all(&key), &cost).await;
    let took = begun.elapsed();
    assert_eq!(watch.store.running("", 100).await.unwrap().len(), 0, "one look is enough");
    // That it is over, what it printed, and how it ended.
    let writes = watch.store.version().await.unwrap() - before;
    assert!(writes <= 3 * i64::try_from(ENDS).unwrap(), "{writes}");
    assert!(cost.get() * 2 < took, "recording ends is not looking: {:?} of {took:?}", cost.get());
}
