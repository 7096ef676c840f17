//! Each service's own copy of what it takes to verify callers, renewed every second from `auth`.
//!
//! A service that cannot renew it goes on for [`MAX_AGE`] and then refuses: a revocation it has not heard of could
//! otherwise be ignored for as long as `auth` can be kept away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
pub use runwarden_proto::auth::v1::GetTrustStateResponse as TrustState;
use tokio::sync::Semaphore;

use crate::caller::Caller;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::lifecycle::Shutdown;
use crate::mesh::MeshChannel;
use crate::token::{Verifier, key_id};

mod mesh;
#[cfg(test)]
mod tests;

/// How often the copy is renewed: revocations hold everywhere well within 5 seconds.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How old a copy may be before callers are refused.
pub const MAX_AGE: Duration = Duration::from_secs(30);
/// Tokens with unknown keys, which anybody can make up, cause no more than one renewal in this time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How many calls may wait for such a renewal; the others are judged by what is known.
const WAITING: usize = 64;
/// `auth` may take this long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Trust is not long in coming when a service starts.
const COME_BACK: Duration = Duration::from_millis(100);

/// Where the trust state comes from.
#[async_trait]
pub trait TrustSource: Send + Sync + 'static {
    /// The state, or that it is still the one of `known_version`.
    ///
    /// # Errors
    /// When it cannot be had.
    async fn trust_state(&self, known_version: String) -> Result<TrustState>;
}

/// Tells how time passes. Not the wall clock: setting that back must not make old news fresh.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

struct Known {
    version: String,
    verifier: Verifier,
}

/// A service's copy of the trust state.
pub struct Trust {
    known: ArcSwapOption<Known>,
    /// When what is known was last confirmed.
    confirmed: Mutex<Option<Instant>>,
    /// `None` for a fixed copy.
    source: Option<Box<dyn TrustSource>>,
    /// Held while asking; when was last asked.
    asking: tokio::sync::Mutex<Option<Instant>>,
    waiting: Semaphore,
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

    /// A fixed copy, for tests.
    #[must_use]
    pub fn fixed(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self::new(Some(Known { version: String::new(), verifier }), None, Arc::new(Instant::now)))
    }

    fn new(known: Option<Known>, source: Option<Box<dyn TrustSource>>, ticks: Ticks) -> Self {
        Self {
            known: ArcSwapOption::from(known.map(Arc::new)),
            confirmed: Mutex::new(None),
            source,
            asking: tokio::sync::Mutex::new(None),
            waiting: Semaphore::new(WAITING),
            ticks,
        }
    }

    /// Whether callers can be verified now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.source.is_none() || self.age().is_some_and(|age| age <= MAX_AGE)
    }

    fn age(&self) -> Option<Duration> {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.map(|at| (self.ticks)().saturating_duration_since(at))
    }

    /// Verifies a token and answers who calls.
    ///
    /// # Errors
    /// As [`Verifier::verify`]; `UNAVAILABLE` when the copy is missing or too old.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        if !self.is_ready() {
            return Err(Error::unavailable(
                "Callers cannot be verified right now: the auth service has not been heard from.",
            )
            .with_retry_after(COME_BACK));
        }
        let mut known = self.known.load_full();
        let key = key_id(token);
        if key.is_some() && known.as_ref().is_none_or(|known| !known.verifier.knows_key_of(token)) {
            // A key made a moment ago: look once, then judge.
            self.look_again().await;
            known = self.known.load_full();
        }
        let known = known.ok_or_else(|| Error::unavailable("Callers cannot be verified yet."))?;
        known.verifier.verify(token).map(crate::token::Claims::into_caller)
    }

    /// Whether a caller's token has been revoked since it was verified.
    #[must_use]
    pub fn has_revoked(&self, caller: &Caller) -> bool {
        self.known
            .load()
            .as_ref()
            .is_some_and(|known| known.verifier.has_revoked(&caller.token_id, &caller.principal, caller.issued_at))
    }

    /// Renews the copy once.
    ///
    /// # Errors
    /// When `auth` cannot be reached or its answer makes no sense.
    pub async fn renew(&self) -> Result<()> {
        let mut asked = self.asking.lock().await;
        self.ask(&mut asked).await
    }

    /// Renews the copy for a key that is not known, together with all others who wait for the same.
    async fn look_again(&self) {
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let arrived = (self.ticks)();
        let mut asked = self.asking.lock().await;
        if let Some(last) = *asked {
            if last >= arrived {
                return;
            }
            // Waits with the others behind: whoever comes now is served by the same answer.
            let rest = LOOK_AGAIN.saturating_sub((self.ticks)().saturating_duration_since(last));
            tokio::time::sleep(rest).await;
        }
        if let Err(error) = self.ask(&mut asked).await {
            tracing::warn!(%error, "trust state could not be renewed for an unknown key");
        }
    }

    async fn ask(&self, asked: &mut Option<Instant>) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let known_version = self.known.load().as_ref().map(|known| known.version.clone()).unwrap_or_default();
        let now = (self.ticks)();
        *asked = Some(now);
        let answer = tokio::time::timeout(PATIENCE, source.trust_state(known_version))
            .await
            .map_err(|_| Error::unavailable("The auth service took too long to answer."))??;
        if !answer.unchanged {
            self.known.store(Some(Arc::new(read(answer)?)));
        }
        // As of when it was asked for: what was revoked while the answer travelled is not in it.
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }

    /// Renews the copy every second until shutdown.
    pub async fn keep_renewed(self: Arc<Self>, shutdown: Shutdown) {
        let (mut failing, mut refusing) = (false, false);
        loop {
            match self.renew().await {
                Ok(()) => (failing, refusing) = (false, false),
                Err(error) if !failing && self.age().is_some() => {
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
            let pause = if self.age().is_some() { INTERVAL } else { Duration::from_millis(50) };
            if shutdown.sleep(pause).await.is_err() {
                return;
            }
        }
    }
}

fn read(answer: TrustState) -> Result<Known> {
    let mut verifier = Verifier::new(&answer.issuer, &answer.jwks_json).map_err(Error::internal)?;
    for revocation in answer.revocations {
        if !revocation.token_id.is_empty() {
            verifier.revoke_token(revocation.token_id);
        } else {
            // One that cannot be read must not be passed over: it ends somebody's access.
            let until = revocation.issued_until.as_ref().and_then(Moment::from_proto);
            let until = until.ok_or_else(|| Error::internal(anyhow::anyhow!("a revocation without a moment")))?;
            verifier.revoke_principal(revocation.principal, until);
        }
    }
    Ok(Known { version: answer.version, verifier })
}
