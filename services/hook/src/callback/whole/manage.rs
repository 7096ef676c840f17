//! Who may do what to callbacks, and what is refused.

use runwarden_kit::page::PageRequest;

use super::*;
use crate::callback::keys::KeyKind;
use crate::callback::manage::Changes;
use crate::store::messages::Which;
use runwarden_kit::ErrorReason as R;

fn reason<T>(result: Result<T>) -> R {
    result.err().expect("it is refused").reason()
}

fn new(name: &str) -> NewCallback {
    NewCallback {
        name: name.into(),
        project: "web".into(),
        url: "https://receiver.example/s3cret".into(),
        ..NewCallback::default()
    }
}

#[tokio::test]
async fn whoever_sends_results_out_must_be_allowed_to_see_them() {
    let world = World::new().await;
    let blind = who(&[Permission::CallbacksWrite]);
    assert_eq!(reason(world.callbacks.create(&blind, new("ci"), &Repeat::default()).await), R::PermissionDenied);
    let reader = who(&[Permission::CallbacksRead, Permission::JobsRead]);
    assert_eq!(reason(world.callbacks.create(&reader, new("ci"), &Repeat::default()).await), R::PermissionDenied);
    world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap();
    assert_eq!(reason(world.callbacks.update(&blind, "ci", Changes::default()).await), R::PermissionDenied);
    assert_eq!(reason(world.callbacks.delete(&reader, "ci").await), R::PermissionDenied);
    assert_eq!(
        reason(world.callbacks.rotate_key(&reader, "ci", KeyKind::Symmetric, &Repeat::default()).await),
        R::PermissionDenied
    );
    let all = Which::DeadBetween(NOW, NOW.plus(Duration::from_secs(1)));
    assert_eq!(reason(world.callbacks.replay(&reader, "ci", all).await), R::PermissionDenied);
}

#[tokio::test]
async fn another_tenants_or_projects_callback_does_not_exist() {
    let world = World::new().await;
    world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap();
    let permissions = [Permission::CallbacksRead, Permission::CallbacksWrite, Permission::JobsRead];
    let elsewhere = Caller::example(&permissions, Scope::tenant(&TenantId::trusted("zed")));
    let beside = Caller::example(&permissions, Scope::project(&TenantId::trusted("acme"), "db"));
    for stranger in [elsewhere, beside] {
        assert_eq!(reason(world.callbacks.get(&stranger, "ci").await), R::NotFound);
        assert_eq!(reason(world.callbacks.update(&stranger, "ci", Changes::default()).await), R::NotFound);
        assert_eq!(reason(world.callbacks.delete(&stranger, "ci").await), R::NotFound);
        assert_eq!(reason(world.callbacks.retire_key(&stranger, "ci", "key_1").await), R::NotFound);
        assert_eq!(reason(world.callbacks.messages(&stranger, "ci", None, &PageRequest::default()).await), R::NotFound);
        assert_eq!(reason(world.callbacks.message(&stranger, "ci", "msg_1").await), R::NotFound);
        assert!(world.callbacks.list(&stranger, &PageRequest::default()).await.unwrap().items.is_empty());
    }
    assert_eq!(world.callbacks.list(&admin(), &PageRequest::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let world = World::new().await;
    let wrong = NewCallback {
        url: "https://169.254.169.254/latest".into(),
        events: vec!["job.finished".into(), "job.exploded".into()],
        templates: vec!["Deploy!".into()],
        hooks: vec!["x".into(); 51],
        description: "a\nb".into(),
        ..new("ci")
    };
    let error = world.callbacks.create(&admin(), wrong, &Repeat::default()).await.err().unwrap();
    let pointers: Vec<_> = error.fields().iter().map(|field| field.pointer.as_str()).collect();
    assert_eq!(pointers, ["/description", "/url", "/events/1", "/templates/0", "/hooks"]);
    let nothing = Changes { events: Some(Vec::new()), ..Changes::default() };
    world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap();
    assert_eq!(reason(world.callbacks.update(&admin(), "ci", nothing).await), R::ValidationFailed);
    assert_eq!(reason(world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await), R::AlreadyExists);
}

#[tokio::test]
async fn a_change_is_made_to_what_was_read_and_the_last_key_stays() {
    let world = World::new().await;
    let made = world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap();
    let old = Changes { expected_revision: 7, on_request: Some(true), ..Changes::default() };
    assert_eq!(reason(world.callbacks.update(&admin(), "ci", old).await), R::Conflict);
    let first = made.callback.keys[0].id.clone();
    assert_eq!(reason(world.callbacks.retire_key(&admin(), "ci", &first).await), R::Conflict);
    world.callbacks.rotate_key(&admin(), "ci", KeyKind::Symmetric, &Repeat::default()).await.unwrap();
    assert_eq!(
        reason(world.callbacks.rotate_key(&admin(), "ci", KeyKind::Symmetric, &Repeat::default()).await),
        R::Conflict
    );
    let now = world.callbacks.retire_key(&admin(), "ci", &first).await.unwrap();
    assert_eq!((now.keys.len(), now.revision), (1, 3));
    assert_eq!(reason(world.callbacks.retire_key(&admin(), "ci", &first).await), R::NotFound);
}

#[tokio::test]
async fn a_callback_goes_with_its_messages_and_its_name_can_be_used_again() {
    let world = World::new().await;
    let first = world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap().callback;
    world.hear(vec![ended(1)], 10).await;
    let message = world.due(&first).await.remove(0);
    world.callbacks.delete(&admin(), "ci").await.unwrap();
    assert!(world.all(&first).await.is_empty());
    let second = world.callbacks.create(&admin(), new("ci"), &Repeat::default()).await.unwrap().callback;
    // What was being sent to the one that is gone is nothing to the other.
    world.sender.deliver(&message).await;
    assert!(second.id != first.id && world.all(&second).await.is_empty());
}

#[tokio::test]
async fn a_project_that_is_not_there_has_no_callbacks() {
    let world = World::new().await;
    let elsewhere = NewCallback { project: "nowhere".into(), ..new("ci") };
    let error = world.callbacks.create(&admin(), elsewhere, &Repeat::default()).await.err().unwrap();
    assert_eq!((error.reason(), error.fields()[0].pointer.as_str()), (R::ValidationFailed, "/project"));
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key_makes_one_callback_and_one_key() {
    let world = World::new().await;
    let repeat = |key: &str| Repeat { key: Some(key.into()), ..Repeat::default() };
    let first = world.callbacks.create(&admin(), new("ci"), &repeat("a")).await.unwrap();
    let again = world.callbacks.create(&admin(), new("ci"), &repeat("a")).await.unwrap();
    assert_eq!((&first.callback, &first.key), (&again.callback, &again.key));
    assert_eq!(reason(world.callbacks.create(&admin(), new("ci"), &repeat("b")).await), R::AlreadyExists);
    let rotate = async || world.callbacks.rotate_key(&admin(), "ci", KeyKind::Symmetric, &repeat("c")).await;
    let (second, again) = (rotate().await.unwrap(), rotate().await.unwrap());
    assert_eq!((&second.callback, &second.key), (&again.callback, &again.key));
    assert_eq!(world.again(&first.callback).await.keys.len(), 2);
}
