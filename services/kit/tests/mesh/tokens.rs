//! Tokens that are refused, and what ends those that were good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use runwarden_kit::caller::Scope;
use runwarden_kit::context::RequestContext;
use runwarden_kit::service::Parts;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::token::{MAX_LENGTH, Verifier};
use runwarden_kit::{ErrorReason, SecretString};
use runwarden_proto::executor::v1::{GetJobRequest, SubmitJobRequest, WatchJobRequest};
use serde_json::json;
use tonic::Code;

use crate::support::tokens::{ISSUER, KEY, PlayedAuth, Signer, claims, seconds};
use crate::support::{House, Jobs, acting, reason, until, within};

async fn get(jobs: &Jobs, token: &str) -> Result<(), tonic::Status> {
    acting(token, jobs.clone().get_job(GetJobRequest::default())).await.map(drop)
}

async fn get_job(jobs: &Jobs, token: &str, id: &str) -> Result<(), tonic::Status> {
    let request = GetJobRequest { id: id.to_owned(), wait_seconds: 60 };
    acting(token, jobs.clone().get_job(request)).await.map(drop)
}

async fn submit(jobs: &Jobs, token: &str, template: &str) -> Result<(), tonic::Status> {
    let request = SubmitJobRequest { template: template.to_owned(), ..SubmitJobRequest::default() };
    acting(token, jobs.clone().submit_job(request)).await.map(drop)
}

fn part(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Every kind of token that must not be believed.
fn bad_tokens(signer: &Signer) -> Result<Vec<(&'static str, String)>> {
    let good = claims(&["jobs.read"], Scope::tenant(&TenantId::trusted("acme")));
    let with = |change: &dyn Fn(&mut serde_json::Value)| -> Result<String> {
        let mut value = serde_json::to_value(&good)?;
        change(&mut value);
        signer.sign(&signer.header(), &value)
    };
    let header = |change: &dyn Fn(&mut jsonwebtoken::Header)| -> Result<String> {
        let mut header = signer.header();
        change(&mut header);
        signer.sign(&header, &good)
    };
    let whole = signer.good()?;
    let parts: Vec<&str> = whole.split('.').collect();
    let [head, body, signature] = parts[..] else { anyhow::bail!("a token has three parts") };
    let mut confused = signer.header();
    confused.alg = Algorithm::HS256;
    let hmac = |secret: &[u8]| jsonwebtoken::encode(&confused, &good, &EncodingKey::from_secret(secret));
    let none = |alg: &str| part(&json!({"typ": "at+jwt", "alg": alg, "kid": KEY}));
    let rights = part(&serde_json::to_value(claims(&["tenants.write"], Scope::platform()))?);
    Ok(vec![
        ("alg none", format!("{}.{body}.", none("none"))),
        ("alg None", format!("{}.{body}.{signature}", none("None"))),
        ("alg unknown", format!("{}.{body}.{signature}", none("XX999"))),
        ("HS256 with the public key", hmac(&signer.public)?),
        ("HS256 with the key set", hmac(signer.jwks.as_bytes())?),
        ("another key under our id", Signer::new()?.good()?),
        ("unknown key id", header(&|h| h.kid = Some("nobody's".into()))?),
        ("no key id", header(&|h| h.kid = None)?),
        ("another type", header(&|h| h.typ = Some("JWT".into()))?),
        ("no type", header(&|h| h.typ = None)?),
        ("critical extension", header(&|h| h.crit = Some(vec!["b64".into()]))?),
        ("another issuer", with(&|c| c["iss"] = json!("https://evil.example"))?),
        ("another audience", with(&|c| c["aud"] = json!("somebody-else"))?),
        ("no audience", with(&|c| drop(c.as_object_mut().map(|c| c.remove("aud"))))?),
        ("no end", with(&|c| drop(c.as_object_mut().map(|c| c.remove("exp"))))?),
        ("no subject", with(&|c| drop(c.as_object_mut().map(|c| c.remove("sub"))))?),
        ("an end in words", with(&|c| c["exp"] = json!("tomorrow"))?),
        ("tampered rights", format!("{head}.{rights}.{signature}")),
        ("tampered signature", format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("no signature", format!("{head}.{body}.")),
        ("two parts", format!("{head}.{body}")),
        ("words", "let me in".into()),
        ("too long", with(&|c| c["name"] = json!("x".repeat(MAX_LENGTH)))?),
    ])
}

#[tokio::test]
async fn a_token_that_is_not_whole_ours_and_for_us_is_refused_without_saying_why() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let jobs = house.edge(running.address)?;
    get(&jobs, &house.signer.good()?).await?;
    let mut words = std::collections::BTreeSet::new();
    for (what, token) in bad_tokens(&house.signer)? {
        let refused = get(&jobs, &token).await.err().with_context(|| format!("believed: {what}"))?;
        ensure!(refused.code() == Code::Unauthenticated, "{what}: {refused:?}");
        words.insert(refused.message().to_owned());
    }
    ensure!(words.len() == 1, "the words differ: {words:?}");
    ensure!(reason(jobs.clone().get_job(GetJobRequest::default()).await) == Some(ErrorReason::Unauthenticated));
    ensure!(running.played.calls() == 1);
    // Whoever is not known leaves nothing behind in the log: it could be filled from outside.
    ensure!(running.recorder.entries().is_empty());
    running.stop().await
}

#[tokio::test]
async fn a_token_ends_by_itself_and_says_so() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let jobs = house.edge(running.address)?;
    let mut old = claims(&["jobs.read"], Scope::tenant(&TenantId::trusted("acme")));
    old.exp = seconds() - 60;
    let refused = get(&jobs, &house.signer.sign(&house.signer.header(), &old)?).await;
    ensure!(reason(refused) == Some(ErrorReason::TokenExpired));
    running.stop().await
}

