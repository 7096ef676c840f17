//! From deliveries to jobs.

use std::sync::atomic::Ordering;

use aws_lc_rs::hmac;
use runwarden_engines::idempotency::Repeat;
use tokio::task::JoinSet;

use super::fakes::Broken;
use super::*;
use crate::config::TerraformOf;
use crate::hook::HookUpdate;
use crate::inbox::delivery::Arrival;
use crate::inbox::look::Sample;
use crate::inbox::parameters::Remembered;

#[tokio::test]
async fn a_delivery_becomes_one_job_with_what_the_mapping_made() {
    let world = world().await;
    world.hook("a", "ref-7").await;
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let delivery = world.get(&id).await;
    assert_eq!(stands(&delivery), (DeliveryState::Submitted, None));
    assert_eq!(delivery.job.as_deref(), Some("job_1"));
    let names: Vec<&str> = delivery.steps.iter().map(|step| step.name.as_str()).collect();
    let all = ["received", "verified", "deduplicated", "filtered", "mapped", "validated", "decided", "submitted"];
    assert_eq!(names, all);
    let jobs = world.others.jobs.lock().unwrap().clone();
    let (key, (_, parameters)) = jobs.iter().next().unwrap();
    assert_eq!((key.as_str(), &parameters["after"]), (&*format!("hook:a:{id}"), &"s3cr3t-value".into()));
    assert_eq!(delivery.asked.unwrap().reference, "ref-7");
    assert_eq!(world.recorded("delivery.submit").await[0].object_id, id);
}

#[tokio::test]
async fn what_is_write_only_reaches_the_executor_and_is_kept_and_shown_to_nobody() {
    let world = world().await;
    world.hook("a", "ref-7").await;
    world.others.write_only.lock().unwrap().push("after".to_owned());
    // The process dies, or the executor is away, after the mapping: what was sealed is opened again.
    world.others.answers.lock().unwrap().push_back(away());
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let kept = world.get(&id).await;
    assert_eq!(kept.state, DeliveryState::Mapped);
    assert_eq!(kept.asked.as_ref().unwrap().parameters["after"], serde_json::json!({"set": true}));
    assert!(!serde_json::to_string(&kept).unwrap().contains("s3cr3t-value"), "{kept:?}");
    world.pass(Duration::from_secs(60));
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::Submitted, None));
    let second = world.deliver("a", "2").await.id;
    world.work().await;
    assert_eq!(stands(&world.get(&second).await), (DeliveryState::Submitted, None));
    assert!(!serde_json::to_string(&world.get(&second).await).unwrap().contains("s3cr3t-value"));
    for (_, parameters) in world.others.jobs.lock().unwrap().values() {
        assert_eq!(parameters["after"], "s3cr3t-value");
    }
    let tried = world.deliveries.test(&admin(), "a", Sample::Stored(id), None).await.unwrap();
    assert_eq!(tried.parameters["after"], serde_json::json!({"set": true}));
}

#[tokio::test]
async fn what_waits_for_the_executor_is_mapped_once_and_opened_once() {
    let mut world = world().await;
    world.hook("a", "m").await;
    world.others.write_only.lock().unwrap().push("after".to_owned());
    *world.others.write_only_away.lock().unwrap() = true;
    world.others.answers.lock().unwrap().extend((0..100).map(|_| away()));
    let id = world.deliver("a", "1").await.id;
    for _ in 0..5 {
        world.work().await;
        world.pass(Duration::from_secs(600));
    }
    let kept = world.get(&id).await;
    assert_eq!((kept.state, kept.tries), (DeliveryState::Mapped, 5));
    assert!(!serde_json::to_string(&kept).unwrap().contains("s3cr3t-value"), "what may be write-only is sealed");
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::SeqCst);
    assert_eq!((count(&world.others.runs), count(&world.others.opens)), (1, 0));
    // The process dies.
    Arc::get_mut(&mut world.worker).unwrap().remembered = Remembered::default();
    for _ in 0..3 {
        world.work().await;
        world.pass(Duration::from_secs(600));
    }
    assert_eq!(count(&world.others.opens), 1);
    world.others.answers.lock().unwrap().clear();
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::Submitted, None));
    assert_eq!(world.others.jobs.lock().unwrap().values().next().unwrap().1["after"], "s3cr3t-value");
    assert_eq!(count(&world.others.opens), 1);
}

