//! Issuing, narrowing, introspecting and revoking tokens.

use runwarden_engines::config::Change;

use super::*;
use crate::trust::revocation;
use runwarden_kit::caller::Scope;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;

#[tokio::test]
async fn a_token_says_who_what_and_where_and_every_service_can_verify_it() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (client, credentials) = world.create(&acting(&admin, "acme"), "ci", "web", &["launcher"]).await.unwrap();
    let issued = world.issue(&credentials, "").await.unwrap();
    assert_eq!(issued.expires_in, 900);
    assert_eq!(issued.scope, "jobs.cancel jobs.read jobs.submit templates.read");
    let caller = world.verify(&issued.access_token).await.unwrap();
    assert_eq!(caller.principal, client.principal);
    assert_eq!(caller.client_id, client.client_id);
    assert_eq!(caller.name, "ci");
    assert_eq!(caller.home_tenant.as_deref(), Some("acme"));
    assert!(caller.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "web")));
    assert!(!caller.holds(Permission::JobsSubmit, &Scope::project(&TenantId::trusted("acme"), "db")));
    let header = jsonwebtoken::decode_header(&issued.access_token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(header.alg, jsonwebtoken::Algorithm::RS256);
    assert!(world.trust().await.jwks_json.contains(&header.kid.unwrap()));
}

#[tokio::test]
async fn a_scope_narrows_a_token_and_what_is_not_held_is_an_invalid_scope() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, who) = world.create(&acting(&admin, "acme"), "ci", "web", &["launcher"]).await.unwrap();
    let issued = world.issue(&who, "jobs.read").await.unwrap();
    assert_eq!(issued.scope, "jobs.read");
    let caller = world.verify(&issued.access_token).await.unwrap();
    assert!(caller.holds(Permission::JobsRead, &Scope::project(&TenantId::trusted("acme"), "web")));
    assert!(!caller.holds_somewhere(Permission::JobsSubmit));
    for scope in ["tenants.write", "nonsense", "jobs.read  jobs.submit", "jobs.read\n"] {
        let error = world.issue(&who, scope).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{scope:?}");
        assert_eq!(error.metadata("oauth_error"), Some("invalid_scope"));
        assert_eq!(error.fields()[0].pointer, "/scope");
    }
}

#[tokio::test]
async fn a_disabled_tenants_clients_get_no_tokens_and_the_refusal_is_on_record() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (client, who) = world.create(&acting(&admin, "other"), "ci", "", &["launcher"]).await.unwrap();
    world.issue(&who, "").await.unwrap();
    world.places.other_is_disabled.store(true, Ordering::SeqCst);
    assert_eq!(world.issue(&who, "").await.unwrap_err().reason(), ErrorReason::TenantDisabled);
    let recorded = world.entries("token.refuse").await;
    let [refusal] = recorded.as_slice() else { panic!("one refusal, not {recorded:?}") };
    assert_eq!((refusal.tenant.as_str(), refusal.object_id.as_str()), ("other", client.client_id.as_str()));
    world.issue(&place.bootstrap(), "").await.unwrap();
    world.places.other_is_disabled.store(false, Ordering::SeqCst);
    world.issue(&who, "").await.unwrap();
}

#[tokio::test]
async fn whoever_cannot_prove_itself_learns_only_that() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (client, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    let (_, disabled) = world.create(&acting(&admin, "acme"), "off", "", &[]).await.unwrap();
    world.set_disabled(&acting(&admin, "acme"), &disabled.id, true).await.unwrap();
    let wrong = |id: &str, secret: &str| Credentials { id: id.to_owned(), secret: secret.to_owned() };
    let mut told = std::collections::BTreeSet::new();
    for who in [
        wrong(&who.id, "wrong"),
        wrong(&who.id, ""),
        wrong("", ""),
        wrong("client_../../x", &who.secret),
        wrong(&runwarden_kit::id::new("client"), &who.secret),
        wrong(&client.principal, &who.secret),
        wrong(&who.id, &"x".repeat(100_000)),
        disabled.clone(),
    ] {
        let error = world.issue(&who, "").await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::InvalidClient);
        assert_eq!(error.metadata("oauth_error"), Some("invalid_client"));
        told.insert(error.detail().to_owned());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let recorded = world.entries("token.refuse").await;
    let of = |id: &str| recorded.iter().filter(|entry| entry.object_id == id).collect::<Vec<_>>();
    assert_eq!(of(&who.id).len(), 3);
    assert_eq!(of(&who.id)[0].tenant, "acme");
    assert_eq!(of(&who.id)[0].source_address, "192.0.2.7");
    assert!(of(&who.id)[0].details_json.contains("wrong_secret"));
    assert!(of(&disabled.id)[0].details_json.contains("client_disabled"));
    assert_eq!(recorded.len(), 4, "unknown clients are counted, not recorded");
}

