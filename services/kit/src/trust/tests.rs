//! When a copy is renewed, how often, and when it is too old, held by a clock and a source that the test holds.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use runwarden_proto::auth::v1::{Revocation, TenantState};

use super::*;
use crate::caller::Scope;
use crate::clock::Moment;
use crate::permission::Permission;
use crate::reason::ErrorReason;
use crate::revoked::OUTLIVED;
use crate::tenant::TenantId;

/// A token whose header names a key nobody has.
const UNKNOWN_KEY: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJSUzI1NiIsImtpZCI6Im5vYm9keXMifQ.e30.AAAA";

#[derive(Default)]
struct Held {
    asked: AtomicUsize,
    down: AtomicBool,
    offset_ms: AtomicU64,
    gate: tokio::sync::RwLock<()>,
    /// What changed, in order: version `n` is all but the first `n` of it away.
    changes: Mutex<Vec<TrustState>>,
    /// A tenant that turns up when somebody asks for it.
    made: Mutex<Option<String>>,
    tenants_age_ms: AtomicU64,
    /// How many entries the last answer carried.
    carried: AtomicUsize,
}

struct Source(Arc<Held>);

#[async_trait]
impl TrustSource for Source {
    async fn trust_state(&self, question: TrustQuestion) -> Result<TrustState> {
        let held = &self.0;
        held.asked.fetch_add(1, Ordering::SeqCst);
        let _open = held.gate.read().await;
        if held.down.load(Ordering::SeqCst) {
            return Err(Error::unavailable("down"));
        }
        let made = held.made.lock().unwrap().take_if(|made| *made == question.unknown_tenant);
        if let Some(name) = made {
            held.change(TrustState { tenants: vec![tenant(&name, false)], ..TrustState::default() });
        }
        let changes = held.changes.lock().unwrap();
        let known = question.known_version.parse::<usize>().ok();
        let news = changes.get(known.unwrap_or(0)..).unwrap_or_default();
        let answer = TrustState {
            version: changes.len().to_string(),
            unchanged: known == Some(changes.len()),
            only_changes: known.is_some(),
            jwks_json: if known.is_some() { String::new() } else { r#"{"keys":[]}"#.into() },
            issuer: "https://issuer.test".into(),
            revocations: news.iter().flat_map(|change| change.revocations.clone()).collect(),
            tenants: news.iter().flat_map(|change| change.tenants.clone()).collect(),
            tenants_age: Duration::from_millis(held.tenants_age_ms.load(Ordering::SeqCst)).try_into().ok(),
        };
        held.carried.store(answer.revocations.len() + answer.tenants.len(), Ordering::SeqCst);
        Ok(answer)
    }
}

fn tenant(name: &str, disabled: bool) -> TenantState {
    TenantState { name: name.to_owned(), disabled }
}

fn ended(token_id: &str, forget_at: Moment) -> TrustState {
    let revocation = Revocation {
        token_id: token_id.to_owned(),
        principal: "sa_1".to_owned(),
        issued_at: Some(Moment::from_micros(1).to_proto()),
        forget_at: Some(forget_at.to_proto()),
        ..Revocation::default()
    };
    TrustState { revocations: vec![revocation], ..TrustState::default() }
}

fn trust() -> (Arc<Trust>, Arc<Held>) {
    let held = Arc::new(Held::default());
    let (base, clock) = (Instant::now(), held.clone());
    let ticks: Ticks = Arc::new(move || base + Duration::from_millis(clock.offset_ms.load(Ordering::SeqCst)));
    (Trust::from_source(Source(held.clone()), ticks), held)
}

impl Held {
    fn change(&self, change: TrustState) {
        self.changes.lock().unwrap().push(change);
    }

    fn carried(&self) -> usize {
        self.carried.load(Ordering::SeqCst)
    }