#[tokio::test]
async fn parameters_for_which_there_is_no_room_wait() {
    let mut world = world().await;
    world.hook("a", "m").await;
    let large = format!("{{\"after\":\"{}\"}}", "x".repeat(200_000));
    world.others.answers.lock().unwrap().push_back(away());
    for id in ["1", "2"] {
        assert_eq!(world.send("a", push(KEY, id, large.as_bytes())).await.status, 202);
    }
    // Both bodies, and the parameters of one.
    Arc::get_mut(&mut world.worker).unwrap().limits.bytes = 750_000;
    world.work().await;
    let states = async || world.all("a").await.iter().map(|delivery| delivery.state).collect::<Vec<_>>();
    let mut one_waits = states().await;
    one_waits.sort_by_key(|state| state.name());
    assert_eq!(one_waits, [DeliveryState::Mapped, DeliveryState::Received]);
    for _ in 0..2 {
        world.pass(Duration::from_secs(60));
        world.work().await;
    }
    assert_eq!(states().await, [DeliveryState::Submitted, DeliveryState::Submitted]);
}

#[tokio::test]
async fn nothing_is_kept_of_parameters_for_a_template_that_is_not_there() {
    let world = world().await;
    world.create(NewHook { template: "gone".into(), ..github("a", "ref-7") }).await.unwrap();
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let delivery = world.get(&id).await;
    assert_eq!(stands(&delivery), (DeliveryState::Refused, Some("NOT_FOUND")));
    assert_eq!((step(&delivery, "submitted"), delivery.asked), ("failed: There is no such template.".to_owned(), None));
}

#[tokio::test]
async fn what_is_not_wanted_or_cannot_be_mapped_asks_for_nothing() {
    let world = world().await;
    for (module, state, reason) in
        [("none", DeliveryState::Filtered, None), ("fails", DeliveryState::Refused, Some("MAPPING_FAILED"))]
    {
        world.hook(module, module).await;
        let id = world.deliver(module, "1").await.id;
        world.work().await;
        assert_eq!(stands(&world.get(&id).await), (state, reason));
    }
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 0);
    assert_eq!(world.recorded("delivery.filter").await.len(), 1);
    assert_eq!(world.recorded("delivery.refuse").await.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let world = world().await;
    world.hook("a", "").await;
    let wrong = Error::new(ErrorReason::ParametersInvalid, "The parameters do not fit.").with_field("/n", "is missing");
    let denied = Error::new(ErrorReason::PolicyDenied, "Not on Fridays.");
    for (answer, name, told) in [
        (wrong, "validated", "failed: The parameters do not fit. (/n is missing)"),
        (denied, "decided", "no: Not on Fridays."),
        (Error::not_found("template"), "submitted", "failed: There is no such template."),
    ] {
        let (reason, sender_id) = (answer.reason(), format!("{name}-1"));
        world.others.answers.lock().unwrap().push_back(answer);
        let id = world.deliver("a", &sender_id).await.id;
        world.work().await;
        let delivery = world.get(&id).await;
        assert_eq!(step(&delivery, name), told);
        assert_eq!(delivery.state, DeliveryState::Refused, "{reason:?}");
        world.pass(Duration::from_secs(3600));
        world.work().await;
    }
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 3, "nothing is asked twice");
}

#[tokio::test]
async fn what_is_away_is_asked_again_with_growing_pauses_and_then_given_up() {
    let world = world().await;
    world.hook("a", "").await;
    world.others.answers.lock().unwrap().extend((0..6).map(|_| away()));
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let mut pauses = Vec::new();
    while world.get(&id).await.due_at.is_some() && pauses.len() < 6 {
        let pause = world.get(&id).await.due_at.unwrap().since(world.clock.now());
        pauses.push(pause);
        world.pass(pause);
        world.work().await;
    }
    // The first two are as long as the refusal asks for.
    assert!(pauses[1..].windows(2).all(|two| two[0] < two[1]) && pauses[5] > 8 * pauses[0], "{pauses:?}");
    let delivery = world.get(&id).await;
    assert_eq!(stands(&delivery), (DeliveryState::Submitted, None));
    assert_eq!(step(&delivery, "submitted"), "ok: job_1");

    world.others.answers.lock().unwrap().extend((0..2).map(|_| away()));
    let id = world.deliver("a", "2").await.id;
    world.work().await;
    world.pass(Duration::from_secs(13 * 3600));
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::GivenUp, Some("GIVEN_UP")));
}