#[tokio::test]
async fn a_flood_of_wrong_secrets_is_recorded_as_a_number() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (client, _) = world.create(&acting(&admin, "acme"), "ci", "", &[]).await.unwrap();
    let wrong = Credentials { id: client.client_id, secret: "wrong".into() };
    let attempts = (0..25).map(|_| world.issue(&wrong, ""));
    for refused in futures::future::join_all(attempts).await {
        assert_eq!(reason(refused), ErrorReason::InvalidClient);
    }
    assert_eq!(world.entries("token.refuse").await.len(), 10);
    world.clock.advance(Duration::from_secs(60));
    world.service.maintenance.prover.record_counted(world.clock.now()).await.unwrap();
    let recorded = world.entries("token.refuse").await;
    assert_eq!(recorded.len(), 11);
    assert!(recorded[10].details_json.contains("15"), "{}", recorded[10].details_json);
}

#[tokio::test]
async fn each_issued_token_is_recorded_in_its_tenants_log() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (client, who) = world.create(&acting(&admin, "acme"), "ci", "", &["launcher"]).await.unwrap();
    let token = world.issue(&who, "").await.unwrap().access_token;
    let caller = world.verify(&token).await.unwrap();
    let recorded = world.entries("token.issue").await;
    let entry = recorded.iter().find(|entry| entry.object_id == caller.token_id).unwrap();
    assert_eq!(entry.tenant, "acme");
    assert_eq!(entry.source_address, "192.0.2.7");
    assert_eq!(entry.actor.as_ref().unwrap().principal, client.principal);
    assert!(!world.everything().await.contains(&token), "a token must not be kept");
}

#[tokio::test]
async fn an_expiry_ends_the_client_and_no_token_outlives_it() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (client, who) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    let before = world.issue(&who, "").await.unwrap().access_token;
    world.clock.advance(Duration::from_millis(1));
    let end = world.clock.now().plus(Duration::from_secs(100));
    let request = wire::UpdateClientRequest {
        client_id: client.client_id.clone(),
        expires_at: Some(end.to_proto()),
        ..Default::default()
    };
    world.update(&admin, request).await.unwrap();
    assert_eq!(reason(world.verify(&before).await), ErrorReason::TokenRevoked);
    world.clock.advance(Duration::from_millis(1));
    let issued = world.issue(&who, "").await.unwrap();
    assert!(issued.expires_in <= 100, "{}", issued.expires_in);
    assert!(world.verify(&issued.access_token).await.is_ok());
    world.clock.advance(Duration::from_secs(100));
    assert_eq!(reason(world.issue(&who, "").await), ErrorReason::InvalidClient);
}

#[tokio::test]
async fn a_disabled_clients_tokens_end_and_those_issued_after_it_is_enabled_hold() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (client, who) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    let before = world.issue(&who, "").await.unwrap().access_token;
    world.verify(&before).await.unwrap();
    let version = world.trust().await.version;
    world.set_disabled(&admin, &client.client_id, true).await.unwrap();
    assert_ne!(world.trust().await.version, version);
    assert_eq!(reason(world.verify(&before).await), ErrorReason::TokenRevoked);
    assert_eq!(reason(world.issue(&who, "").await), ErrorReason::InvalidClient);
    world.set_disabled(&admin, &client.client_id, false).await.unwrap();
    // The clock stands still: even in the same microsecond the new token differs from the old one.
    let after = world.issue(&who, "").await.unwrap().access_token;
    world.verify(&after).await.unwrap();
    assert_eq!(reason(world.verify(&before).await), ErrorReason::TokenRevoked);
}

