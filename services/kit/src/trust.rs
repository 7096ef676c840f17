//! Each service's own copy of what it takes to judge callers: keys, revocations, and the tenants there are. It is
//! renewed from `auth` every second; what travels is what has changed.
//!
//! A service that cannot renew it continues for [`MAX_AGE`] and then refuses: a revocation it does not know of could
//! otherwise be ignored for as long as `auth` can be kept away. The same holds for what `auth` hears of tenants from
//! `project`, for whatever is done in a tenant.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
pub use runwarden_proto::auth::v1::GetTrustStateRequest as TrustQuestion;
pub use runwarden_proto::auth::v1::GetTrustStateResponse as TrustState;
use tokio::sync::{Semaphore, watch};

use crate::caller::Caller;
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, Result};
use crate::lifecycle::Shutdown;
use crate::mesh::MeshChannel;
use crate::reason::ErrorReason;
use crate::revoked::Present;
use crate::token::{LEEWAY_SECONDS, Verifier, key_id};
use known::Known;

mod known;
mod mesh;
mod recent;
mod tenants;
#[cfg(test)]
mod tests;

/// How often the copy is renewed: revocations hold everywhere well within 5 seconds.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How old a copy may be before callers are refused.
pub const MAX_AGE: Duration = Duration::from_secs(30);
/// Unknown values, which anyone can make up, cause no more than one renewal in this time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How many calls may wait for such a renewal.
const WAITING: usize = 64;
/// How often what lasts looks whether the copy is too old by now.
const LOOK_AT_AGE: Duration = Duration::from_secs(5);
/// How often it looks whether its token has expired, when that is about to happen.
const LOOK_AT_CLOCK: Duration = Duration::from_millis(100);
/// `auth` may take this long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Trust is not long in coming when a service starts.
const COME_BACK: Duration = Duration::from_millis(100);

/// Where the trust state comes from.
#[async_trait]
pub trait TrustSource: Send + Sync + 'static {
    /// The state, or what has changed of it.
    ///
    /// # Errors
    /// When it cannot be had.
    async fn trust_state(&self, question: TrustQuestion) -> Result<TrustState>;
}

/// Tells how time passes. Not the wall clock: setting that back must not make old news fresh.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

/// When what is known was last confirmed.
#[derive(Clone, Copy, Default)]
struct Confirmed {
    /// Keys and revocations.
    state: Option<Instant>,
    /// The tenants.
    tenants: Option<Instant>,
}

/// When was last asked.
#[derive(Default)]
struct Asked {
    /// At all.
    last: Option<Instant>,
    /// For a tenant that is not known, with success.
    for_tenant: Option<Instant>,
}

/// A service's copy of the trust state.
pub struct Trust {
    known: ArcSwapOption<Known>,
    /// Tells what lasts that `known` is another.
    replaced: watch::Sender<()>,
    confirmed: Mutex<Confirmed>,
    /// `None` for a fixed copy.
    source: Option<Box<dyn TrustSource>>,
    /// Held while asking.
    asking: tokio::sync::Mutex<Asked>,
    /// Requests that wait because a key is not known: anyone can cause that.
    waiting_for_key: Semaphore,
    /// Requests that wait because a tenant is not known: only those with a valid token.
    waiting_for_tenant: Semaphore,
    ticks: Ticks,
}

impl Trust {
    /// An empty copy that renews itself from `auth`.
    #[must_use]
    pub fn from_auth(channel: MeshChannel) -> Arc<Self> {
        Self::from_source(mesh::over(channel), Arc::new(Instant::now))
    }

    /// An empty copy that renews itself from a source.
    #[must_use]
    pub fn from_source(source: impl TrustSource, ticks: Ticks) -> Arc<Self> {
        Arc::new(Self::new(None, Some(Box::new(source)), ticks))
    }