#[tokio::test]
async fn what_was_mapped_is_submitted_as_it_was_whatever_the_hook_says_since() {
    let world = world().await;
    world.hook("a", "one").await;
    world.others.answers.lock().unwrap().push_back(away());
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    assert_eq!(world.get(&id).await.state, DeliveryState::Mapped);
    let change = HookUpdate {
        module: Some("none".into()),
        template: Some("other".into()),
        client_id: Some("client_2".into()),
        ..HookUpdate::default()
    };
    world.hooks.update(&admin(), "a", change).await.unwrap();
    world.pass(Duration::from_secs(60));
    world.work().await;
    let asked = world.get(&id).await.asked.unwrap();
    assert_eq!(
        (asked.template.as_str(), asked.client_id.as_str(), asked.reference.as_str()),
        ("deploy", "client_1", "one")
    );
    assert_eq!(world.get(&id).await.state, DeliveryState::Submitted);
}

#[tokio::test]
async fn what_may_have_been_submitted_long_ago_is_left_to_a_person() {
    let world = world().await;
    world.hook("a", "").await;
    world.others.answers.lock().unwrap().push_back(away());
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    // The process was away for days: the executor may have forgotten the key.
    let mut read = world.get(&id).await;
    read.tried_since = None;
    world.store.advance(read, Vec::new()).await.unwrap();
    world.pass(Duration::from_secs(3 * 24 * 3600));
    world.work().await;
    assert_eq!(world.get(&id).await.state, DeliveryState::GivenUp);
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_hook_that_is_gone_launches_nothing_even_if_another_has_its_name() {
    let world = world().await;
    world.hook("a", "").await;
    let id = world.deliver("a", "1").await.id;
    world.hooks.delete(&admin(), "a").await.unwrap();
    world.hook("a", "").await;
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::Refused, Some("HOOK_DELETED")));
    assert!(world.all("a").await.is_empty(), "the new hook has no deliveries");
}

#[tokio::test]
async fn no_tenant_keeps_all_workers_busy() {
    let world = world().await;
    world.hook("a", "away").await;
    for number in 0..8 {
        world.deliver("a", &number.to_string()).await;
    }
    world.work().await;
    assert!(world.all("a").await.iter().all(|delivery| delivery.tries == 1));
}

#[tokio::test]
async fn a_place_that_comes_free_is_for_the_tenant_whose_turn_it_is_whatever_its_name() {
    let world = world().await;
    world.hook("a", "").await;
    let ours = world.deliver("a", "1").await;
    let (first, other) = (TenantId::trusted("aaa"), TenantId::trusted("bbb"));
    let content = world.store.content(&ours.tenant, &ours.id).await.unwrap().unwrap();
    let theirs = Delivery { id: "dlv_aaa".into(), hook_id: "hook_aaa".into(), tenant: first.clone(), ..ours.clone() };
    let arrival = Arrival { delivery: theirs, content, entries: Vec::new() };
    world.store.take(vec![arrival], world.worker.limits.room(world.clock.now())).await.unwrap();
    // All places but one are taken.
    let turns = &world.worker.turns;
    for (delivery, tenant) in [("1", &first), ("2", &other), ("3", &other)] {
        assert!(turns.begin(delivery, tenant));
    }
    world.worker.begin(&mut JoinSet::new()).await.unwrap();
    assert_eq!((turns.own(&first), turns.own(&other), turns.own(&ours.tenant)), (1, 2, 1));
}

#[tokio::test]
async fn a_hook_that_is_switched_off_or_removed_stops_what_is_mapped_already() {
    let world = world().await;
    for name in ["off", "gone"] {
        world.hook(name, "").await;
    }
    world.others.answers.lock().unwrap().extend((0..2).map(|_| away()));
    let ids = [world.deliver("off", "1").await.id, world.deliver("gone", "1").await.id];
    world.work().await;
    let off = HookUpdate { disabled: Some(true), ..HookUpdate::default() };
    world.hooks.update(&admin(), "off", off).await.unwrap();
    world.hooks.delete(&admin(), "gone").await.unwrap();
    world.hook("gone", "").await;
    world.pass(Duration::from_secs(60));
    world.work().await;
    for (id, why) in ids.iter().zip(["disabled", "removed"]) {
        let delivery = world.get(id).await;
        // The first try may have reached the executor.
        assert_eq!(stands(&delivery), (DeliveryState::GivenUp, Some("GIVEN_UP")));
        assert!(delivery.reason_detail.unwrap().contains(why));
    }
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 2, "nothing is asked after that");
}

