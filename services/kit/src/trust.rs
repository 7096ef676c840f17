//! Each service's own copy of what it takes to verify callers, renewed every second from `auth`.
//!
//! A service that cannot renew it goes on for [`MAX_AGE`] and then refuses: a revocation it has not heard of could
//! otherwise be ignored for as long as `auth` can be kept away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use runwarden_proto::auth::v1::GetTrustStateRequest;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;
use tokio::sync::Mutex;

use crate::caller::Caller;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::lifecycle::Shutdown;
use crate::mesh::MeshChannel;
use crate::token::Verifier;

/// How often the copy is renewed: revocations hold everywhere well within 5 seconds.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How old a copy may be before callers are refused.
pub const MAX_AGE: Duration = Duration::from_secs(30);

struct State {
    version: String,
    verifier: Verifier,
    renewed: Instant,
}

/// A service's copy of the trust state.
pub struct Trust {
    state: ArcSwapOption<State>,
    /// When the copy was last confirmed; apart from the state, which changes far less often.
    confirmed: std::sync::Mutex<Option<Instant>>,
    client: Option<Mutex<TokenServiceClient<MeshChannel>>>,
}

impl Trust {
    /// An empty copy that renews itself from `auth`.
    #[must_use]
    pub fn from_auth(channel: MeshChannel) -> Arc<Self> {
        Arc::new(Self {
            state: ArcSwapOption::empty(),
            confirmed: std::sync::Mutex::new(None),
            client: Some(Mutex::new(TokenServiceClient::new(channel))),
        })
    }

    /// A fixed copy, for tests.
    #[must_use]
    pub fn fixed(verifier: Verifier) -> Arc<Self> {
        let state = State { version: String::new(), verifier, renewed: Instant::now() };
        Arc::new(Self {
            state: ArcSwapOption::from_pointee(state),
            confirmed: std::sync::Mutex::new(None),
            client: None,
        })
    }

    /// Whether callers can be verified now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.client.is_none() || self.age().is_some_and(|age| age <= MAX_AGE)
    }

    fn age(&self) -> Option<Duration> {
        self.confirmed.lock().ok().and_then(|at| *at).map(|at| at.elapsed())
    }

    /// Verifies a token and answers who calls.
    ///
    /// # Errors
    /// As [`Verifier::verify`]; `UNAVAILABLE` when the copy is missing or too old.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        if !self.is_ready() {
            return Err(Error::unavailable(
                "Callers cannot be verified right now: the auth service has not been heard from.",
            ));
        }
        let mut state = self.state.load_full();
        let known = state.as_ref().is_some_and(|s| s.verifier.knows_key_of(token));
        let fresh = state.as_ref().is_some_and(|s| s.renewed.elapsed() < Duration::from_millis(250));
        if !known && !fresh && self.client.is_some() {
            // A key made a moment ago: look once, then judge.
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "trust state could not be renewed for an unknown key");
            }
            state = self.state.load_full();
        }
        let state = state.ok_or_else(|| Error::unavailable("Callers cannot be verified yet."))?;
        state.verifier.verify(token).map(crate::token::Claims::into_caller)
    }

    /// Renews the copy once.
    ///
    /// # Errors
    /// When `auth` cannot be reached or its answer makes no sense.
    pub async fn renew(&self) -> Result<()> {
        let Some(client) = &self.client else { return Ok(()) };
        let mut client = client.lock().await;
        let known_version = self.state.load().as_ref().map(|s| s.version.clone()).unwrap_or_default();
        let asked = Instant::now();
        let answer = client
            .get_trust_state(GetTrustStateRequest { known_version })
            .await
            .map_err(|status| Error::from_status(&status))?
            .into_inner();
        if !answer.unchanged {
            let mut verifier = Verifier::new(&answer.issuer, &answer.jwks_json).map_err(Error::internal)?;
            for revocation in answer.revocations {
                if !revocation.token_id.is_empty() {
                    verifier.revoke_token(revocation.token_id);
                } else if let Some(until) = revocation.issued_until.as_ref().and_then(Moment::from_proto) {
                    verifier.revoke_principal(revocation.principal, until);
                }
            }
            self.state.store(Some(Arc::new(State { version: answer.version, verifier, renewed: Instant::now() })));
        }
        if let Ok(mut confirmed) = self.confirmed.lock() {
            *confirmed = Some(asked);
        }
        Ok(())
    }

    /// Renews the copy every second until shutdown.
    pub async fn keep_renewed(self: Arc<Self>, shutdown: Shutdown) {
        let mut failing = false;
        loop {
            match self.renew().await {
                Ok(()) => failing = false,
                Err(error) if !failing && self.age().is_some() => {
                    tracing::warn!(%error, "trust state could not be renewed; going on with the last one");
                    failing = true;
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