    fn advance(&self, by: Duration) {
        self.offset_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn refusal(trust: &Trust, token: &str) -> ErrorReason {
    trust.verify(token).await.unwrap_err().reason()
}

#[tokio::test]
async fn callers_are_refused_before_the_first_state_and_when_the_last_is_too_old() {
    let (trust, held) = trust();
    assert_eq!(refusal(&trust, "x.y.z").await, ErrorReason::Unavailable);
    trust.renew().await.unwrap();
    assert_eq!(refusal(&trust, "x.y.z").await, ErrorReason::Unauthenticated);
    held.down.store(true, Ordering::SeqCst);
    held.advance(MAX_AGE);
    assert!(trust.renew().await.is_err());
    assert!(trust.is_ready());
    held.advance(Duration::from_millis(1));
    assert!(!trust.is_ready());
    assert_eq!(refusal(&trust, "x.y.z").await, ErrorReason::Unavailable);
    held.down.store(false, Ordering::SeqCst);
    // Confirmed as unchanged is as good as new.
    trust.renew().await.unwrap();
    assert!(trust.is_ready());
}

#[tokio::test]
async fn what_lasts_is_woken_by_a_revocation_and_ends_when_its_token_has_expired() {
    let mut caller = Caller::example(&[Permission::JobsRead], Scope::platform());
    (caller.token_id, caller.principal, caller.expires_at) = ("tok_1".into(), "sa_1".into(), in_an_hour());
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    let mut ended = std::pin::pin!(trust.ended(&caller));
    assert!(tokio::time::timeout(INTERVAL * 3 / 2, &mut ended).await.is_err(), "nothing has happened");
    held.change(self::ended("tok_1", in_an_hour()));
    trust.renew().await.unwrap();
    let woken = tokio::time::timeout(LOOK_AT_AGE / 2, ended).await.expect("it does not wait for the next look");
    assert_eq!(woken.reason(), ErrorReason::TokenRevoked);

    let expired = Caller { token_id: "tok_2".into(), expires_at: Moment::from_micros(1), ..caller.clone() };
    assert_eq!(trust.ended(&expired).await.reason(), ErrorReason::TokenExpired);
}

#[tokio::test]
async fn a_state_is_as_old_as_the_question_it_answers() {
    let (trust, held) = trust();
    let closed = held.gate.write().await;
    let renewing = tokio::spawn({
        let trust = trust.clone();
        async move { trust.renew().await }
    });
    while held.asked() == 0 {
        tokio::task::yield_now().await;
    }
    held.advance(MAX_AGE + Duration::from_secs(1));
    drop(closed);
    renewing.await.unwrap().unwrap();
    assert!(!trust.is_ready());
}

#[tokio::test]
async fn many_tokens_with_unknown_keys_cause_one_renewal() {
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    held.advance(LOOK_AGAIN);
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let trust = trust.clone();
            tokio::spawn(async move { refusal(&trust, UNKNOWN_KEY).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), ErrorReason::Unauthenticated);
    }
    // One for those who waited, and at most one more for who came while it was under way.
    assert!((2..=3).contains(&held.asked()), "{}", held.asked());
}

#[tokio::test]
async fn what_cannot_be_a_caller_token_causes_no_renewal() {
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    held.advance(Duration::from_secs(5));
    let long = format!("{UNKNOWN_KEY}{}", "A".repeat(crate::token::MAX_LENGTH));
    for token in ["", "x", "a.b.c", "eyJ0eXAiOiJKV1QiLCJraWQiOiJrIiwiYWxnIjoiUlMyNTYifQ.e30.AAAA", &long] {
        assert_eq!(refusal(&trust, token).await, ErrorReason::Unauthenticated);
    }
    assert_eq!(held.asked(), 1);
}

#[tokio::test]
async fn a_renewal_for_an_unknown_key_that_fails_leaves_the_judgement_to_what_is_known() {
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    held.down.store(true, Ordering::SeqCst);
    held.advance(Duration::from_secs(1));
    assert_eq!(refusal(&trust, UNKNOWN_KEY).await, ErrorReason::Unauthenticated);
    assert_eq!(held.asked(), 2);
}

fn in_an_hour() -> Moment {
    SystemClock.now().plus(Duration::from_secs(3600))
}

fn entries(trust: &Trust) -> usize {
    trust.known.load().as_ref().map_or(0, |known| known.verifier.revoked.len())
}

#[tokio::test]
async fn what_travels_is_what_changed_and_what_is_held_is_all_of_it() {
    let (trust, held) = trust();
    for number in 0..500 {
        held.change(ended(&format!("tok_{number}"), in_an_hour()));
    }
    trust.renew().await.unwrap();
    assert_eq!((held.carried(), entries(&trust)), (500, 500));
    trust.renew().await.unwrap();
    assert_eq!((held.carried(), entries(&trust)), (0, 500));
    held.change(ended("tok_new", in_an_hour()));
    held.change(TrustState { tenants: vec![tenant("acme", true)], ..TrustState::default() });
    trust.renew().await.unwrap();
    assert_eq!((held.carried(), entries(&trust)), (2, 501));
    let mut caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("other")));
    for token_id in ["tok_0", "tok_499", "tok_new"] {
        caller.token_id = token_id.to_owned();
        assert_eq!(trust.refusal(&caller).unwrap().reason(), ErrorReason::TokenRevoked);
    }
    caller.token_id = "tok_alive".to_owned();
    assert!(trust.refusal(&caller).is_none());
}