#[tokio::test]
async fn tokens_issued_while_a_client_is_disabled_do_not_escape() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (client, who) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    let issuing = futures::future::join_all((0..20).map(|_| async {
        world.clock.advance(Duration::from_micros(1));
        world.issue(&who, "").await
    }));
    let disabling = async {
        world.clock.advance(Duration::from_micros(1));
        world.set_disabled(&admin, &client.client_id, true).await.unwrap();
    };
    let (issued, ()) = futures::join!(issuing, disabling);
    for token in issued.into_iter().flatten() {
        assert_eq!(reason(world.verify(&token.access_token).await), ErrorReason::TokenRevoked);
    }
}

#[tokio::test]
async fn a_client_ends_its_own_tokens_and_no_others() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let (_, one) = world.create(&acting(&admin, "acme"), "one", "", &["launcher"]).await.unwrap();
    let (_, two) = world.create(&acting(&admin, "acme"), "two", "", &["launcher"]).await.unwrap();
    let token = world.issue(&one, "").await.unwrap().access_token;
    let kept = world.issue(&one, "").await.unwrap().access_token;
    let revoke = async |who: &Credentials, token: &str| {
        let request = wire::RevokeTokenRequest {
            client_id: who.id.clone(),
            client_secret: who.secret.clone(),
            token: token.to_owned(),
        };
        answer(world.service.tokens.revoke_token(Request::new(request)).await)
    };
    assert_eq!(reason(revoke(&two, &token).await), ErrorReason::PermissionDenied);
    let wrong = Credentials { secret: "wrong".into(), ..one.clone() };
    assert_eq!(reason(revoke(&wrong, &token).await), ErrorReason::InvalidClient);
    world.verify(&token).await.unwrap();
    revoke(&one, "no token at all").await.unwrap();
    revoke(&one, &token).await.unwrap();
    revoke(&one, &token).await.unwrap();
    assert_eq!(reason(world.verify(&token).await), ErrorReason::TokenRevoked);
    world.verify(&kept).await.unwrap();
    assert_eq!(world.entries("token.revoke").await.len(), 1);

    // When the token has expired by itself, its revocation is forgotten.
    assert_eq!(world.trust().await.revocations.len(), 1);
    world.service.maintenance.forget_revocations().await.unwrap();
    world.pass(Duration::from_secs(2 * 60 * 60));
    world.service.maintenance.forget_revocations().await.unwrap();
    assert!(!world.everything().await.contains("revocations/token/"));
}

#[tokio::test]
async fn introspection_tells_a_tenant_about_its_own_tokens_only() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let root = place.bootstrap();
    let (client, ours) = world.create(&acting(&admin, "acme"), "ours", "", &["launcher"]).await.unwrap();
    let (_, peer) = world.create(&acting(&admin, "acme"), "peer", "", &[]).await.unwrap();
    let (_, foreign) = world.create(&acting(&admin, "other"), "foreign", "", &["tenant-admin"]).await.unwrap();
    let token = world.issue(&ours, "jobs.read").await.unwrap().access_token;
    let root_token = world.issue(&root, "").await.unwrap().access_token;
    let ask = async |who: &Credentials, token: &str| {
        let request = wire::IntrospectTokenRequest {
            client_id: who.id.clone(),
            client_secret: who.secret.clone(),
            token: token.to_owned(),
        };
        answer(world.service.tokens.introspect_token(Request::new(request)).await).unwrap()
    };
    let seen = ask(&peer, &token).await;
    assert!(seen.active);
    assert_eq!((seen.sub, seen.client_id), (client.principal.clone(), client.client_id.clone()));
    assert_eq!((seen.scope.as_str(), seen.tenant.as_str(), seen.aud.as_str()), ("jobs.read", "acme", "runwarden"));
    assert_eq!(seen.exp - seen.iat, 900);
    assert!(ask(&root, &token).await.active, "the platform may look at all");
    let inactive = wire::IntrospectTokenResponse::default();
    assert_eq!(ask(&foreign, &token).await, inactive);
    assert_eq!(ask(&peer, &root_token).await, inactive);
    assert_eq!(ask(&peer, "junk").await, inactive);
    assert_eq!(ask(&peer, &format!("{token}x")).await, inactive);
    world.set_disabled(&acting(&admin, "acme"), &client.client_id, true).await.unwrap();
    assert_eq!(ask(&peer, &token).await, inactive);
    // No token of a disabled tenant is valid, and its clients learn nothing.
    let theirs = world.issue(&foreign, "").await.unwrap().access_token;
    assert!(ask(&root, &theirs).await.active);
    world.places.other_is_disabled.store(true, Ordering::SeqCst);
    world.service.tenants.refresh().await.unwrap();
    assert_eq!(ask(&root, &theirs).await, inactive);
    let request = wire::IntrospectTokenRequest {
        client_id: foreign.id.clone(),
        client_secret: foreign.secret.clone(),
        token: theirs,
    };
    let refused = answer(world.service.tokens.introspect_token(Request::new(request)).await);
    assert_eq!(reason(refused), ErrorReason::TenantDisabled);
}

