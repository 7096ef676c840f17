//! When a copy is renewed, how often, and when it is too old, held by a clock and a source that the test holds.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::reason::ErrorReason;

/// A token whose header names a key nobody has.
const UNKNOWN_KEY: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJSUzI1NiIsImtpZCI6Im5vYm9keXMifQ.e30.AAAA";

#[derive(Default)]
struct Held {
    asked: AtomicUsize,
    down: AtomicBool,
    offset_ms: AtomicU64,
    gate: tokio::sync::RwLock<()>,
}

struct Source(Arc<Held>);

#[async_trait]
impl TrustSource for Source {
    async fn trust_state(&self, known_version: String) -> Result<TrustState> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let _open = self.0.gate.read().await;
        if self.0.down.load(Ordering::SeqCst) {
            return Err(Error::unavailable("down"));
        }
        Ok(TrustState {
            version: "1".into(),
            unchanged: known_version == "1",
            jwks_json: r#"{"keys":[]}"#.into(),
            issuer: "https://issuer.test".into(),
            revocations: Vec::new(),
        })
    }
}

fn trust() -> (Arc<Trust>, Arc<Held>) {
    let held = Arc::new(Held::default());
    let (base, clock) = (Instant::now(), held.clone());
    let ticks: Ticks = Arc::new(move || base + Duration::from_millis(clock.offset_ms.load(Ordering::SeqCst)));
    (Trust::from_source(Source(held.clone()), ticks), held)
}

impl Held {
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