#[tokio::test]
async fn what_has_expired_is_forgotten_without_being_told() {
    let (trust, held) = trust();
    held.change(ended("tok_1", SystemClock.now()));
    trust.renew().await.unwrap();
    trust.renew().await.unwrap();
    assert_eq!((held.carried(), entries(&trust)), (0, 1), "the clock may have been ahead just now");
    held.advance(OUTLIVED);
    trust.renew().await.unwrap();
    assert_eq!((held.carried(), entries(&trust)), (0, 0));
}

#[test]
fn a_clock_that_is_ahead_for_one_answer_makes_nothing_forgotten() {
    let (wall, steady) = (SystemClock.now(), Instant::now());
    let ahead = wall.plus(Duration::from_secs(2 * 60 * 60));
    let whole = |revocations: TrustState| TrustState { jwks_json: r#"{"keys":[]}"#.into(), ..revocations };
    let unchanged = || TrustState { unchanged: true, ..TrustState::default() };
    let refused = |known: &Known| known.verifier.revoked.covers("tok_1", "sa_1", Moment::from_micros(2));
    let soon = wall.plus(Duration::from_secs(900));
    // Heard of before the clock went wrong, and while it was.
    for first in [wall, ahead] {
        let mut known =
            Known::after(None, whole(ended("tok_1", soon)), Present { wall: first, steady }).unwrap().unwrap();
        for wall in [ahead, wall] {
            let after = Known::after(Some(&known), unchanged(), Present { wall, steady }).unwrap();
            known = after.unwrap_or(known);
            assert!(refused(&known));
            let added = TrustState { only_changes: true, ..ended("tok_2", soon) };
            known = Known::after(Some(&known), added, Present { wall, steady }).unwrap().unwrap();
            assert!(refused(&known));
        }
    }
}

#[tokio::test]
async fn changes_of_a_state_that_is_not_held_are_refused() {
    let answer = TrustState { only_changes: true, ..TrustState::default() };
    assert!(Known::after(None, answer, trust().0.present()).is_err());
    let (trust, held) = trust();
    held.change(TrustState { tenants: vec![tenant("acme", false), tenant("old", false)], ..TrustState::default() });
    trust.renew().await.unwrap();
    // A complete state replaces what was held.
    let complete =
        TrustState { jwks_json: r#"{"keys":[]}"#.into(), tenants: vec![tenant("acme", true)], ..TrustState::default() };
    let before = trust.known.load_full();
    let after = Known::after(before.as_deref(), complete, trust.present()).unwrap().unwrap();
    assert_eq!(after.tenants.iter().collect::<Vec<_>>(), [(&"acme".to_owned(), &true)]);
}

#[tokio::test]
async fn a_tenant_that_was_made_a_moment_ago_is_found_and_one_that_was_not_is_asked_for_once() {
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    *held.made.lock().unwrap() = Some("new".to_owned());
    assert!(!trust.require_tenant("new").await.unwrap());
    assert!(!trust.require_tenant("new").await.unwrap());
    assert_eq!(held.asked(), 2);
    held.advance(LOOK_AGAIN);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let trust = trust.clone();
            tokio::spawn(async move { trust.require_tenant("nowhere").await.unwrap_err().reason() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), ErrorReason::NotFound);
    }
    assert!((3..=4).contains(&held.asked()), "{}", held.asked());
}

#[tokio::test]
async fn an_answer_about_one_tenant_does_not_make_another_missing() {
    let (trust, held) = trust();
    // Auth knew the first and asked nobody, so its answer is older than the second.
    held.tenants_age_ms.store(5_000, Ordering::SeqCst);
    trust.renew().await.unwrap();
    assert_eq!(trust.require_tenant("nowhere").await.unwrap_err().reason(), ErrorReason::NotFound);
    *held.made.lock().unwrap() = Some("second".to_owned());
    // Both arrive while the one that goes first rests.
    let (first, second) = tokio::join!(trust.require_tenant("first"), trust.require_tenant("second"));
    assert_eq!(first.unwrap_err().reason(), ErrorReason::NotFound);
    assert!(!second.unwrap());
}

#[tokio::test]
async fn a_tenant_that_cannot_be_asked_for_is_not_said_to_be_missing() {
    let (trust, held) = trust();
    trust.renew().await.unwrap();
    held.down.store(true, Ordering::SeqCst);
    assert_eq!(trust.require_tenant("new").await.unwrap_err().reason(), ErrorReason::Unavailable);
}

#[tokio::test]
async fn nobody_acts_in_a_tenant_of_which_nothing_was_heard_for_too_long() {
    let (trust, held) = trust();
    held.change(TrustState { tenants: vec![tenant("acme", false)], ..TrustState::default() });
    trust.renew().await.unwrap();
    let (own, platform) = (
        Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme"))),
        Caller::example(&[Permission::TenantsRead], Scope::platform()),
    );
    trust.admit(&own, false).await.unwrap();
    // The auth service answers, but has heard nothing of the project service.
    held.tenants_age_ms.store(u64::try_from(MAX_AGE.as_millis()).unwrap() + 1, Ordering::SeqCst);
    held.advance(MAX_AGE);
    trust.renew().await.unwrap();
    trust.admit(&own, false).await.unwrap();
    trust.standing(&own).unwrap();
    held.advance(Duration::from_millis(1));
    assert!(trust.is_ready());
    assert_eq!(trust.admit(&own, false).await.unwrap_err().reason(), ErrorReason::Unavailable);
    trust.admit(&platform, false).await.unwrap();
    // What was let in before does not go on either.
    assert_eq!(trust.standing(&own).unwrap_err().reason(), ErrorReason::Unavailable);
    trust.standing(&platform).unwrap();
}

#[tokio::test]
async fn a_disabled_tenant_is_closed_to_its_own_and_open_to_the_platform_for_some_calls() {
    let (trust, held) = trust();
    held.change(TrustState { tenants: vec![tenant("acme", false)], ..TrustState::default() });
    trust.renew().await.unwrap();
    let own = Caller::example(&[Permission::JobsRead], Scope::project(&TenantId::trusted("acme"), "web"));
    let mut platform = Caller::example(&[Permission::JobsRead], Scope::platform());
    platform.acting_tenant = Some(TenantId::trusted("acme"));
    for caller in [&own, &platform] {
        trust.admit(caller, false).await.unwrap();
        assert!(trust.refusal(caller).is_none());
    }
    held.change(TrustState { tenants: vec![tenant("acme", true)], ..TrustState::default() });
    trust.renew().await.unwrap();
    let refused =
        async |caller, for_disabled| trust.admit(caller, for_disabled).await.err().map(|error| error.reason());
    assert_eq!(refused(&own, true).await, Some(ErrorReason::TenantDisabled));
    assert_eq!(refused(&platform, false).await, Some(ErrorReason::TenantDisabled));
    assert_eq!(refused(&platform, true).await, None);
    // What runs already ends for its own, not for the platform.
    assert_eq!(trust.refusal(&own).unwrap().reason(), ErrorReason::TenantDisabled);
    assert!(trust.refusal(&platform).is_none());
    held.change(TrustState { tenants: vec![tenant("acme", false)], ..TrustState::default() });
    trust.renew().await.unwrap();
    assert_eq!(refused(&own, false).await, None);
}