/// A run task that was just delivered.
async fn run_task(world: &World, settings: &str) -> String {
    let hook = NewHook { kind: "run_task".into(), settings: settings.into(), ..github("tasks", "x") };
    world.hooks.create(&admin(), hook, &Repeat::default()).await.unwrap();
    let body = serde_json::json!({"run_id": "run-1", "access_token": "t", "task_result_id": "taskrs-1", "after": "s3cr3t-value",
        "task_result_callback_url": "https://app.terraform.io/api/v2/task-results/1/callback",
        "plan_json_api_url": "https://app.terraform.io/api/v2/plans/1/json-output"});
    let body = body.to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, KEY.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = [("x-tfc-task-signature", hex.as_str()), ("content-type", "application/json")];
    let headers = headers.into_iter().collect::<Headers>();
    let answer = world.send("tasks", Received { headers, body: body.into_bytes(), ..push(KEY, "1", PUSH) }).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.all("tasks").await[0].id.clone()
}

#[tokio::test]
async fn a_run_task_for_which_terraform_no_longer_waits_is_never_submitted() {
    let world = world().await;
    let id = run_task(&world, "").await;
    // We are down until it is too late.
    world.pass(Duration::from_secs(57 * 60));
    world.work().await;
    let delivery = world.get(&id).await;
    assert_eq!(stands(&delivery), (DeliveryState::Refused, Some("RUN_TASK_OUT_OF_TIME")));
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 0);
    assert_eq!(world.recorded("delivery.refuse").await.len(), 1);
}

#[tokio::test]
async fn a_run_task_is_submitted_with_a_time_well_before_terraform_is_told_and_given_up_then() {
    let mut world = world().await;
    world.pass(Duration::from_micros(999_999));
    let arrived = world.clock.now();
    world.others.answers.lock().unwrap().extend((0..1000).map(|_| away()));
    let id = run_task(&world, "").await;
    // What is set afterwards is for those that come afterwards.
    let short = Config { run_task_wait: Duration::from_secs(60), ..Config::default() };
    Arc::get_mut(&mut world.worker).unwrap().reporting = short.reporting();
    world.work().await;
    let told = Moment::from_micros(arrived.seconds() * 1_000_000).plus(Duration::from_secs(57 * 60));
    let delivery = world.get(&id).await;
    assert_eq!(delivery.answer_by, Some(told));
    assert_eq!(delivery.asked.unwrap().start_by, Some(told.minus(Duration::from_secs(15))));
    while let Some(due) = world.get(&id).await.due_at {
        assert!(due <= told, "it is looked at in time");
        world.pass(due.since(world.clock.now()));
        world.work().await;
    }
    assert_eq!(world.clock.now(), told, "a launch that was begun in time may be under way until then");
    let delivery = world.get(&id).await;
    assert_eq!(delivery.state, DeliveryState::GivenUp);
    assert!(delivery.reason_detail.unwrap().contains("not begun any more"));
}

#[tokio::test]
async fn the_executor_says_at_last_that_no_job_was_made() {
    let world = world().await;
    world.others.answers.lock().unwrap().push_back(away());
    let id = run_task(&world, "").await;
    world.work().await;
    world.pass(Duration::from_secs(3600));
    let refused = Error::new(ErrorReason::ValidationFailed, "must be in the future");
    world.others.answers.lock().unwrap().push_back(refused);
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::Refused, Some("RUN_TASK_OUT_OF_TIME")));
}