#[tokio::test]
async fn the_use_of_a_secret_is_noted_to_the_minute() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (client, who) = world.create(&admin, "ci", "", &[]).await.unwrap();
    assert_eq!(client.secrets[0].last_used_at, None);
    world.issue(&who, "").await.unwrap();
    let noted = world.get(&admin, &client.client_id).await.unwrap().secrets[0].last_used_at.unwrap();
    assert_eq!(noted.seconds % 60, 0);
    assert!(world.clock.now().seconds() - noted.seconds < 60);
    world.clock.advance(Duration::from_secs(60));
    world.issue(&who, "").await.unwrap();
    let again = world.get(&admin, &client.client_id).await.unwrap().secrets[0].last_used_at.unwrap();
    assert_eq!(again.seconds - noted.seconds, 60);
}

#[tokio::test]
async fn an_unchanged_trust_state_is_not_sent_again() {
    let place = Place::new();
    let (world, _) = place.with_admin().await;
    let state = world.trust().await;
    assert!(!state.unchanged);
    assert_eq!(state.issuer, place.config.issuer);
    let ask = wire::GetTrustStateRequest { known_version: state.version.clone(), ..Default::default() };
    let again = world.service.tokens.get_trust_state(Request::new(ask)).await.unwrap().into_inner();
    assert!(again.unchanged && again.jwks_json.is_empty() && again.revocations.is_empty());
    assert_eq!(again.version, state.version);
}

/// What ends all tokens of a client.
async fn end(world: &World, admin: &Caller, client: &wire::Client, how: &str) {
    match how {
        "disable" => drop(world.set_disabled(admin, &client.client_id, true).await.unwrap()),
        "delete" => world.delete(admin, &client.client_id).await.unwrap(),
        "expire" => {
            let request = wire::UpdateClientRequest {
                client_id: client.client_id.clone(),
                expires_at: Some(world.clock.now().plus(Duration::from_secs(300)).to_proto()),
                ..Default::default()
            };
            world.update(admin, request).await.unwrap();
        }
        _ => {
            let bindings = wire::ListBindingsRequest { principal: client.principal.clone(), ..Default::default() };
            let bindings = answer(world.service.roles.list_bindings(from(admin, bindings)).await).unwrap().bindings;
            world.unbind(admin, &bindings[0].binding_id).await.unwrap();
        }
    }
}

const ENDS: [&str; 4] = ["disable", "delete", "expire", "unbind"];

