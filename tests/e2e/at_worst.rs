//! A controller at its worst: down, upgrading, locked, confused about the time, answering nonsense. Jobs wait or go on,
//! nothing is launched twice, and nobody else's jobs are slowed.

use std::time::{Duration, Instant};

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, System, Tenant, until};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

/// Every odd answer to a launch that was acted upon: one launch, and the job runs to its end.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_answer_to_a_launch_looks_like_there_is_one_launch() {
    let answers = [
        json!({"kind": "status", "status": 504, "after": true}),
        json!({"kind": "status", "status": 502, "after": true}),
        json!({"kind": "cut", "after_bytes": 20}),
        json!({"kind": "huge"}),
        json!({"kind": "garbage"}),
    ];
    let system = System::start(&settings().impatient()).await;
    let controller = Controller::start().await;
    for (n, answer) in answers.into_iter().enumerate() {
        let tenant = Tenant::onboard(system.reach(), &format!("t{n}"), &controller).await;
        for (name, template, parameters) in [("deploy", "deploy", deployment()), ("plain", "plain", json!({}))] {
            let bare = json!({"parameters": if name == "deploy" { json!("import") } else { json!({"type": "object", "properties": {}}) }});
            tenant.map_with(name, template, bare).await;
            let before = controller.launches(template).len();
            controller.at_next_launch(answer.clone()).await;
            let job = tenant.launcher.run(name, parameters).await;
            assert_eq!(text(&job, "state"), "succeeded", "{answer}: {job}");
            assert_eq!(controller.launches(template).len(), before + 1, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_is_dropped_on_the_way_does_not_lead_to_a_second_launch() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map_bare("vars", "ask-variables").await;
    controller.at_next_launch(json!({"kind": "drop_marker", "lose": true})).await;
    let id = text(&acme.launcher.submit("vars", json!({})).await, "id").to_owned();
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "unknown", "its run carries nothing to know it by: {job}");
    assert_eq!(controller.launches("ask-variables").len(), 1, "never another launch on a guess");
    let run = controller.launches("ask-variables")[0];
    let said = json!({"action": "bind", "run": run, "reason": "the only one"});
    let _bound = acme.admin.post(&format!("/api/v1/jobs/{id}/resolve"), &said).await.expect(202);
    assert_eq!(text(&acme.launcher.over(&id).await, "state"), "succeeded");
    // Answered, it is the run that was asked for, and the record says that it lacks the marker.
    controller.at_next_launch(json!({"kind": "drop_marker"})).await;
    let job = acme.launcher.run("vars", json!({})).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    let trail = acme.admin.trail(text(&job, "id")).await;
    let bound = trail.iter().find(|record| text(record, "action") == "job.bind").unwrap();
    assert_eq!(bound["details"]["marker_took"], false, "{bound}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_by_a_launch_whose_answer_was_lost_is_found_out_and_stopped() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    let schema = json!({"type": "object", "properties": {"limit": {"type": "string"}}});
    acme.map_with("ask", "ask-everything", json!({"parameters": schema})).await;
    // Somebody stops prompting for the limit between the look at the template and the launch.
    controller
        .order(json!({"method": "POST", "path": "/launch", "fault": {"kind": "drop_marker", "lose": true}}))
        .await;
    let id = text(&acme.launcher.submit("ask", json!({"limit": "localhost"})).await, "id").to_owned();
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "unknown", "{job}");
    assert_eq!(controller.launches("ask-everything").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_by_minutes_hides_no_launch() {
    for offset in [-600_000, 600_000] {
        let (controller, _system, acme) = acme(&settings().impatient()).await;
        acme.map("deploy", "deploy").await;
        acme.map_bare("plain", "plain").await;
        controller.set_clock(offset).await;
        for (template, parameters) in [("deploy", deployment()), ("plain", json!({}))] {
            controller.at_next_launch(json!({"kind": "lose_after"})).await;
            let job = acme.launcher.run(template, parameters).await;
            assert_eq!(text(&job, "state"), "succeeded", "{offset}: {job}");
            assert_eq!(controller.launches(template).len(), 1, "{offset}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_accepted_any_more_makes_jobs_wait_not_fail() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    acme.map_bare("hangs", "hangs").await;
    let running = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&running, "running").await;
    controller.lock_account("runwarden").await;
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    until("the job to be told", async || {
        let job = acme.launcher.job(&id).await;
        assert_eq!(text(&job, "state"), "new", "{job}");
        text(&job, "progress").contains("credential").then_some(())
    })
    .await;
    until("what runs to be told as not known, and not as lost", async || {
        let job = acme.launcher.job(&running).await;
        assert_eq!(text(&job, "state"), "running", "{job}");
        text(&job, "progress").contains("nothing is known of its run since").then_some(())
    })
    .await;
    // The password is changed there, and then here.
    let token = controller.rotate_token("runwarden").await;
    controller.unlock_account("runwarden").await;
    let _mended =
        acme.admin.patch("/api/v1/controllers/awx", &json!({"credential": {"token": token}})).await.expect(200);
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    controller.finish_all("successful").await;
    assert_eq!(text(&acme.launcher.over(&running).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_waited_out_and_redirects_are_never_followed() {
    let (controller, _system, acme) = acme(&settings().impatient()).await;
    acme.map("deploy", "deploy").await;
    controller.order(json!({"times": 4, "fault": {"kind": "migrating"}})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launched(), 1);
    controller.reset_requests().await;
    let trap = format!("{}/trap/", controller.sandbox().url());
    controller.at_next_launch(json!({"kind": "redirect", "location": trap})).await;
    let job = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&job, "state"), "succeeded", "a log-in page refuses nothing: {job}");
    assert_eq!(controller.requests_to("/trap/").await, 0);
    assert_eq!(controller.launched(), 2);
}

/// What a proxy says before it passes anything on: at the look at the template, then at the launch.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_somebody_in_front_says_instead_of_the_controller_is_waited_out() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let log_in = "https://login.example/?next=/migrations_notran/";
    let at_reading = [
        json!({"kind": "redirect", "location": log_in}),
        json!({"kind": "status", "status": 200}),
        json!({"kind": "status", "status": 403}),
        json!({"kind": "status", "status": 403, "json": {"message": "forbidden"}}),
        json!({"kind": "status", "status": 404, "json": {"message": "no Route matched with those values"}}),
        json!({"kind": "status", "status": 451}),
        json!({"kind": "status", "status": 429, "retry_after": 1}),
    ];
    for (n, fault) in at_reading.into_iter().enumerate() {
        controller.order(json!({"method": "GET", "path": "/job_templates/", "fault": fault})).await;
        let job = acme.launcher.run("deploy", deployment()).await;
        assert_eq!(text(&job, "state"), "succeeded", "{fault}: {job}");
        assert_eq!((controller.launched(), controller.faults_due().await), (n + 1, 0), "{fault}");
    }
    let before = controller.launched();
    let at_launch = [413, 429, 431].map(|status| json!({"kind": "status", "status": status}));
    for (n, fault) in at_launch.into_iter().enumerate() {
        controller.at_next_launch(fault.clone()).await;
        let job = acme.launcher.run("deploy", deployment()).await;
        assert_eq!(text(&job, "state"), "succeeded", "{fault}: {job}");
        assert_eq!((controller.launched(), controller.faults_due().await), (before + n + 1, 0), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_down_is_left_alone_and_slows_nobody() {
    let system = System::start(&settings()).await;
    let (works, broken) = (Controller::start().await, Controller::start().await);
    let fine = Tenant::onboard(system.reach(), "fine", &works).await;
    let down = Tenant::onboard(system.reach(), "down", &broken).await;
    for tenant in [&fine, &down] {
        tenant.map("deploy", "deploy").await;
    }
    let fault = json!({"path": "/api/v2/", "times": 1_000_000, "fault": {"kind": "status", "status": 502}});
    broken.order(fault).await;
    broken.reset_requests().await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(text(&down.launcher.submit("deploy", deployment()).await, "id").to_owned());
    }
    let begun = Instant::now();
    until("it to be left alone", async || {
        let job = down.launcher.job(waiting.last().unwrap()).await;
        assert_eq!(text(&job, "state"), "new", "{job}");
        text(&job, "progress").contains("502").then_some(())
    })
    .await;
    for _ in 0..5 {
        let at = Instant::now();
        assert_eq!(text(&fine.launcher.run("deploy", deployment()).await, "state"), "succeeded");
        assert!(at.elapsed() < Duration::from_secs(20), "{:?}", at.elapsed());
    }
    let asked: u64 = total(&broken.requests().await);
    let most = 30 + 4 * begun.elapsed().as_secs();
    assert!(asked < most, "50 jobs that wait asked it {asked} times in {:?}", begun.elapsed());
    broken.clear_faults().await;
    for job in &waiting {
        let job = down.launcher.over(job).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
    }
    assert_eq!(broken.launches("deploy").len(), 50);
}

fn total(requests: &Value) -> u64 {
    requests["items"].as_array().into_iter().flatten().filter_map(|item| item["count"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_deleted_there_is_lost_and_one_poisoned_run_holds_up_no_other() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned());
    }
    for id in &ids {
        acme.launcher.becomes(id, "running").await;
    }
    let runs = controller.launches("hangs");
    controller.delete_run(runs[0]).await;
    controller.finish_run(runs[1], "successful").await;
    let mut ends = Vec::new();
    for id in &ids {
        let job = acme.launcher.over(id).await;
        ends.push((text(&job, "state").to_owned(), text(&job, "reason").to_owned()));
    }
    ends.sort();
    assert_eq!(ends[0], ("failed".to_owned(), "lost".to_owned()));
    assert_eq!(ends[1].0, "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_stopped_by_hand_says_so() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    let run = controller.launches("hangs")[0];
    let sandbox = Api::with_token(&controller.sandbox().url(), &controller.sandbox().token());
    let asked = sandbox.post(&format!("/api/v2/jobs/{run}/cancel/"), &json!({})).await;
    assert!(asked.status < 300, "{}", asked.text);
    let job = acme.launcher.over(&id).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("canceled", "canceled_on_controller"), "{job}");
}
