//! Signing keys: rotation with overlap, and what survives a restart.

use super::*;

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

async fn published(world: &World) -> Vec<String> {
    world.clock.advance(Duration::from_millis(1));
    world.service.tokens.trust.changed();
    let set: serde_json::Value = serde_json::from_str(&world.trust().await.jwks_json).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn rotate(world: &World, caller: &Caller) -> Result<String, Error> {
    let request = from(caller, wire::RotateSigningKeyRequest {});
    let rotated = within(caller, world.service.tokens.rotate_signing_key(request)).await;
    answer(rotated).map(|rotated| rotated.key_id)
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_have_expired() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let who = place.bootstrap();
    let before = world.issue(&who, "").await.unwrap().access_token;
    let new = rotate(&world, &root).await.unwrap();
    assert_ne!(kid(&before), new);
    assert_eq!(published(&world).await.len(), 2);
    let still = world.issue(&who, "").await.unwrap().access_token;
    assert_eq!(kid(&still), kid(&before), "nobody may know the new key yet");
    world.clock.advance(place.config.key_overlap);
    let after = world.issue(&who, "").await.unwrap().access_token;
    assert_eq!(kid(&after), new);
    for token in [&before, &still, &after] {
        world.verify(token).await.unwrap();
    }
    // Longer than any token of the old key can live, it is gone.
    world.clock.advance(place.config.token_lifetime);
    world.service.maintenance.keyring.maintain().await.unwrap();
    assert_eq!(published(&world).await.len(), 2);
    world.clock.advance(Duration::from_secs(2 * 60 * 60));
    world.service.maintenance.keyring.maintain().await.unwrap();
    assert_eq!(published(&world).await, std::slice::from_ref(&new));
    assert!(!world.everything().await.contains(&format!("signing-keys/{}", kid(&before))));
    assert_eq!(world.entries("signing_key.rotate").await[0].object_id, new);
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_again_with_its_key_makes_no_second_signing_key() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let rotate = async |world: &World, key: &str| {
        let context = RequestContext { idempotency_key: Some(key.into()), ..by(&root) };
        let request = from(&root, wire::RotateSigningKeyRequest {});
        answer(context::scope(context, world.service.tokens.rotate_signing_key(request)).await).unwrap().key_id
    };
    let first = rotate(&world, "key-1").await;
    assert_eq!(rotate(&world, "key-1").await, first);
    assert_eq!(published(&world).await.len(), 2);
    drop(world);
    let world = place.start().await;
    assert_eq!(rotate(&world, "key-1").await, first, "after a restart too");
    assert_ne!(rotate(&world, "key-2").await, first);
    assert_eq!(published(&world).await.len(), 3);
}

#[tokio::test]
async fn keys_rotate_by_themselves_when_their_time_is_over() {
    let place = Place::new();
    let (world, _) = place.with_admin().await;
    let first = published(&world).await;
    world.service.maintenance.keyring.maintain().await.unwrap();
    assert_eq!(published(&world).await, first);
    world.clock.advance(place.config.key_rotation);
    world.service.maintenance.keyring.maintain().await.unwrap();
    world.service.maintenance.keyring.maintain().await.unwrap();
    assert_eq!(published(&world).await.len(), 2);
}

#[tokio::test]
async fn keys_clients_and_tokens_survive_a_restart() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let (_, who) = world.create(&acting(&root, "acme"), "ci", "", &["launcher"]).await.unwrap();
    let token = world.issue(&who, "").await.unwrap().access_token;
    let keys = world.trust().await.jwks_json;
    drop(world);
    let world = place.start().await;
    assert_eq!(world.trust().await.jwks_json, keys);
    world.verify(&token).await.unwrap();
    let again = world.issue(&who, "").await.unwrap().access_token;
    assert_eq!(kid(&again), kid(&token));
}

