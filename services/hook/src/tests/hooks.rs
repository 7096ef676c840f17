//! Hooks as people manage them.

use std::sync::atomic::Ordering;

use runwarden_engines::config::Change;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::mesh::Service;
use runwarden_webhooks::Weakness;

use super::*;

use crate::hook::HookUpdate;
use crate::store::{key, put};

#[tokio::test]
async fn a_hook_is_made_with_a_key_that_is_shown_once() {
    let world = world().await;
    let given = world.create(github("given", "")).await.unwrap();
    assert_eq!((given.made, given.hook.keys.len(), world.others.keys()), (None, 1, 1));
    let made = world.create(NewHook { key: None, ..github("made", "") }).await.unwrap();
    let key = made.made.unwrap();
    assert_eq!(world.send("made", push(&key, "1", PUSH)).await.status, 202);
    assert!(!format!("{:?}", made.hook).contains(&key));
    assert_eq!(reason(world.create(github("made", "")).await), ErrorReason::AlreadyExists);
    assert_eq!(world.others.keys(), 2, "the key of a hook that was not made is not kept");
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_it_is_configured() {
    let world = world().await;
    let field = |result: Result<WithKey>| result.unwrap_err().fields()[0].pointer.clone();
    let new = |change: fn(&mut NewHook)| {
        let mut hook = github("a", "");
        change(&mut hook);
        hook
    };
    assert_eq!(field(world.create(new(|hook| hook.kind = "fax".into())).await), "/kind");
    assert_eq!(field(world.create(new(|hook| hook.settings = "{\"colour\":1}".into())).await), "/settings");
    assert_eq!(field(world.create(new(|hook| hook.settings = "[]".into())).await), "/settings");
    assert_eq!(field(world.create(new(|hook| hook.key = Some("short".into()))).await), "/key");
    let all = Caller::example(&[P::HooksWrite], Scope::tenant(&TenantId::trusted("acme")));
    let nowhere = world.hooks.create(&all, new(|hook| hook.project = "none".into()), &Repeat::default()).await;
    assert_eq!(field(nowhere), "/project");
    assert_eq!(field(world.create(new(|hook| hook.module = "broken".into())).await), "/module");
    *world.others.weak.lock().unwrap() = true;
    assert_eq!(reason(world.create(github("a", "")).await), ErrorReason::PermissionDenied);
    assert_eq!(world.others.keys(), 0);
}

#[tokio::test]
async fn who_may_not_act_as_the_account_may_change_nothing_but_switch_it_off() {
    let world = world().await;
    world.hook("a", "").await;
    *world.others.weak.lock().unwrap() = true;
    let update = async |change: HookUpdate| world.hooks.update(&admin(), "a", change).await;
    let module = HookUpdate { module: Some("x".into()), ..HookUpdate::default() };
    assert_eq!(reason(update(module).await), ErrorReason::PermissionDenied);
    let off = |disabled| HookUpdate { disabled: Some(disabled), ..HookUpdate::default() };
    assert!(update(off(true)).await.unwrap().disabled);
    assert_eq!(reason(update(off(false)).await), ErrorReason::PermissionDenied);
    let rotated = world.hooks.rotate_key(&admin(), "a", None, &Repeat::default()).await;
    assert_eq!(reason(rotated), ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn a_hook_is_seen_and_changed_where_one_may() {
    let world = world().await;
    world.hook("a", "").await;
    let reader = somebody(&[P::HooksRead]);
    assert_eq!(world.hooks.get(&reader, "a").await.unwrap().name, "a");
    assert_eq!(reason(world.hooks.delete(&reader, "a").await), ErrorReason::PermissionDenied);
    let stranger = somebody(&[P::JobsRead]);
    assert_eq!(reason(world.hooks.get(&stranger, "a").await), ErrorReason::NotFound);
    assert!(world.hooks.list(&stranger, &PageRequest::default()).await.unwrap().items.is_empty());
    let other = Caller::example(&[P::HooksRead, P::HooksWrite], Scope::tenant(&TenantId::trusted("other")));
    assert_eq!(reason(world.hooks.delete(&other, "a").await), ErrorReason::NotFound);
    let stale = HookUpdate { expected_revision: 7, disabled: Some(true), ..HookUpdate::default() };
    assert_eq!(reason(world.hooks.update(&admin(), "a", stale).await), ErrorReason::Conflict);
    world.hooks.delete(&admin(), "a").await.unwrap();
    assert_eq!(world.others.keys(), 0, "its keys go with it");
}

#[tokio::test]
async fn two_keys_are_valid_while_one_replaces_the_other() {
    let world = world().await;
    let old = world.hook("a", "").await.keys.remove(0);
    let rotated = world.hooks.rotate_key(&admin(), "a", None, &Repeat::default()).await.unwrap();
    let new = rotated.made.unwrap();
    assert_eq!(world.send("a", push(KEY, "1", PUSH)).await.status, 202);
    assert_eq!(world.send("a", push(&new, "2", PUSH)).await.status, 202);
    let third = world.hooks.rotate_key(&admin(), "a", None, &Repeat::default()).await;
    assert_eq!(reason(third), ErrorReason::Conflict);
    world.hooks.retire_key(&admin(), "a", &old.id).await.unwrap();
    assert_eq!(world.send("a", push(KEY, "3", PUSH)).await.status, 401, "at once");
    assert_eq!(world.send("a", push(&new, "3", PUSH)).await.status, 202);
    let last = rotated.hook.keys[1].id.clone();
    assert_eq!(reason(world.hooks.retire_key(&admin(), "a", &last).await), ErrorReason::Conflict);
}

#[tokio::test]
async fn a_key_does_not_become_one_of_another_form() {
    let world = world().await;
    let standard = r#"{"proof":{"by":"standard"},"id":"none"}"#;
    let text = r#"{"proof":{"by":"token","header":"x-token"},"id":"none"}"#;
    let generic = |name: &str, settings: &str, key: &str| NewHook {
        kind: "generic".into(),
        settings: settings.into(),
        key: Some(key.into()),
        ..github(name, "")
    };
    // A public key is known to everybody: as a password it would let everybody in.
    let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    world.create(generic("a", standard, public)).await.unwrap();
    world.create(generic("b", text, KEY)).await.unwrap();
    let change = async |hook: &str, settings: &str| {
        let update = HookUpdate { settings: Some(settings.into()), ..HookUpdate::default() };
        world.hooks.update(&admin(), hook, update).await
    };
    for (hook, settings) in [("a", text), ("b", standard)] {
        let refused = change(hook, settings).await.unwrap_err();
        assert_eq!(refused.fields()[0].pointer, "/settings", "{hook}");
    }
    change("b", r#"{"proof":{"by":"token","header":"x-other"},"id":"none"}"#).await.unwrap();
}

#[tokio::test]
async fn a_hook_whose_stored_settings_are_taken_no_longer_can_be_repaired() {
    let world = world().await;
    let standard = r#"{"proof":{"by":"standard"},"id":"none"}"#;
    let text = r#"{"proof":{"by":"token","header":"x-token"},"id":"none"}"#;
    let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let tenant = TenantId::trusted("acme");
    for (name, settings, key) in [("a", standard, public), ("b", text, KEY)] {
        let (settings, key) = (settings.into(), Some(key.into()));
        let new = NewHook { kind: "generic".into(), settings, key, ..github(name, "") };
        let mut hook = world.create(new).await.unwrap().hook;
        // Those that an earlier version took.
        hook.settings.insert("retired".to_owned(), true.into());
        let mut change = Change::new();
        put(&mut change, key::hook(&tenant, name), &hook).unwrap();
        let entry = EntryBuilder::new(&world.clock, Service::Hook, "hook.update", "hook", name).build();
        world.sent.catalog.commit(change, &entry).await.unwrap();
        assert!(hook.receiver().is_err());
    }
    let change = async |hook: &str, settings: &str| {
        let update = HookUpdate { settings: Some(settings.into()), ..HookUpdate::default() };
        world.hooks.update(&admin(), hook, update).await
    };
    for (hook, settings) in [("a", text), ("b", standard)] {
        let refused = change(hook, settings).await.unwrap_err();
        assert_eq!(refused.fields()[0].pointer, "/settings", "{hook}");
    }
    change("a", standard).await.unwrap();
    change("b", text).await.unwrap();
}

#[tokio::test]
async fn a_weak_key_is_shown_for_as_long_as_it_is_there() {
    let world = world().await;
    let is_weak = |hook: &Hook| hook.weaknesses().contains(&Weakness::WeakKey);
    let hook = world.hook("a", "").await;
    assert!(!is_weak(&hook) && !hook.keys[0].weak);
    let settings = async |settings: &str| {
        let update = HookUpdate { settings: Some(settings.to_owned()), ..HookUpdate::default() };
        world.hooks.update(&admin(), "a", update).await
    };
    settings(r#"{"allow_weak_key": true}"#).await.unwrap();
    let rotate =
        async |key: &str| world.hooks.rotate_key(&admin(), "a", Some(key.to_owned().into()), &Repeat::default()).await;
    assert_eq!(rotate("hunter2").await.unwrap_err().fields()[0].pointer, "/key", "anybody can guess it");
    let rotated = rotate("hunter22").await.unwrap().hook;
    assert_eq!(rotated.keys.iter().map(|key| key.weak).collect::<Vec<_>>(), [false, true]);
    // The leave cannot be taken back while it is made use of, whichever other key goes.
    world.hooks.retire_key(&admin(), "a", &rotated.keys[0].id).await.unwrap();
    assert_eq!(settings("{}").await.unwrap_err().fields()[0].pointer, "/settings/allow_weak_key");
    // Nor may it become a password, which could be tried out.
    assert_eq!(reason(settings(r#"{"proof": {"by": "token"}}"#).await), ErrorReason::ValidationFailed);
    let kept = world.hooks.get(&admin(), "a").await.unwrap().into_inner();
    assert!(is_weak(&kept));
    // Even if a store says otherwise.
    assert!(is_weak(&Hook { settings: serde_json::Map::new(), ..kept.clone() }));
    rotate("0123456789abcdef").await.unwrap();
    world.hooks.retire_key(&admin(), "a", &kept.keys[0].id).await.unwrap();
    let strong = settings("{}").await.unwrap();
    assert!(!is_weak(&strong));
}

#[tokio::test]
async fn only_the_hook_that_stands_in_takes_whatever_key_the_replaced_program_had() {
    let mut world = world().await;
    world.hooks = world.hooks.clone().with_replaced("acme", "old");
    let short = |name: &str| NewHook {
        settings: r#"{"allow_weak_key": true}"#.into(),
        key: Some("x".into()),
        ..github(name, "")
    };
    assert_eq!(world.create(short("new")).await.unwrap_err().fields()[0].pointer, "/key");
    let unseen = NewHook { settings: String::new(), ..short("old") };
    assert_eq!(world.create(unseen).await.unwrap_err().fields()[0].pointer, "/key", "it has to be shown");
    let made = world.create(short("old")).await.unwrap().hook;
    assert!(made.keys[0].weak);
    assert_eq!(world.send("old", push("x", "1", PUSH)).await.status, 202);
}

/// A commit whose answer is lost may have happened: the key that the hook may refer to by now must not be removed.
#[tokio::test]
async fn a_key_that_was_added_without_an_answer_is_kept() {
    let world = world().await;
    world.hook("a", "").await;
    let given = "another key, just as long";
    world.doubtful.in_doubt.store(true, Ordering::SeqCst);
    let rotated = world.hooks.rotate_key(&admin(), "a", Some(given.into()), &Repeat::default()).await;
    assert_eq!(reason(rotated), ErrorReason::Unavailable);
    world.doubtful.in_doubt.store(false, Ordering::SeqCst);
    assert_eq!(world.hooks.get(&admin(), "a").await.unwrap().keys.len(), 2, "it happened");
    assert_eq!(world.others.keys(), 2);
    assert_eq!(world.send("a", push(given, "1", PUSH)).await.status, 202);
}
