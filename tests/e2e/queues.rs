//! Waiting: who goes first, how many may wait, run and begin, until when, and what those who wait are told.

use std::time::{Duration, Instant};

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Controller, System, Tenant, until};
use serde_json::{Value, json};

use super::{acme, deployment, settings};

pub(super) fn id(job: &Value) -> String {
    text(job, "id").to_owned()
}

async fn submit_with(api: &Api, template: &str, options: Value) -> Value {
    let mut body = json!({"template": template, "parameters": {}});
    body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    api.post("/api/v1/jobs", &body).await.expect(202)
}

/// In so many milliseconds, as callers write times.
fn within(milliseconds: u64) -> String {
    use runwarden_kit::clock::{Clock as _, SystemClock};
    SystemClock.now().plus(Duration::from_millis(milliseconds)).rfc3339()
}

/// A template of which one job hangs, so that all others wait.
pub(super) async fn held_up() -> (Controller, System, Tenant, String) {
    let (controller, system, acme) = acme(&settings()).await;
    let settings = json!({"parameters": {"type": "object", "properties": {}}, "max_concurrent": 1});
    acme.map_with("one", "hangs", settings).await;
    let first = id(&acme.launcher.submit("one", json!({})).await);
    acme.launcher.becomes(&first, "running").await;
    (controller, system, acme, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_told_their_place_and_begin_in_that_order() {
    let (controller, _system, acme, first) = held_up().await;
    let mut waiting = Vec::new();
    for priority in ["low", "normal", "high"] {
        let job = submit_with(&acme.launcher, "one", json!({"priority": priority})).await;
        assert_eq!(text(&job, "priority"), priority, "{job}");
        waiting.push(id(&job));
    }
    for (job, position) in waiting.iter().zip([3, 2, 1]) {
        let job = acme.launcher.job(job).await;
        assert_eq!(job["queue"]["position"], position, "{job}");
        assert!(text(&job, "progress").contains("this template has reached its limit of jobs in progress"), "{job}");
    }
    let mut runs = vec![first];
    for next in waiting.iter().rev() {
        let run = *controller.launches("hangs").last().unwrap();
        controller.finish_run(run, "successful").await;
        acme.launcher.becomes(next, "running").await;
        runs.push(next.clone());
    }
    assert!(acme.launcher.job(&waiting[0]).await.get("queue").is_none(), "who runs waits no more");
    assert_eq!(controller.launches("hangs").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let (_controller, _system, acme, _first) = held_up().await;
    let _changed = acme.admin.patch("/api/v1/templates/one", &json!({"max_queued": 2})).await.expect(200);
    for _ in 0..2 {
        let _waits = acme.launcher.submit("one", json!({})).await;
    }
    let refused = acme.launcher.post("/api/v1/jobs", &json!({"template": "one"})).await;
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");
    refused.refused(429, "QUEUE_FULL");
    // What is refused leaves nothing behind, and room makes room.
    let jobs = acme.launcher.all("/api/v1/jobs?state=new").await;
    assert_eq!(jobs.len(), 2);
    let _gone = acme.launcher.act(&format!("/api/v1/jobs/{}/cancel", text(&jobs[0], "id"))).await.expect(202);
    let _waits = acme.launcher.submit("one", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_begun_in_time_ends_as_expired_and_is_never_launched() {
    let (controller, _system, acme, first) = held_up().await;
    let soon = submit_with(&acme.launcher, "one", json!({"start_by": within(1500)})).await;
    let _changed = acme.admin.patch("/api/v1/templates/one", &json!({"max_wait_seconds": 1})).await.expect(200);
    let by_template = submit_with(&acme.launcher, "one", json!({})).await;
    assert!(!text(&by_template, "start_by").is_empty(), "{by_template}");
    for job in [id(&soon), id(&by_template)] {
        let job = acme.launcher.over(&job).await;
        assert_eq!((text(&job, "state"), text(&job, "reason")), ("error", "expired"), "{job}");
    }
    controller.finish_all("successful").await;
    assert_eq!(text(&acme.launcher.over(&first).await, "state"), "succeeded");
    assert_eq!(controller.launches("hangs").len(), 1);
    // What is wrong about times is said at once.
    let past = json!({"template": "one", "start_by": "2020-01-01T00:00:00Z"});
    let problem = acme.launcher.post("/api/v1/jobs", &past).await.refused(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["pointer"], "/start_by", "{problem}");
    let far = json!({"template": "one", "start_at": "2090-01-01T00:00:00Z"});
    acme.launcher.post("/api/v1/jobs", &far).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_job_is_not_begun_before_its_time() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let begun = Instant::now();
    let body = json!({"template": "deploy", "parameters": deployment(), "start_at": within(2500)});
    let job = acme.launcher.post("/api/v1/jobs", &body).await.expect(202);
    let waiting = acme.launcher.job(text(&job, "id")).await;
    assert_eq!(text(&waiting, "state"), "new", "{waiting}");
    assert!(!text(&waiting["queue"], "expected_start_at").is_empty(), "{waiting}");
    // One that may begin at once does not wait for it.
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    let job = acme.launcher.over(text(&job, "id")).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert!(begun.elapsed() >= Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert_eq!(controller.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_ask_for_less_time_than_its_template_allows() {
    let (_controller, _system, acme) = acme(&settings()).await;
    let settings = json!({"parameters": {"type": "object", "properties": {}}, "max_duration_seconds": 60});
    acme.map_with("hangs", "hangs", settings).await;
    let more = json!({"template": "hangs", "max_duration_seconds": 61});
    acme.launcher.post("/api/v1/jobs", &more).await.refused(422, "VALIDATION_FAILED");
    let job = submit_with(&acme.launcher, "hangs", json!({"max_duration_seconds": 1})).await;
    let job = acme.launcher.over(&id(&job)).await;
    assert_eq!((text(&job, "state"), text(&job, "reason")), ("canceled", "duration_exceeded"), "{job}");
}

/// How many jobs of a template are begun when all of its jobs would run for ever.
async fn begun(acme: &Tenant, jobs: &[String], wanted: usize) {
    let running = async || acme.launcher.all("/api/v1/jobs?state=running").await.len();
    until("as many to run as may", async || (running().await == wanted).then_some(())).await;
    // Those that wait say what for, and that is final until something changes.
    until("the others to be told what they wait for", async || {
        let mut told = 0;
        for job in jobs {
            let job = acme.launcher.job(job).await;
            told += usize::from(text(&job, "state") == "new" && text(&job, "progress").starts_with("waiting"));
        }
        (told == jobs.len() - wanted).then_some(())
    })
    .await;
    assert_eq!(running().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_under_way_than_controller_principal_and_period_allow() {
    let limits: [(&str, Value); 3] = [
        ("/api/v1/controllers/awx", json!({"max_concurrent": 2})),
        ("/api/v1/templates/hangs", json!({"rate": {"jobs": 2, "period_seconds": 3600}})),
        ("/api/v1/tenants/acme", json!({"principal_max_concurrent": 2})),
    ];
    for (what, limit) in limits {
        let (controller, _system, acme) = acme(&settings()).await;
        acme.map_bare("hangs", "hangs").await;
        let _limited = acme.platform.patch(what, &limit).await.expect(200);
        let mut jobs = Vec::new();
        for _ in 0..4 {
            jobs.push(id(&acme.launcher.submit("hangs", json!({})).await));
        }
        begun(&acme, &jobs, 2).await;
        assert_eq!(controller.launches("hangs").len(), 2, "{what}");
        let other = acme.caller("other", Some("web"), &["launcher"]).await;
        let another = id(&other.submit("hangs", json!({})).await);
        if what.contains("tenants") {
            // The limit is each principal's own.
            other.becomes(&another, "running").await;
        } else {
            let waits = other.job(&another).await;
            assert_eq!(text(&waits, "state"), "new", "{what}: {waits}");
        }
        // Who raises the limit does not have to wait for anything to end.
        let more =
            json!({"max_concurrent": 0, "principal_max_concurrent": 0, "rate": {"jobs": 0, "period_seconds": 1}});
        let field = limit.as_object().unwrap().keys().next().unwrap();
        let _raised = acme.platform.patch(what, &json!({field: more[field]})).await.expect(200);
        for job in &jobs {
            acme.launcher.becomes(job, "running").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_much_to_do_does_not_hold_up_another() {
    // One place, so that turns can be seen.
    let settings = settings().set("RUNWARDEN_EXECUTOR_LAUNCHES_AT_ONCE", "1");
    let system = System::start(&settings).await;
    let controller = Controller::start().await;
    let busy = Tenant::onboard(system.reach(), "busy", &controller).await;
    let quiet = Tenant::onboard(system.reach(), "quiet", &controller).await;
    for tenant in [&busy, &quiet] {
        tenant.map("deploy", "deploy").await;
    }
    controller
        .order(json!({"method": "POST", "path": "/launch", "times": 60, "fault": {"kind": "slow", "ms": 150}}))
        .await;
    let mut last = String::new();
    for _ in 0..40 {
        last = id(&busy.launcher.submit("deploy", deployment()).await);
    }
    for _ in 0..3 {
        let job = quiet.launcher.run("deploy", deployment()).await;
        assert_eq!(text(&job, "state"), "succeeded", "{job}");
    }
    let last = busy.launcher.job(&last).await;
    assert_eq!(text(&last, "state"), "new", "the quiet one did not wait for all of the busy one's jobs: {last}");
}