    /// A fixed copy, for tests. Every tenant exists in it.
    #[must_use]
    pub fn fixed(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self::new(Some(Known { verifier, ..Known::default() }), None, Arc::new(Instant::now)))
    }

    fn new(known: Option<Known>, source: Option<Box<dyn TrustSource>>, ticks: Ticks) -> Self {
        Self {
            known: ArcSwapOption::from(known.map(Arc::new)),
            replaced: watch::Sender::default(),
            confirmed: Mutex::default(),
            source,
            asking: tokio::sync::Mutex::default(),
            waiting_for_key: Semaphore::new(WAITING),
            waiting_for_tenant: Semaphore::new(WAITING),
            ticks,
        }
    }

    /// Whether callers can be verified now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.source.is_none() || self.is_young(self.confirmed().state)
    }

    fn confirmed(&self) -> Confirmed {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_young(&self, confirmed: Option<Instant>) -> bool {
        confirmed.is_some_and(|at| (self.ticks)().saturating_duration_since(at) <= MAX_AGE)
    }

    fn present(&self) -> Present {
        Present { wall: SystemClock.now(), steady: (self.ticks)() }
    }

    /// Verifies a token and answers who calls.
    ///
    /// # Errors
    /// As [`Verifier::verify`]; `UNAVAILABLE` when the copy is missing or too old.
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>> {
        if !self.is_ready() {
            return Err(not_heard_of());
        }
        let mut known = self.known.load_full();
        if let Some(answer) = known.as_ref().and_then(|known| known.verifier.recall(token)) {
            return answer;
        }
        let key = key_id(token);
        if key.is_some() && known.as_ref().is_none_or(|known| !known.verifier.knows_key_of(token)) {
            // A key made a moment ago: look once, then judge.
            self.look_again().await;
            known = self.known.load_full();
        }
        let known = known.ok_or_else(|| Error::unavailable("Callers cannot be verified yet."))?;
        known.verifier.caller(token)
    }

    /// Why a caller that was let in would not be let in any more: its token was revoked since, or its own tenant was
    /// disabled.
    #[must_use]
    pub fn refusal(&self, caller: &Caller) -> Option<Error> {
        let known = self.known.load();
        let known = known.as_ref()?;
        if known.verifier.revoked.covers(&caller.token_id, &caller.principal, caller.issued_at) {
            return Some(Error::new(ErrorReason::TokenRevoked, "The access token was revoked."));
        }
        let home = caller.home_tenant.as_ref()?;
        known.tenants.get(home.as_str()).is_some_and(|disabled| *disabled).then(tenants::disabled)
    }

    /// Whether a caller that was let in would not be let in any more.
    #[must_use]
    pub fn has_revoked(&self, caller: &Caller) -> bool {
        self.refusal(caller).is_some()
    }

    /// Whether a caller that was verified earlier may still go on: what lasts must ask again and again.
    ///
    /// # Errors
    /// `TOKEN_REVOKED`, `TENANT_DISABLED`, `TOKEN_EXPIRED`, or `UNAVAILABLE` when the copy, or what it says of tenants,
    /// is too old to tell.
    pub fn standing(&self, caller: &Caller) -> Result<()> {
        if !self.is_ready() {
            return Err(not_heard_of());
        }
        if let Some(refusal) = self.refusal(caller) {
            return Err(refusal);
        }
        // As when it was let in: its tenant may have been disabled since.
        if caller.home_tenant.is_some() && self.source.is_some() && !self.is_young(self.confirmed().tenants) {
            return Err(tenants::cannot_tell());
        }
        // As when it was verified: clocks may differ by a little.
        if SystemClock.now() >= caller.expires_at.plus(Duration::from_secs(LEEWAY_SECONDS)) {
            return Err(Error::new(ErrorReason::TokenExpired, "The access token has expired; go on with a fresh one."));
        }
        Ok(())
    }

    /// Waits until a caller may not go on any more, and answers why. What lasts is raced with this. Thousands may wait
    /// here: they are woken when something was revoked, and else rarely.
    pub async fn ended(&self, caller: &Caller) -> Error {
        tokio::time::sleep(INTERVAL).await;
        let mut replaced = self.replaced.subscribe();
        loop {
            if let Err(why) = self.standing(caller) {
                return why;
            }
            let expires_at = caller.expires_at.plus(Duration::from_secs(LEEWAY_SECONDS));
            let pause = expires_at.since(SystemClock.now()).clamp(LOOK_AT_CLOCK, LOOK_AT_AGE);
            let _either = tokio::time::timeout(pause, replaced.changed()).await;
        }
    }

    /// Renews the copy once.
    ///
    /// # Errors
    /// When `auth` cannot be reached or its answer makes no sense.
    pub async fn renew(&self) -> Result<()> {
        let mut asked = self.asking.lock().await;
        self.ask(&mut asked, "").await
    }

    /// Renews the copy for a key that is not known, together with all others who wait for the same.
    async fn look_again(&self) {
        let Ok(_place) = self.waiting_for_key.try_acquire() else { return };
        let arrived = (self.ticks)();
        let mut asked = self.asking.lock().await;
        if asked.last.is_some_and(|last| last >= arrived) {
            return;
        }
        self.rest(asked.last).await;
        if let Err(error) = self.ask(&mut asked, "").await {
            tracing::warn!(%error, "trust state could not be renewed for an unknown key");
        }
    }

    /// If a renewal has just started, waits for its answer together with the others.
    async fn rest(&self, last: Option<Instant>) {
        if let Some(last) = last {
            tokio::time::sleep(LOOK_AGAIN.saturating_sub((self.ticks)().saturating_duration_since(last))).await;
        }
    }

    async fn ask(&self, asked: &mut Asked, unknown_tenant: &str) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let question = TrustQuestion {
            known_version: self.known.load().as_ref().map(|known| known.version.clone()).unwrap_or_default(),
            accepts_changes: true,
            unknown_tenant: unknown_tenant.to_owned(),
            keys_only: false,
        };
        let now = (self.ticks)();
        asked.last = Some(now);
        let answer = tokio::time::timeout(PATIENCE, source.trust_state(question))
            .await
            .map_err(|_| Error::unavailable("The auth service took too long to answer."))??;
        let age = answer.tenants_age.and_then(|age| Duration::try_from(age).ok());
        let before = self.known.load_full();
        if let Some(known) = Known::after(before.as_deref(), answer, self.present())? {
            self.known.store(Some(Arc::new(known)));
            self.replaced.send_replace(());
        }
        // As of when it was asked for: what was revoked while the answer travelled is not in it.
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.state = Some(now);
        confirmed.tenants = age.and_then(|age| now.checked_sub(age)).max(confirmed.tenants);
        if !unknown_tenant.is_empty() {
            asked.for_tenant = Some(now);
        }
        Ok(())
    }

    /// Renews the copy every second until shutdown.
    pub async fn keep_renewed(self: Arc<Self>, shutdown: Shutdown) {
        let (mut failing, mut refusing) = (false, false);
        loop {
            match self.renew().await {
                Ok(()) => (failing, refusing) = (false, false),
                Err(error) if !failing && self.confirmed().state.is_some() => {
                    tracing::warn!(%error, "trust state could not be renewed; going on with the last one");
                    failing = true;
                }
                Err(error) if failing && !refusing && !self.is_ready() => {
                    tracing::error!(%error, "trust state is too old; callers are refused until it can be renewed");
                    refusing = true;
                }
                Err(error) => tracing::debug!(%error, "trust state could not be renewed"),
            }
            // Until the first answer the service can do nothing, so ask often.
            let pause = if self.knows_tenants() { INTERVAL } else { Duration::from_millis(50) };
            if shutdown.sleep(pause).await.is_err() {
                return;
            }
        }
    }
}

fn not_heard_of() -> Error {
    Error::unavailable("Callers cannot be verified right now: the auth service has not been heard from.")
        .with_retry_after(COME_BACK)
}
