//! What senders are answered.

use std::sync::atomic::Ordering;

use super::*;
use crate::hook::HookUpdate;

#[tokio::test]
async fn a_delivery_is_durable_and_on_record_before_it_is_answered() {
    let world = world().await;
    let hook = world.hook("a", "").await;
    let delivery = world.deliver("a", "1").await;
    assert_eq!((delivery.event.as_str(), delivery.sender_id.as_deref()), ("push", Some("1")));
    assert_eq!(step(&delivery, "verified"), format!("ok: signed with {}", hook.keys[0].id));
    let entry = world.recorded("delivery.receive").await.remove(0);
    assert_eq!((entry.object_id, entry.payload_digest), (delivery.id.clone(), delivery.digest.clone()));
    assert_eq!(entry.actor.unwrap().principal, "hook:a");
    let content = world.store.content(&TenantId::trusted("acme"), &delivery.id).await.unwrap().unwrap();
    assert!(content.event.contains("refs/heads/main") && !content.event.contains("sha256="));
}

#[tokio::test]
async fn a_repeat_gets_the_first_delivery_and_its_job() {
    let world = world().await;
    world.hook("a", "").await;
    let first = world.deliver("a", "1").await;
    assert_eq!(world.deliver("a", "1").await.id, first.id, "one in flight");
    world.work().await;
    let answer = world.send("a", push(KEY, "1", PUSH)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(&first.id) && answer.body.contains("job_1"), "{}", answer.body);
    let other = world.send("a", push(KEY, "1", b"{\"after\":\"other\"}")).await;
    assert_eq!(other.status, 409);
    // Equal bodies are not one event.
    assert_ne!(world.deliver("a", "2").await.id, first.id);
    world.work().await;
    assert_eq!(world.others.jobs.lock().unwrap().len(), 2);
    assert_eq!(world.all("a").await.len(), 2);
}