#[tokio::test]
async fn a_revoked_token_ends_calls_and_streams() -> Result<()> {
    let house = House::new()?;
    let auth = PlayedAuth::trusting(&house.signer.jwks);
    let trust = auth.trust();
    trust.renew().await?;
    let running = house.start_at(([127, 0, 0, 1], 0).into(), trust.clone(), Parts::new()).await?;
    let mut jobs = house.edge(running.address)?;
    let token = house.signer.good()?;
    let mut stream = acting(&token, jobs.watch_job(WatchJobRequest::default())).await?.into_inner();
    stream.message().await?.context("the stream ended")?;
    // One reads and waits, one changes something.
    let (reading, changing) = (jobs.clone(), jobs.clone());
    let (one, other) = (token.clone(), token.clone());
    let reading = tokio::spawn(async move { get_job(&reading, &one, "slow").await });
    let changing = tokio::spawn(async move { submit(&changing, &other, "slow").await });
    until("both are under way", || running.played.calls() == 2).await?;
    auth.revoke("tok_1");
    trust.renew().await?;
    ensure!(reason(reading.await?) == Some(ErrorReason::TokenRevoked), "a wait outlived its token");
    ensure!(running.played.dropped.load(Ordering::SeqCst) == 1);
    // What was allowed when it began is not cut in half.
    running.played.release.0.add_permits(1);
    changing.await??;
    ensure!(reason(get(&jobs, &token).await) == Some(ErrorReason::TokenRevoked));
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("the stream ended without saying why"),
            Err(status) => break status,
        }
    };
    ensure!(reason::<()>(Err(ended)) == Some(ErrorReason::TokenRevoked));
    running.stop().await
}

#[tokio::test]
async fn a_disabled_tenant_ends_calls_and_streams_of_its_own_and_leaves_the_platform_a_look() -> Result<()> {
    let house = House::new()?;
    let auth = PlayedAuth::trusting(&house.signer.jwks);
    let trust = auth.trust();
    trust.renew().await?;
    let running = house.start_at(([127, 0, 0, 1], 0).into(), trust.clone(), Parts::new()).await?;
    let mut jobs = house.edge(running.address)?;
    let (own, platform) = (house.signer.good()?, house.signer.token(&["jobs.read", "jobs.submit"], Scope::platform())?);
    let for_acme = || RequestContext {
        token: Some(SecretString::from(platform.clone())),
        tenant: Some("acme".to_owned()),
        ..RequestContext::default()
    };
    let mut streams = Vec::new();
    for context in [RequestContext { token: Some(SecretString::from(own.clone())), ..Default::default() }, for_acme()] {
        let mut stream = within(context, jobs.watch_job(WatchJobRequest::default())).await?.into_inner();
        stream.message().await?.context("the stream ended")?;
        streams.push(stream);
    }
    auth.set_disabled(true);
    trust.renew().await?;
    ensure!(reason(get(&jobs, &own).await) == Some(ErrorReason::TenantDisabled));
    let ended = loop {
        match streams[0].message().await {
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("the stream ended without saying why"),
            Err(status) => break status,
        }
    };
    ensure!(reason::<()>(Err(ended)) == Some(ErrorReason::TenantDisabled));
    // The platform looks, and goes on looking, but changes nothing.
    within(for_acme(), jobs.get_job(GetJobRequest::default())).await?;
    streams[1].message().await?.context("the platform's stream ended")?;
    let submit = SubmitJobRequest { template: "any".into(), ..SubmitJobRequest::default() };
    let refused = within(for_acme(), jobs.submit_job(submit)).await;
    ensure!(reason(refused) == Some(ErrorReason::TenantDisabled));
    // Each refusal is on record, in the tenant's log.
    let recorded = running.recorder.entries();
    ensure!(recorded.len() == 2 && recorded.iter().all(|entry| entry.tenant == "acme"), "{recorded:?}");
    running.stop().await
}

