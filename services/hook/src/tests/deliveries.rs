//! Looking at deliveries, delivering them again, and trying hooks out.

use std::sync::atomic::Ordering;

use runwarden_engines::config::Change;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::mesh::Service;

use super::*;
use crate::inbox::look::Sample;
use crate::store::messages::{NewMessage, Tried};
use crate::store::{key, put};

#[tokio::test]
async fn what_a_delivery_contains_is_for_those_who_may_see_it() {
    let world = world().await;
    world.hook("a", "").await;
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let shown = world.deliveries.get(&admin(), "a", &id).await.unwrap();
    assert!(shown.event.unwrap().contains("refs/heads/main"));
    assert_eq!(step(&shown.delivery, "launched"), "ok: ");
    let reader = somebody(&[P::HooksRead]);
    let shown = world.deliveries.get(&reader, "a", &id).await.unwrap();
    assert!(shown.event.is_none() && shown.delivery.asked.unwrap().parameters.is_empty());
    assert_eq!(reason(world.deliveries.get(&somebody(&[P::JobsRead]), "a", &id).await), ErrorReason::NotFound);
    world.hook("b", "").await;
    assert_eq!(reason(world.deliveries.get(&admin(), "b", &id).await), ErrorReason::NotFound, "it is another hook's");
}

#[tokio::test]
async fn what_a_template_calls_write_only_later_is_shown_no_longer_and_goes_when_the_delivery_is_done_with() {
    let world = world().await;
    world.hook("a", "m").await;
    world.others.answers.lock().unwrap().push_back(away());
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let shown = async || {
        let shown = world.deliveries.get(&admin(), "a", &id).await.unwrap();
        shown.delivery.asked.unwrap().parameters.get("after").cloned()
    };
    assert_eq!(shown().await, Some("s3cr3t-value".into()));
    world.others.write_only.lock().unwrap().push("after".to_owned());
    assert_eq!(shown().await, Some(serde_json::json!({"set": true})));
    // While nobody can say what is, nothing is shown but the names.
    world.others.write_only.lock().unwrap().clear();
    *world.others.write_only_away.lock().unwrap() = true;
    assert_eq!(shown().await, Some(serde_json::json!({"set": true})));
    world.pass(Duration::from_secs(60));
    world.work().await;
    assert_eq!(shown().await, None);
    let kept = world.get(&id).await;
    assert_eq!((kept.state, step(&kept, "mapped").as_str()), (DeliveryState::Submitted, "ok: 1 parameter: after"));
    assert!(!serde_json::to_string(&kept).unwrap().contains("s3cr3t-value"), "{kept:?}");
}

#[tokio::test]
async fn a_redelivery_is_a_delivery_of_its_own_made_once_for_each_key() {
    let world = world().await;
    world.hook("a", "").await;
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let repeat = Repeat { key: Some("k".into()), body: Vec::new() };
    let again = world.deliveries.redeliver(&admin(), "a", &id, &repeat).await.unwrap();
    assert_eq!(world.deliveries.redeliver(&admin(), "a", &id, &repeat).await.unwrap().id, again.id);
    assert_eq!(again.redelivery_of.as_deref(), Some(&*id));
    world.work().await;
    assert_eq!(world.get(&again.id).await.job.as_deref(), Some("job_2"));
    assert_eq!(world.others.jobs.lock().unwrap().len(), 2);
    // The sender's repeat is still a repeat of the first.
    assert_eq!(world.deliver("a", "1").await.id, id);
    let cannot_submit = somebody(&[P::HooksRead, P::HooksWrite]);
    let refused = world.deliveries.redeliver(&cannot_submit, "a", &id, &Repeat::default()).await;
    assert_eq!(reason(refused), ErrorReason::PermissionDenied);
    // Who may not let the hook act as its account does not do so by delivering again.
    *world.others.weak.lock().unwrap() = true;
    let refused = world.deliveries.redeliver(&admin(), "a", &id, &Repeat::default()).await;
    assert_eq!(reason(refused), ErrorReason::PermissionDenied);
    assert_eq!(world.all("a").await.len(), 2);
}

