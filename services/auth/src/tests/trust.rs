//! What every service receives each second: the changes, and no more than needed.

use prost::Message as _;
use runwarden_kit::revoked::Revoked;

use super::*;
use crate::trust::revocation::BUDGET;

async fn revoke(world: &World, who: &Credentials, token: &str) {
    let request = wire::RevokeTokenRequest {
        client_id: who.id.clone(),
        client_secret: who.secret.clone(),
        token: token.to_owned(),
    };
    answer(world.service.tokens.revoke_token(Request::new(request)).await).unwrap();
}

/// Issues a token and ends it, so many times.
async fn end_tokens(world: &World, who: &Credentials, count: usize) {
    for _ in 0..count {
        world.clock.advance(Duration::from_millis(1));
        let token = world.issue(who, "").await.unwrap().access_token;
        revoke(world, who, &token).await;
    }
}

#[tokio::test]
async fn a_poll_carries_what_changed_since_the_last_one_however_much_there_is() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(world.create(&admin, &format!("ci-{number}"), "", &["launcher"]).await.unwrap());
    }
    for (_, who) in &clients {
        end_tokens(&world, who, 40).await;
    }
    let all = world.trust_since("").await;
    assert!(!all.only_changes && !all.unchanged);
    assert_eq!((all.revocations.len(), all.tenants.len()), (200, 3));

    let nothing = world.trust_since(&all.version).await;
    assert!(nothing.unchanged && nothing.encoded_len() < 250, "{} bytes", nothing.encoded_len());

    end_tokens(&world, &clients[0].1, 1).await;
    let one = world.trust_since(&all.version).await;
    assert!(one.only_changes && one.jwks_json.is_empty());
    assert_eq!((one.revocations.len(), one.tenants.len()), (1, 0));
    assert!(one.encoded_len() < 500, "{} bytes", one.encoded_len());

    // Disabling a client and deleting one is one entry each, whatever they had.
    world.set_disabled(&admin, &clients[1].0.client_id, true).await.unwrap();
    world.delete(&admin, &clients[2].0.client_id).await.unwrap();
    let two = world.trust_since(&one.version).await;
    assert_eq!(two.revocations.len(), 2);
    assert!(two.revocations.iter().all(|ended| ended.token_id.is_empty()));
    // A service that asks for the first time does not receive those two.
    assert_eq!(world.trust_since("").await.revocations.len(), 201 - 80 + 2);

    world.places.other_is_disabled.store(true, Ordering::SeqCst);
    world.service.tenants.refresh().await.unwrap();
    let tenant = world.trust_since(&two.version).await;
    assert_eq!((tenant.revocations.len(), tenant.tenants.len()), (0, 1));
    assert_eq!((tenant.tenants[0].name.as_str(), tenant.tenants[0].disabled), ("other", true));

    // A version we never issued, or that an earlier process issued, gets the complete state.
    for version in ["v7", "trust_0 1 tenants_0 1 00"] {
        assert!(!world.trust_since(version).await.only_changes);
    }
    let version = tenant.version;
    drop(world);
    let world = place.start().await;
    let again = world.trust_since(&version).await;
    assert!(!again.only_changes && !again.jwks_json.is_empty());
    assert_eq!(again.revocations.len(), 123);
}

#[tokio::test]
async fn a_service_that_takes_no_changes_is_told_everything() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    end_tokens(&world, &who, 3).await;
    let state = world.trust().await;
    end_tokens(&world, &who, 1).await;
    let ask = wire::GetTrustStateRequest { known_version: state.version, ..Default::default() };
    let whole = world.service.tokens.get_trust_state(Request::new(ask)).await.unwrap().into_inner();
    assert!(!whole.only_changes && !whole.jwks_json.is_empty());
    assert_eq!(whole.revocations.len(), 4);
    let ask = wire::GetTrustStateRequest { keys_only: true, ..Default::default() };
    let keys = world.service.tokens.get_trust_state(Request::new(ask)).await.unwrap().into_inner();
    assert_eq!((keys.jwks_json, keys.revocations.len(), keys.tenants.len()), (whole.jwks_json, 0, 0));
}