#[tokio::test]
async fn for_a_tenant_that_is_not_there_every_call_is_not_found_and_none_is_recorded() -> Result<()> {
    let house = House::new()?;
    let auth = PlayedAuth::trusting(&house.signer.jwks);
    let trust = auth.trust();
    trust.renew().await?;
    let running = house.start_at(([127, 0, 0, 1], 0).into(), trust, Parts::new()).await?;
    let mut jobs = house.edge(running.address)?;
    // With the permission and without.
    for permissions in [&["jobs.read"][..], &["tenants.read"][..]] {
        let context = RequestContext {
            token: Some(SecretString::from(house.signer.token(permissions, Scope::platform())?)),
            tenant: Some("acne".to_owned()),
            ..RequestContext::default()
        };
        let refused = within(context, jobs.get_job(GetJobRequest::default())).await;
        ensure!(reason(refused) == Some(ErrorReason::NotFound));
    }
    ensure!(running.played.calls() == 0 && running.recorder.entries().is_empty());
    running.stop().await
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut jobs = house.edge(running.address)?;
    // Expired, but by no more than clocks may differ: for another second it is good.
    let mut old = claims(&["jobs.read"], Scope::tenant(&TenantId::trusted("acme")));
    old.exp = seconds() - 4;
    let token = house.signer.sign(&house.signer.header(), &old)?;
    let mut stream = acting(&token, jobs.watch_job(WatchJobRequest::default())).await?.into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("the stream ended without saying why"),
            Err(status) => break status,
        }
    };
    ensure!(reason::<()>(Err(ended)) == Some(ErrorReason::TokenExpired));
    running.stop().await
}

#[tokio::test]
async fn callers_are_refused_for_now_when_auth_has_been_away_for_too_long() -> Result<()> {
    let house = House::new()?;
    let auth = PlayedAuth::trusting(&house.signer.jwks);
    let trust = auth.trust();
    let running = house.start_at(([127, 0, 0, 1], 0).into(), trust.clone(), Parts::new()).await?;
    let (jobs, token) = (house.edge(running.address)?, house.signer.good()?);
    ensure!(reason(get(&jobs, &token).await) == Some(ErrorReason::Unavailable), "before auth was ever heard from");
    trust.renew().await?;
    get(&jobs, &token).await?;
    auth.set_down(true);
    auth.pass(31);
    ensure!(reason(get(&jobs, &token).await) == Some(ErrorReason::Unavailable), "a state of half a minute ago");
    auth.set_down(false);
    trust.renew().await?;
    get(&jobs, &token).await?;
    running.stop().await
}

#[tokio::test]
async fn a_token_that_was_verified_before_ends_as_any_other() -> Result<()> {
    let signer = Signer::new()?;
    let auth = PlayedAuth::trusting(&signer.jwks);
    let trust = auth.trust();
    trust.renew().await?;
    let refusal = async |token: &str| trust.verify(token).await.err().map(|error| error.reason());
    let (token, mut other) = (signer.good()?, claims(&["jobs.read"], Scope::tenant(&TenantId::trusted("acme"))));
    other.jti = "tok_2".to_owned();
    let other = signer.sign(&signer.header(), &other)?;
    let first = trust.verify(&token).await?;
    ensure!(Arc::ptr_eq(&first, &trust.verify(&token).await?), "its signature is not looked at again");
    ensure!(refusal(&other).await.is_none());
    auth.revoke("tok_1");
    trust.renew().await?;
    ensure!(refusal(&token).await == Some(ErrorReason::TokenRevoked));
    ensure!(refusal(&other).await.is_none(), "another token of the same principal");
    // Whose key is no longer trusted, whatever was seen of it.
    auth.replace_keys(&Signer::new()?.jwks);
    trust.renew().await?;
    ensure!(refusal(&other).await == Some(ErrorReason::Unauthenticated));
    Ok(())
}

#[test]
fn keys_that_are_no_signature_keys_verify_nothing() -> Result<()> {
    let signer = Signer::new()?;
    let secret = URL_SAFE_NO_PAD.encode(&signer.public);
    let jwks = json!({"keys": [
        {"kty": "oct", "alg": "HS256", "kid": KEY, "k": secret},
        {"kty": "oct", "kid": "bare", "k": secret},
    ]})
    .to_string();
    let verifier = Verifier::new(ISSUER, &jwks)?;
    for (what, token) in bad_tokens(&signer)? {
        ensure!(verifier.verify(&token).is_err(), "{what}");
    }
    ensure!(Verifier::new(ISSUER, "{}").is_err() && Verifier::new(ISSUER, "").is_err());
    Ok(())
}

proptest! {
    #[test]
    fn no_text_of_a_token_panics_or_is_believed(text in ".{0,300}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let signer = Signer::new().expect("a key");
        let verifier = Verifier::new(ISSUER, &signer.jwks).expect("a verifier");
        prop_assert!(verifier.verify(&text).is_err());
        let thrice = [text.as_str(); 3].join(".");
        prop_assert!(verifier.verify(&thrice).is_err());
        let token = signer.good().expect("a token");
        prop_assert!(verifier.verify(&token).is_ok());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        // The last character of a part may carry bits that mean nothing.
        if let Ok(claims) = verifier.verify(&changed) {
            prop_assert_eq!(claims.sub, "sa_1");
            prop_assert!(changed == token || token.as_bytes().get(at + 1).is_none_or(|b| *b == b'.'));
        }
    }
}