#[tokio::test]
async fn nobody_is_told_that_nothing_was_run_where_an_earlier_try_may_have_made_a_job() {
    let world = world().await;
    world.create(NewHook { client_id: "client_goes".into(), ..github("a", "") }).await.unwrap();
    world.hook("b", "").await;
    let mut ids = Vec::new();
    for (hook, answer) in [("a", Error::new(ErrorReason::TokenRevoked, "It was revoked.")), ("b", away())] {
        world.others.answers.lock().unwrap().push_back(answer);
        ids.push(world.deliver(hook, "1").await.id);
        world.work().await;
    }
    // The executor may have made jobs of both. One's account is disabled, the other's may not submit any more.
    *world.others.gone.lock().unwrap() = Some("client_goes".to_owned());
    world.pass(Duration::from_secs(3600));
    world.others.answers.lock().unwrap().push_back(Error::denied("You lack jobs.submit."));
    world.work().await;
    for id in &ids {
        let delivery = world.get(id).await;
        assert_eq!(stands(&delivery), (DeliveryState::GivenUp, Some("GIVEN_UP")));
        assert!(delivery.reason_detail.unwrap().contains("A job may have been made of it"));
    }
    // The first try of another: nothing was asked before.
    world.others.answers.lock().unwrap().push_back(Error::denied("You lack jobs.submit."));
    let id = world.deliver("b", "2").await.id;
    world.work().await;
    assert_eq!(stands(&world.get(&id).await), (DeliveryState::Refused, Some("PERMISSION_DENIED")));
}

#[tokio::test]
async fn only_the_hook_that_stands_in_waits_as_its_environment_says() {
    let own = TerraformOf {
        tenant: "acme".into(),
        hook: "tasks".into(),
        allow: "".parse().unwrap(),
        ca_pem: String::new(),
        insecure: false,
        wait: Duration::from_secs(60),
        poll: Duration::from_secs(1),
        link: None,
    };
    for (tenant, seconds) in [("acme", 60), ("tfe-analytics", 57 * 60)] {
        let own = TerraformOf { tenant: tenant.to_owned(), ..own.clone() };
        let world = world_with(Config { own_terraform: Some(own), ..Config::default() }).await;
        let id = run_task(&world, "").await;
        let delivery = world.get(&id).await;
        let expected = delivery.received_at.plus(Duration::from_secs(seconds));
        assert_eq!(delivery.answer_by, Some(expected), "{tenant}");
        world.work().await;
        let start_by = world.get(&id).await.asked.unwrap().start_by;
        assert_eq!(start_by, Some(expected.minus(Duration::from_secs(15))), "{tenant}");
    }
}

#[tokio::test]
async fn a_mapping_sees_the_plan_as_it_was_written() {
    let world = world().await;
    *world.others.plan.lock().unwrap() = r#"{"big":18446744073709551617}"#.to_owned();
    let id = run_task(&world, r#"{"plan": true}"#).await;
    world.work().await;
    assert_eq!(world.get(&id).await.state, DeliveryState::Submitted);
    let seen = world.others.seen.lock().unwrap().clone();
    assert!(seen.ends_with(r#","plan":{"big":18446744073709551617}}"#), "{seen}");
}

/// Begins once, and answers how many were worked on.
async fn begin(world: &World) -> usize {
    let mut working = JoinSet::new();
    world.worker.begin(&mut working).await.unwrap();
    let begun = working.len();
    while working.join_next().await.is_some() {}
    begun
}

#[tokio::test]
async fn work_that_panics_is_taken_up_again_after_growing_pauses_and_hides_nothing() {
    let world = world().await;
    world.hook("bad", "panics").await;
    world.hook("good", "").await;
    for number in 0..2 {
        world.deliver("bad", &number.to_string()).await;
    }
    assert_eq!(begin(&world).await, 2);
    assert_eq!(begin(&world).await, 0, "not at once");
    let id = world.deliver("good", "1").await.id;
    assert_eq!(begin(&world).await, 1);
    assert_eq!(world.get(&id).await.state, DeliveryState::Submitted);
    for pause in [1, 2, 4] {
        world.pass(Duration::from_secs(pause) - Duration::from_micros(1));
        assert_eq!(begin(&world).await, 0, "{pause}");
        world.pass(Duration::from_micros(1));
        assert_eq!(begin(&world).await, 2, "{pause}");
    }
}

#[tokio::test]
async fn a_write_that_fails_pauses_its_delivery_and_a_broken_tenant_stops_no_other() {
    let mut world = world().await;
    world.hook("a", "x").await;
    world.deliver("a", "1").await;
    let broken = Broken { store: Arc::clone(&world.store), tenant: TenantId::trusted("aaa") };
    Arc::get_mut(&mut world.worker).unwrap().store = Arc::new(broken);
    assert_eq!(begin(&world).await, 1);
    assert_eq!((begin(&world).await, world.others.runs.load(Ordering::SeqCst)), (0, 1));
    world.pass(Duration::from_secs(1));
    assert_eq!((begin(&world).await, begin(&world).await), (1, 0));
}