#[tokio::test]
async fn a_client_that_ends_more_tokens_than_it_may_one_by_one_ends_all_it_has() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    let (_, other) = world.create(&acting(&admin, "acme"), "other", "", &["launcher"]).await.unwrap();
    let bystander = world.issue(&other, "").await.unwrap().access_token;
    let kept = world.issue(&who, "").await.unwrap().access_token;
    end_tokens(&world, &who, BUDGET).await;
    world.verify(&kept).await.unwrap();
    assert_eq!(world.trust_since("").await.revocations.len(), BUDGET);

    let last = world.issue(&who, "").await.unwrap().access_token;
    revoke(&world, &who, &last).await;
    for token in [&kept, &last] {
        assert_eq!(reason(world.verify(token).await), ErrorReason::TokenRevoked);
    }
    world.verify(&bystander).await.unwrap();
    let told = world.trust_since("").await.revocations;
    assert_eq!(told.len(), 1, "one moment stands for all of them: {told:?}");
    assert!(world.entries("token.revoke").await.last().unwrap().details_json.contains("true"));

    // Time goes on, and the limit still holds, here and in every service.
    world.clock.advance(Duration::from_millis(1));
    let next = world.issue(&who, "").await.unwrap().access_token;
    world.verify(&next).await.unwrap();
    let (mut held, heard) = (Revoked::default(), Instant::now());
    let mut version = String::new();
    for _ in 0..4 {
        end_tokens(&world, &who, BUDGET / 2 + 1).await;
        let told = world.trust_since(&version).await;
        let moment = |time: &Option<prost_types::Timestamp>| {
            runwarden_kit::clock::Moment::from_proto(time.as_ref().unwrap()).unwrap()
        };
        for ended in told.revocations {
            let forget_at = moment(&ended.forget_at);
            if ended.token_id.is_empty() {
                held.end_principal(ended.principal, moment(&ended.issued_until), forget_at, heard);
            } else {
                held.end_token(ended.token_id, ended.principal, moment(&ended.issued_at), forget_at, heard);
            }
        }
        held.tidy(world.service.maintenance.shared.present());
        assert!(held.len() <= BUDGET + 1, "{}", held.len());
        version = told.version;
    }
}

#[tokio::test]
async fn what_has_expired_is_told_to_nobody_and_kept_nowhere() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    end_tokens(&world, &who, 5).await;
    assert_eq!(world.trust_since("").await.revocations.len(), 5);
    world.service.maintenance.forget_revocations().await.unwrap();
    world.pass(Duration::from_secs(2 * 60 * 60));
    world.service.tokens.trust.changed();
    assert!(world.trust_since("").await.revocations.is_empty());
    world.service.maintenance.forget_revocations().await.unwrap();
    assert_eq!(world.store.count("revocations/").await.unwrap(), 0);
    // And a client may revoke the same number again.
    end_tokens(&world, &who, BUDGET).await;
    assert_eq!(world.trust_since("").await.revocations.len(), BUDGET);
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_moment_makes_no_token_valid_again() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    let token = world.issue(&who, "").await.unwrap().access_token;
    revoke(&world, &who, &token).await;
    let now = world.clock.now();
    world.service.maintenance.forget_revocations().await.unwrap();
    for clock in [now.plus(Duration::from_secs(2 * 60 * 60)), now] {
        world.clock.set(clock);
        world.service.tokens.trust.changed();
        world.service.maintenance.forget_revocations().await.unwrap();
        assert_eq!(world.trust_since("").await.revocations.len(), 1);
    }
    assert_eq!(reason(world.verify(&token).await), ErrorReason::TokenRevoked);
    drop(world);
    assert_eq!(reason(place.start().await.verify(&token).await), ErrorReason::TokenRevoked);
}

#[tokio::test]
async fn what_others_write_is_looked_through_once() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let version = world.trust_since("").await.version;
    world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    world.service.tokens.trust.changed();
    let told = world.trust_since(&version).await;
    assert!(told.unchanged, "a client that was made is no news");
    assert_eq!(world.service.tokens.trust.read_to().await.unwrap(), world.store.revision().await.unwrap());
}

#[tokio::test]
async fn a_tenant_somebody_asks_for_is_looked_for_first() {
    let place = Place::new();
    let (world, _) = place.with_admin().await;
    world.places.other_is_disabled.store(true, Ordering::SeqCst);
    let ask = async |unknown: &str| {
        let request = wire::GetTrustStateRequest { unknown_tenant: unknown.to_owned(), ..Default::default() };
        world.service.tokens.get_trust_state(Request::new(request)).await.unwrap().into_inner()
    };
    let disabled = |state: &wire::GetTrustStateResponse| {
        state.tenants.iter().any(|tenant| tenant.name == "other" && tenant.disabled)
    };
    assert!(!disabled(&ask("acme").await), "one that is known is not asked for");
    assert!(disabled(&ask("new").await), "the project service was asked");
}
