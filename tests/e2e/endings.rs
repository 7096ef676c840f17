//! Every kind of run, and every way it can end, comes to the right state with a readable reason.

use std::time::{Duration, Instant};

use runwarden_harness::jobs::text;
use runwarden_harness::{Controller, System, Tenant};
use runwarden_sandbox::Options;
use serde_json::{Value, json};

use super::{acme, deployment, settings};

#[tokio::test(flavor = "multi_thread")]
async fn each_way_a_run_ends_has_its_state_and_reason() {
    let (controller, _system, acme) = acme(&settings()).await;
    let cases = [
        ("plain", "succeeded", "", "successful"),
        ("fails", "failed", "playbook_failed", "failed"),
        ("errors", "error", "run_error", "error"),
        ("sliced", "succeeded", "", "successful"),
        ("release", "succeeded", "", "successful"),
        ("release-fails", "failed", "playbook_failed", "failed"),
        ("one-at-a-time", "succeeded", "", "successful"),
        ("preset", "succeeded", "", "successful"),
    ];
    let mut jobs = Vec::new();
    for (template, ..) in cases {
        acme.map_bare(template, template).await;
        jobs.push(text(&acme.launcher.submit(template, json!({})).await, "id").to_owned());
    }
    for ((template, state, reason, status), id) in cases.into_iter().zip(jobs) {
        let job = acme.launcher.over(&id).await;
        assert_eq!((text(&job, "state"), text(&job, "reason")), (state, reason), "{template}: {job}");
        assert_eq!(job["outcome"]["status"], status, "{template}: {job}");
        assert_eq!(reason.is_empty(), text(&job, "reason_detail").is_empty(), "{template}: {job}");
        assert_eq!(controller.launches(template).len(), 1, "{template}");
        let output = acme.launcher.output(&id).await;
        assert!(template == "errors" || !output.is_empty(), "{template} printed something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_what_the_controller_has_to_the_byte() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    let run = runwarden_harness::until("the run to run", async || {
        let run = *controller.launches("hangs").first()?;
        (controller.run(run).await["status"] == "running").then_some(run)
    })
    .await;
    let silent = async || acme.launcher.output(&id).await.contains("TASK [Wait]").then_some(());
    let _watched = acme.launcher.follow(&id, None).await;
    runwarden_harness::until("it to have printed all it prints by itself", silent).await;
    let line = "é".repeat(300_000);
    controller.print(run, &format!("one\r\n\r\n10%\r20%\r\tC:\\dir ✓\r\n{line}\r\nlast\r\n")).await;
    controller.finish_run(run, "successful").await;
    let job = acme.launcher.over(&id).await;
    assert_eq!(
        (&job["output_truncated"], &job["output_incomplete"]),
        (&json!(false), &json!(false)),
        "{}",
        job["state"]
    );
    let kept = acme.launcher.get(&format!("/api/v1/jobs/{id}/output")).await;
    assert_eq!((kept.header("x-output-truncated"), kept.header("x-output-incomplete")), ("false", "false"));
    assert!(kept.text.ends_with(&format!("one\n\n10%\n20%\n\tC:\\dir ✓\n{line}\nlast\n")), "{} bytes", kept.text.len());
    let events = acme.launcher.follow(&id, None).await.rest().await;
    assert!(runwarden_harness::events::printed(&events) == kept.text, "events carry the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_workflow_are_in_its_outcome() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("release-fails", "release-fails").await;
    let job = acme.launcher.run("release-fails", json!({})).await;
    let steps = job["outcome"]["steps"].as_array().unwrap();
    assert!(steps[0]["run"].is_u64(), "{job}");
    let told: Vec<_> = steps.iter().map(|s| (text(s, "name"), text(s, "status"), s["handled"] == true)).collect();
    assert_eq!(told, [("fails", "failed", false), ("never", "skipped", false)], "{job}");
    assert!(text(&job, "reason_detail").contains("step \"fails\""), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_controller_lost_says_so() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    let run = runwarden_harness::until("the run to run", async || {
        let run = *controller.launches("hangs").first()?;
        (controller.run(run).await["status"] == "running").then_some(run)
    })
    .await;
    controller.reap(run).await;
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("failed", "lost"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_backwards_does_not_take_its_job_with_it() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    controller.order(json!({"fault": {"kind": "backwards"}})).await;
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    let events = acme.launcher.follow(&id, None).await.rest().await;
    let order = ["new", "launching", "running", "succeeded"];
    let places: Vec<usize> = events
        .iter()
        .filter(|event| event.name == "state")
        .map(|event| order.iter().position(|state| *state == text(&event.data, "state")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(places.last(), Some(&3));
    assert_eq!(controller.run(controller.launches("deploy")[0]).await["starts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_refuses_ends_the_job_with_its_words() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let words = json!({"detail": "You do not have permission to perform this action."});
    controller.at_next_launch(json!({"kind": "refused", "status": 403, "json": words})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "controller_refused"), "{job}");
    assert!(text(&job, "reason_detail").contains("You do not have permission"), "{job}");
    assert_eq!(controller.launched(), 0);
    // Gone is gone: the next one works.
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_cannot_be_launched_cannot_be_mapped() {
    let (_controller, _system, acme) = acme(&settings()).await;
    for template in ["no-inventory", "asks-password", "restricted"] {
        let settings = json!({"parameters": {"type": "object", "properties": {}}});
        let answer =
            acme.admin.post("/api/v1/templates", &runwarden_harness::tenant::mapping("t", template, settings)).await;
        assert_eq!(answer.status, 422, "{template}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_arrive_where_they_belong() {
    let (controller, _system, acme) = acme(&settings()).await;
    let schema: Value = json!({"type": "object", "properties": {
        "limit": {"type": "string"}, "who": {"type": "string"},
        "hosts": {"type": "array", "items": {"type": "string"}},
    }});
    acme.map_with("ask", "ask-everything", json!({"parameters": schema, "fixed": {"region": "eu", "verbosity": 2}}))
        .await;
    let job = acme.launcher.run("ask", json!({"limit": "localhost", "who": "{{ lookup }}", "hosts": ["a", "b"]})).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    let run = controller.run(controller.launches("ask-everything")[0]).await;
    assert_eq!(run["limit"], "localhost");
    assert_eq!(run["extra_vars"]["who"], "{{ lookup }}");
    assert_eq!(run["extra_vars"]["hosts"], json!(["a", "b"]));
    assert_eq!(run["extra_vars"]["region"], "eu");
    let wrong = json!({"template": "ask", "parameters": {"region": "us", "verbosity": 5, "nothing": 1}});
    let refused = acme.launcher.post("/api/v1/jobs", &wrong).await.refused(422, "PARAMETERS_INVALID");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 3, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_behind_the_platform_gateway_of_aap_works_the_same() {
    let options = Options { api_root: "/api/controller/v2".to_owned(), ..Options::default() };
    let controller = Controller::start_with(Options { speed: 20.0, ..options }).await;
    let system = System::start(&settings()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    acme.map_bare("release", "release").await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert!(acme.launcher.output(text(&job, "id")).await.contains("PLAY RECAP"));
    assert_eq!(text(&acme.launcher.run("release", json!({})).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_kept_up_to_a_limit_and_read_from_anywhere() {
    let (_controller, _system, acme) = acme(&settings().set("RUNWARDEN_EXECUTOR_OUTPUT_LIMIT", "100000")).await;
    acme.map_bare("prints-a-lot", "prints-a-lot").await;
    acme.map("deploy", "deploy").await;
    let long = acme.launcher.run("prints-a-lot", json!({})).await;
    assert_eq!(text(&long, "state"), "succeeded", "{long}");
    let path = format!("/api/v1/jobs/{}/output", text(&long, "id"));
    let kept = acme.launcher.get(&path).await;
    assert_eq!((kept.status, kept.header("x-output-truncated")), (200, "true"));
    assert!((90_000..=110_000).contains(&kept.text.len()), "{} bytes", kept.text.len());
    let last = kept.text.lines().last().unwrap();
    assert!(last.starts_with("[Runwarden: the output is cut here"), "{last}");
    assert_eq!((&long["output_truncated"], &long["output_incomplete"]), (&json!(true), &json!(false)));
    let rest = acme.launcher.get(&format!("{path}?offset=5000")).await;
    assert_eq!(rest.text, kept.text[5000..]);
    let short = acme.launcher.run("deploy", deployment()).await;
    let whole = acme.launcher.get(&format!("/api/v1/jobs/{}/output", text(&short, "id"))).await;
    assert_eq!((whole.status, whole.header("x-output-truncated")), (200, "false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_large_output_arrives() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("prints-a-lot", "prints-a-lot").await;
    let job = acme.launcher.run("prints-a-lot", json!({})).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    let output = acme.launcher.output(text(&job, "id")).await;
    assert!(output.len() > 3_000_000, "{} bytes", output.len());
    assert!(output.starts_with("\nPLAY [") || output.contains("PLAY ["), "it has its beginning");
    assert!(output.contains("PLAY RECAP"), "it has its end");
    let events = acme.launcher.follow(text(&job, "id"), None).await.rest().await;
    assert!(runwarden_harness::events::printed(&events) == output, "events carry the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_job_ends_with_it_or_with_patience() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    let begun = Instant::now();
    let job = acme.launcher.get(&format!("/api/v1/jobs/{id}?wait=1")).await.expect(200);
    assert!(["new", "launching", "running"].contains(&text(&job, "state")), "{job}");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let path = format!("/api/v1/jobs/{id}?wait=60");
    let cancel = format!("/api/v1/jobs/{id}/cancel");
    let (waited, asked) = tokio::join!(acme.launcher.get(&path), acme.launcher.act(&cancel));
    let (waited, _asked) = (waited.expect(200), asked.expect(202));
    assert_eq!(text(&waited, "state"), "canceled", "{waited}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for wrong in ["61", "-1", "soon"] {
        acme.launcher.get(&format!("/api/v1/jobs/{id}?wait={wrong}")).await.refused(422, "VALIDATION_FAILED");
    }
}
