//! Looking at deliveries, delivering them again, and trying hooks out.

use std::sync::atomic::Ordering;

use super::*;
use crate::inbox::look::Sample;

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
    assert!(tried.would_run && tried.parameters["after"] == "abc" && tried.reference == "wanted");
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