#[tokio::test]
async fn two_replicas_share_their_keys_and_know_each_others_revocations() {
    let place = Place::new();
    let (one, root) = place.with_admin().await;
    let two = place.start().await;
    let admin = acting(&root, "acme");
    let (client, who) = one.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    let token = two.issue(&who, "").await.unwrap().access_token;
    one.verify(&token).await.unwrap();
    let (a, b) = futures::join!(rotate(&one, &root), rotate(&two, &root));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(published(&one).await.len(), 3);
    assert_eq!(published(&two).await, published(&one).await);
    one.set_disabled(&admin, &client.client_id, true).await.unwrap();
    two.service.tokens.trust.changed();
    assert_eq!(reason(two.verify(&token).await), ErrorReason::TokenRevoked);
}

#[tokio::test]
async fn only_the_platform_rotates_keys_and_not_without_end() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let admin = world.someone(&root, "acme", "admin", "", &["tenant-admin"]).await;
    assert_eq!(reason(rotate(&world, &admin).await), ErrorReason::PermissionDenied);
    let mut refused = None;
    for _ in 0..12 {
        refused = rotate(&world, &root).await.err();
    }
    assert_eq!(refused.unwrap().reason(), ErrorReason::Conflict);
    assert_eq!(published(&world).await.len(), 12);
}

#[tokio::test]
async fn a_lost_or_foreign_key_file_stops_the_start() {
    for file in ["seal.key", "pepper.key"] {
        let place = Place::new();
        drop(place.start().await);
        let path = place.dir.path().join(file);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = place.try_start().await.err().unwrap();
        assert!(error.to_string().contains(file), "{error:#}");
        assert!(!path.exists(), "no new key file may take the place of a lost one");
        runwarden_kit::private_file::write(&path, "ab".repeat(32).as_bytes()).unwrap();
        assert!(place.try_start().await.is_err());
        runwarden_kit::private_file::write(&path, &kept).unwrap();
        place.start().await;
    }
}

#[tokio::test]
async fn private_keys_are_kept_sealed() {
    let place = Place::new();
    let (world, _) = place.with_admin().await;
    let kept = world.store.list("signing-keys/", None, 10).await.unwrap();
    let record: serde_json::Value = serde_json::from_slice(&kept[0].value).unwrap();
    let mut fields: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["created_at", "e", "kid", "n", "sealed", "signs_from"]);
}

#[tokio::test]
async fn a_key_made_while_the_clock_was_ahead_does_not_hold_up_the_next_one() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let (who, now) = (place.bootstrap(), world.clock.now());
    world.clock.set(now.plus(Duration::from_secs(24 * 60 * 60)));
    let ahead = rotate(&world, &root).await.unwrap();
    world.clock.set(now);
    let new = rotate(&world, &root).await.unwrap();
    world.clock.advance(place.config.key_overlap);
    let token = world.issue(&who, "").await.unwrap().access_token;
    assert_eq!(kid(&token), new);
    let published = published(&world).await;
    assert!(published.contains(&new) && !published.contains(&ahead), "{published:?}");
    let entries = world.entries("signing_key.rotate").await;
    assert!(entries.iter().any(|entry| entry.object_id == new && entry.details_json.contains(&ahead)));
    // Nor does it take over when its day comes.
    world.clock.set(now.plus(Duration::from_secs(25 * 60 * 60)));
    assert_eq!(kid(&world.issue(&who, "").await.unwrap().access_token), new);
}

#[tokio::test]
async fn the_first_key_of_a_clock_that_was_ahead_signs_until_the_next_one_takes_over() {
    let place = Place::new();
    let now = place.clock.now();
    place.clock.set(now.plus(Duration::from_secs(24 * 60 * 60)));
    let (world, root) = place.with_admin().await;
    let who = place.bootstrap();
    world.clock.set(now);
    let new = rotate(&world, &root).await.unwrap();
    let before = world.issue(&who, "").await.unwrap().access_token;
    assert_ne!(kid(&before), new);
    world.clock.advance(place.config.key_overlap);
    let after = world.issue(&who, "").await.unwrap().access_token;
    assert_eq!(kid(&after), new);
    world.service.tokens.trust.changed();
    world.verify(&before).await.unwrap();
    world.verify(&after).await.unwrap();
}