#[tokio::test]
async fn tokens_that_a_clock_which_was_ahead_dated_end_too() {
    for (how, restarted) in ENDS.into_iter().flat_map(|how| [(how, false), (how, true)]) {
        let place = Place::new();
        let (mut world, admin) = place.with_admin().await;
        let admin = acting(&admin, "acme");
        let (client, who) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
        let now = world.clock.now();
        world.clock.set(now.plus(Duration::from_secs(600)));
        let ahead = world.issue(&who, "").await.unwrap().access_token;
        world.clock.set(now);
        if restarted {
            drop(world);
            world = place.start().await;
        }
        world.verify(&ahead).await.unwrap();
        end(&world, &admin, &client, how).await;
        assert_eq!(reason(world.verify(&ahead).await), ErrorReason::TokenRevoked, "{how}");
        drop(world);
        let world = place.start().await;
        assert_eq!(reason(world.verify(&ahead).await), ErrorReason::TokenRevoked, "{how}, after a restart");
        // A token issued after re-enabling is valid, and the later date it carries does not extend its life.
        if how == "disable" {
            world.set_disabled(&admin, &client.client_id, false).await.unwrap();
            let next = world.issue(&who, "").await.unwrap();
            let caller = world.verify(&next.access_token).await.unwrap();
            assert!(caller.expires_at <= now.plus(place.config.token_lifetime));
            // A later revocation covers that token too, and undoes nothing.
            world.set_disabled(&admin, &client.client_id, true).await.unwrap();
            for token in [&ahead, &next.access_token] {
                assert_eq!(reason(world.verify(token).await), ErrorReason::TokenRevoked);
            }
        }
    }
}

#[tokio::test]
async fn an_end_does_not_miss_a_token_that_is_given_out_before_it_is_committed() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let admin = acting(&admin, "acme");
    let (client, who) = world.create(&admin, "ci", "", &["launcher"]).await.unwrap();
    world.issue(&who, "").await.unwrap();
    let store = &world.service.maintenance.shared.store;
    let ending = async || {
        let (mut change, now) = (Change::new(), world.clock.now());
        revocation::end_principal(store, &mut change, &client.principal, now).await.unwrap();
        change
    };
    let missed = ending().await;
    world.clock.advance(Duration::from_secs(5));
    let token = world.issue(&who, "").await.unwrap().access_token;
    assert!(!store.commit_silently(missed).await.unwrap().is_done());
    // Within a second no token moves the mark: the end is ahead of them all.
    let covers = ending().await;
    world.clock.advance(Duration::from_millis(500));
    let next = world.issue(&who, "").await.unwrap().access_token;
    assert!(store.commit_silently(covers).await.unwrap().is_done());
    world.service.tokens.trust.changed();
    for token in [&token, &next] {
        assert_eq!(reason(world.verify(token).await), ErrorReason::TokenRevoked);
    }
}

#[tokio::test]
async fn refusals_whose_log_takes_nothing_are_counted_on_and_others_are_recorded() {
    let place = Place::new();
    let (world, root) = place.with_admin().await;
    let mut clients = Vec::new();
    for tenant in ["acme", "other"] {
        clients.push(world.create(&acting(&root, tenant), "ci", "", &[]).await.unwrap().1);
    }
    for who in &clients {
        let wrong = Credentials { secret: "wrong".into(), ..who.clone() };
        futures::future::join_all((0..15).map(|_| world.issue(&wrong, ""))).await;
    }
    let waiting = |number: usize| format!("{}rec_{number:08}", runwarden_engines::outbox::waiting_of("acme"));
    for chunk in (0..runwarden_kit::audit::MAX_PENDING).collect::<Vec<_>>().chunks(100) {
        let mut change = Change::new();
        for number in chunk {
            change.put(waiting(*number), b"");
        }
        world.store.commit(change).await.unwrap();
    }
    let counted = async || {
        world.clock.advance(Duration::from_secs(60));
        let recorded = world.service.maintenance.prover.record_counted(world.clock.now()).await.is_ok();
        let entries = world.entries("token.refuse").await;
        let further = |who: &&Credentials| {
            let of_it =
                |entry: &&Entry| entry.object_id == who.id && entry.details_json.contains("further_refusals\":5");
            entries.iter().filter(of_it).count()
        };
        (recorded, clients.iter().map(|who| further(&who)).collect::<Vec<_>>())
    };
    assert_eq!(counted().await, (false, vec![0, 1]));
    assert_eq!(counted().await, (false, vec![0, 1]));
    let mut change = Change::new();
    for number in 0..20 {
        change.delete(waiting(number));
    }
    world.store.commit(change).await.unwrap();
    assert_eq!(counted().await, (true, vec![1, 1]));
    assert_eq!(counted().await, (true, vec![1, 1]));
}