#[tokio::test]
async fn a_test_says_what_would_be_done_and_does_nothing() {
    let world = world().await;
    world.hook("a", "").await;
    let id = world.deliver("a", "1").await.id;
    let test = async |module: &str| {
        world.deliveries.test(&admin(), "a", Sample::Stored(id.clone()), Some(module)).await.unwrap()
    };
    let tried = test("wanted").await;
    assert!(tried.would_run && tried.parameters["after"] == "s3cr3t-value" && tried.reference == "wanted");
    let names: Vec<&str> = tried.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["filtered", "mapped", "validated", "decided"]);
    assert!(!test("none").await.would_run && !test("fails").await.would_run);
    world.others.denies.lock().unwrap().push("Not on Fridays.".into());
    let denied = test("wanted").await;
    assert_eq!((denied.would_run, denied.steps[3].detail.as_str()), (false, "Not on Fridays."));
    let wrong = Error::new(ErrorReason::ParametersInvalid, "They do not fit.").with_field("/after", "is unknown");
    world.others.answers.lock().unwrap().push_back(wrong);
    assert_eq!(test("wanted").await.problems[0].pointer, "/after");

    let body = r#"{"after":"xyz"}"#.to_owned();
    let given = Sample::Given { event: "push".into(), headers: String::new(), body };
    let tried = world.deliveries.test(&admin(), "a", given, Some("m")).await.unwrap();
    assert_eq!(tried.parameters["after"], "xyz");
    assert_eq!(world.others.asked.load(Ordering::SeqCst), 0);
    assert_eq!(world.all("a").await.len(), 1);
}

#[tokio::test]
async fn a_delivery_shows_what_was_called_back_to_those_who_may_see_callbacks() {
    let world = world().await;
    world.hook("a", "").await;
    let id = world.deliver("a", "1").await.id;
    world.work().await;
    let tenant = TenantId::trusted("acme");
    let mut change = Change::new();
    put(&mut change, key::callback_id(&tenant, "cbk_1"), &"chat".to_owned()).unwrap();
    let entry = EntryBuilder::new(&world.clock, Service::Hook, "callback.create", "callback", "chat").build();
    world.sent.catalog.commit(change, &entry).await.unwrap();
    let told = |id: &str, callback: &str| NewMessage {
        id: id.to_owned(),
        tenant: tenant.clone(),
        callback: callback.to_owned(),
        job: "job_1".to_owned(),
        event: "job.finished",
        body: "{}".to_owned(),
        dead: String::new(),
    };
    let messages = vec![told("msg_1", "cbk_1"), told("msg_2", "cbk_1"), told("msg_3", "cbk_1"), told("msg_4", "cbk_9")];
    world.sent.messages.put(messages, 1, world.clock.now()).await.unwrap();
    let tried =
        |problem: &str, again_at| Tried { at: world.clock.now(), status: 0, problem: problem.to_owned(), again_at };
    world.sent.messages.tried("msg_1", tried("", None)).await.unwrap();
    world.sent.messages.tried("msg_2", tried("the receiver answered 500", None)).await.unwrap();
    let steps = async |caller: &Caller| {
        let shown = world.deliveries.get(caller, "a", &id).await.unwrap().delivery;
        let steps = shown.steps.into_iter().filter(|step| step.name == "called_back");
        steps.map(|step| format!("{}: {}", step.result.name(), step.detail)).collect::<Vec<_>>()
    };
    assert_eq!(
        steps(&somebody(&[P::HooksRead, P::CallbacksRead])).await,
        [
            "ok: chat, job.finished: delivered",
            "failed: chat, job.finished: the receiver answered 500",
            "later: chat, job.finished: is being sent",
        ]
    );
    assert!(steps(&somebody(&[P::HooksRead])).await.is_empty());
    // The newest are shown, and how many there are.
    let more = (5..25).map(|number| told(&format!("msg_{number}"), "cbk_1")).collect();
    world.sent.messages.put(more, 2, world.clock.now()).await.unwrap();
    world.sent.messages.tried("msg_24", tried("the newest", None)).await.unwrap();
    let told = steps(&somebody(&[P::HooksRead, P::CallbacksRead])).await;
    assert_eq!((told.len(), told[0].as_str()), (17, "ok: 8 earlier messages of 24 are not shown"));
    assert_eq!(told[16], "failed: chat, job.finished: the newest");
}