#[tokio::test]
async fn whoever_proves_nothing_learns_nothing() {
    let world = world().await;
    world.hook("a", "").await;
    world.hook("off", "").await;
    let off = HookUpdate { disabled: Some(true), ..HookUpdate::default() };
    world.hooks.update(&admin(), "off", off).await.unwrap();
    let unsigned = Received { headers: Headers::default(), ..push(KEY, "1", PUSH) };
    let method = Received { method: "PATCH".into(), ..push(KEY, "1", PUSH) };
    let answers = [
        world.send("none", push(KEY, "1", PUSH)).await,
        world.send("a", push("another key, just as long", "1", PUSH)).await,
        world.send("a", unsigned).await,
        world.send("a", method).await,
        world.send("off", push(KEY, "1", PUSH)).await,
        world.send("Not A Name", push(KEY, "1", PUSH)).await,
        world.inbox.receive("other", "a", push(KEY, "1", PUSH), None).await.unwrap(),
    ];
    assert_eq!(answers[0].status, 401);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert!(world.all("a").await.is_empty());
    // What was wrong is for the hook's own people.
    let details: Vec<String> = world.recorded("delivery.refuse").await.into_iter().map(|e| e.details_json).collect();
    assert!(details.iter().any(|details| details.contains("signature_mismatch")), "{details:?}");
    assert!(details.iter().any(|details| details.contains("signature_missing")), "{details:?}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_recorded_as_a_number() {
    let world = world().await;
    world.hook("a", "").await;
    let wrong = || world.send("a", push("another key, just as long", "1", PUSH));
    futures::future::join_all((0..40).map(|_| wrong())).await;
    assert_eq!(world.recorded("delivery.refuse").await.len(), 10);
}

#[tokio::test]
async fn keys_are_read_once_for_many_requests() {
    let world = world().await;
    world.hook("a", "").await;
    for number in 0..5 {
        world.deliver("a", &number.to_string()).await;
    }
    assert_eq!(world.others.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_that_prove_nothing_read_keys_once_however_many_come() {
    let world = world().await;
    world.hook("a", "").await;
    let wrong = || world.send("a", push("another key, just as long", "1", PUSH));
    futures::future::join_all((0..40).map(|_| wrong())).await;
    world.pass(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(wrong().await.status, 401);
    assert_eq!(world.others.reads.load(Ordering::SeqCst), 1);
    // A change is seen at once.
    world.hooks.rotate_key(&admin(), "a", None, &Repeat::default()).await.unwrap();
    wrong().await;
    assert_eq!(world.others.reads.load(Ordering::SeqCst), 3, "both keys");
}

#[tokio::test]
async fn while_keys_cannot_be_read_strangers_learn_nothing_and_senders_are_asked_to_come_back() {
    let world = world().await;
    world.hook("known", "").await;
    world.hook("new", "").await;
    assert_eq!(world.send("known", push(KEY, "1", PUSH)).await.status, 202);
    *world.others.keys_away.lock().unwrap() = true;
    // The first that needs a key finds it out.
    let first = world.send("new", push(KEY, "2", PUSH)).await;
    let wrong = push("another key, just as long", "3", PUSH);
    let others = [
        world.send("none", push(KEY, "3", PUSH)).await,
        world.send("new", wrong.clone()).await,
        world.send("known", wrong).await,
        world.inbox.receive("other", "new", push(KEY, "3", PUSH), None).await.unwrap(),
    ];
    assert_eq!(first.status, 503);
    assert!(first.headers.iter().any(|(name, _)| *name == "retry-after"));
    for answer in others {
        assert_eq!(answer, first);
    }
    let reads = world.others.reads.load(Ordering::SeqCst);
    assert_eq!(reads, 2, "what is away is not asked by everybody");
    assert_eq!(world.send("known", push(KEY, "4", PUSH)).await.status, 202, "whose keys are known goes on");
    *world.others.keys_away.lock().unwrap() = false;
    world.pass(Duration::from_secs(3));
    assert_eq!(world.send("new", push(KEY, "2", PUSH)).await.status, 202);
    assert_eq!(world.send("none", push(KEY, "3", PUSH)).await.status, 401);
}

#[tokio::test]
async fn a_tenant_in_trouble_leaves_the_others_alone_and_tells_strangers_nothing_of_its_hooks() {
    let world = world().await;
    world.hook("a", "").await;
    let zeta = TenantId::trusted("zeta");
    let theirs = Caller::example(&[P::HooksRead, P::HooksWrite], Scope::project(&zeta, "web"));
    for name in ["b", "c"] {
        world.hooks.create(&theirs, github(name, ""), &Repeat::default()).await.unwrap();
    }
    *world.others.key_trouble.lock().unwrap() = Some(("acme".into(), ErrorReason::AuditLogUntrusted));
    let first = world.send("a", push(KEY, "1", PUSH)).await;
    assert_eq!(first.status, 503);
    // Again and again, so that nothing is left of an earlier success.
    for (number, name) in ["b", "c"].into_iter().enumerate() {
        assert_eq!(world.send("a", push(KEY, "1", PUSH)).await, first);
        assert_eq!(world.send("none", push(KEY, "1", PUSH)).await, first, "whether there is such a hook or not");
        let theirs = world.inbox.receive("zeta", name, push(KEY, "1", PUSH), None).await.unwrap();
        assert_eq!(theirs.status, 202, "{name}");
        for tenant in ["zeta", "nobody"] {
            let stranger = world.inbox.receive(tenant, "none", push(KEY, "1", PUSH), None).await.unwrap();
            assert_eq!(stranger.status, 401, "{tenant}");
        }
        assert_eq!(world.others.reads.load(Ordering::SeqCst), 2 * (number + 1), "it is not asked by every request");
        world.pass(Duration::from_secs(3));
    }
    // Strangers do not find out by waiting.
    assert_eq!(world.send("none", push(KEY, "1", PUSH)).await, first);
    *world.others.key_trouble.lock().unwrap() = None;
    assert_eq!(world.send("a", push(KEY, "1", PUSH)).await.status, 202);
    assert_eq!(world.send("none", push(KEY, "1", PUSH)).await.status, 401);
}

#[tokio::test]
async fn a_secret_service_that_hangs_holds_nobody_for_long_and_tells_no_hook_from_none() {
    let world = world().await;
    world.hook("known", "").await;
    world.hook("new", "").await;
    assert_eq!(world.send("known", push(KEY, "1", PUSH)).await.status, 202);
    world.pass(Duration::from_secs(3));
    *world.others.keys_hang.lock().unwrap() = true;
    let began = std::time::Instant::now();
    let timed = async |tenant: &str, hook: &str, key: &str| {
        let answer = world.inbox.receive(tenant, hook, push(key, "2", PUSH), None).await.unwrap();
        (answer, began.elapsed())
    };
    let wrong = "another key, just as long";
    let (none, new, known, other) = tokio::join!(
        timed("acme", "none", KEY),
        timed("acme", "new", KEY),
        timed("acme", "known", wrong),
        timed("other", "new", KEY)
    );
    for (answer, took) in [&new, &known, &other] {
        assert_eq!(answer, &none.0);
        assert!(took.abs_diff(none.1) < Duration::from_secs(1), "{took:?}, {:?}", none.1);
    }
    assert_eq!(none.0.status, 503);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(world.others.probes.load(Ordering::SeqCst), 2, "one asks for all");
    assert_eq!(world.send("known", push(KEY, "3", PUSH)).await.status, 202, "whose keys are known goes on");
    *world.others.keys_hang.lock().unwrap() = false;
    world.pass(Duration::from_secs(3));
    assert_eq!(world.send("new", push(KEY, "2", PUSH)).await.status, 202);
    assert_eq!(world.send("none", push(KEY, "2", PUSH)).await.status, 401);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_answered_like_no_hook_and_not_read_by_every_request() {
    let world = world().await;
    world.hook("a", "").await;
    *world.others.key_trouble.lock().unwrap() = Some(("acme".into(), ErrorReason::Internal));
    let none = world.send("none", push(KEY, "1", PUSH)).await;
    for _ in 0..5 {
        assert_eq!(world.send("a", push(KEY, "1", PUSH)).await, none);
    }
    assert_eq!((none.status, world.others.reads.load(Ordering::SeqCst)), (401, 1));
    let told = world.recorded("delivery.refuse").await;
    assert!(told.iter().all(|entry| entry.details_json.contains("keys_unreadable")) && told.len() == 5, "{told:?}");
    // A change is seen at once.
    *world.others.key_trouble.lock().unwrap() = None;
    world.hooks.rotate_key(&admin(), "a", None, &Repeat::default()).await.unwrap();
    assert_eq!(world.send("a", push(KEY, "1", PUSH)).await.status, 202);
}

#[tokio::test]
async fn keys_of_a_hook_that_is_switched_off_or_removed_are_forgotten_without_another_request() {
    let world = world().await;
    for name in ["off", "gone", "stays"] {
        world.hook(name, "").await;
        world.deliver(name, "1").await;
    }
    assert_eq!(world.inbox.ready_hooks(), 3);
    let shutdown = Shutdown::new();
    let forgetting = tokio::spawn(Arc::clone(&world.inbox).forget_changed(shutdown.clone()));
    tokio::task::yield_now().await;
    let off = HookUpdate { disabled: Some(true), ..HookUpdate::default() };
    world.hooks.update(&admin(), "off", off).await.unwrap();
    world.hooks.delete(&admin(), "gone").await.unwrap();
    while world.inbox.ready_hooks() > 1 {
        tokio::task::yield_now().await;
    }
    shutdown.begin();
    forgetting.await.unwrap();
    assert_eq!(world.inbox.ready_hooks(), 1);
}

#[tokio::test]
async fn one_hook_does_not_take_the_room_of_the_others() {
    let world = world_with(Config { max_waiting_deliveries: 8, ..Config::default() }).await;
    world.hook("loud", "").await;
    world.hook("quiet", "").await;
    let mut number = 0;
    while world.send("loud", push(KEY, &number.to_string(), PUSH)).await.status == 202 {
        number += 1;
    }
    assert_eq!(number, 7, "the last place is for others");
    assert_eq!(world.send("quiet", push(KEY, "1", PUSH)).await.status, 202);
}

#[tokio::test]
async fn a_full_inbox_says_when_to_come_again() {
    let world = world_with(Config { max_waiting_deliveries: 3, ..Config::default() }).await;
    world.hook("a", "").await;
    world.deliver("a", "1").await;
    world.deliver("a", "2").await;
    let answer = world.send("a", push(KEY, "3", PUSH)).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.iter().any(|(name, _)| *name == "retry-after"));
    assert_eq!(world.send("a", push(KEY, "1", PUSH)).await.status, 200, "a repeat takes no room");
    world.work().await;
    assert_eq!(world.send("a", push(KEY, "3", PUSH)).await.status, 202);
}

#[tokio::test]
async fn hooks_named_run_task_refuse_like_the_program_they_stand_in_for_whether_they_exist_or_not() {
    let world = world().await;
    let stranger = || push("another key, just as long", "1", PUSH);
    let missing = world.send("run-task", stranger()).await;
    assert_eq!((missing.status, &*missing.body), (401, r#"{"error":"HMAC validation failed"}"#));
    world.hook("run-task", "").await;
    let unsigned = Received { headers: Headers::default(), ..stranger() };
    let method = Received { method: "PUT".into(), ..stranger() };
    for request in [stranger(), unsigned, method] {
        assert_eq!(world.send("run-task", request).await, missing);
    }
    assert_eq!(world.inbox.receive("nobody", "run-task", stranger(), None).await.unwrap(), missing);
}
