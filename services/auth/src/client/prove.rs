//! How a client proves itself, and what happens when it cannot.

use std::sync::Arc;
use std::time::Duration;

use runwarden_engines::config::Change;
use runwarden_kit::audit::Outcome;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, id};
use serde_json::json;
use tokio::time::Instant;

use crate::audit;
use crate::client::record::Client;
use crate::client::refusals::{Refusals, Tally, Why};
use crate::ids;
use crate::shared::Shared;
use crate::store::Stored;

/// A refusal is answered no sooner than this, so that its timing does not reveal whether the client exists: recording
/// the refusal of a known client takes longer than refusing an unknown one.
const REFUSAL_TAKES: Duration = Duration::from_millis(50);

/// What a client wants to prove itself with.
#[derive(Clone, Copy)]
pub(crate) struct Proof<'a> {
    /// The client it claims to be.
    pub(crate) client_id: &'a str,
    /// The secret it presents.
    pub(crate) secret: &'a str,
    /// What it wants, for the record: `token.issue`.
    pub(crate) purpose: &'static str,
}

/// A client that proved itself.
pub(crate) struct Proven {
    /// The client.
    pub(crate) client: Stored<Client>,
    /// The secret it used.
    pub(crate) secret_id: String,
}

/// Checks proofs.
pub(crate) struct Prover {
    pub(crate) shared: Arc<Shared>,
    pub(crate) refusals: Refusals,
}

impl Prover {
    /// Answers the client, or `INVALID_CLIENT` without saying why.
    pub(crate) async fn prove(&self, proof: Proof<'_>) -> Result<Proven> {
        let asked = Instant::now();
        let now = self.shared.now();
        let known = self.look_up(proof.client_id).await?;
        let stored = known.as_ref().map_or(&[][..], |client| &client.value.secrets);
        // For an unknown client too: the work is the same.
        let matched =
            self.shared.pepper.matches(proof.client_id, proof.secret, stored).map(|secret| secret.secret_id.clone());
        let why = match (known, matched) {
            (Some(client), Some(secret_id)) if client.value.works_at(now) => {
                return Ok(Proven { client, secret_id });
            }
            (Some(client), matched) => {
                let why = match matched {
                    None => Why::WrongSecret,
                    Some(_) if client.value.disabled => Why::Disabled,
                    Some(_) => Why::Expired,
                };
                self.record(proof, &client.value, why, now).await;
                why
            }
            (None, _) => Why::Unknown,
        };
        count(proof, why);
        tokio::time::sleep_until(asked + REFUSAL_TAKES).await;
        Err(Error::new(ErrorReason::InvalidClient, "The client id and secret do not match an enabled client.")
            .with_metadata("oauth_error", "invalid_client"))
    }

    /// Refuses a client that authenticated, but whose tenant is disabled or missing.
    pub(crate) async fn require_open(&self, proof: Proof<'_>, proven: &Proven) -> Result<()> {
        let client = &proven.client.value;
        let Some(tenant) = client.tenant.as_ref() else { return Ok(()) };
        let status = self.shared.scopes.check(tenant, None).await?;
        if status.tenant_exists && !status.tenant_disabled {
            return Ok(());
        }
        self.record(proof, client, Why::TenantDisabled, self.shared.now()).await;
        count(proof, Why::TenantDisabled);
        Err(Error::new(ErrorReason::TenantDisabled, "The tenant is disabled."))
    }

    /// Records the refusals that were only counted in minutes that are over by `now`. Refusals whose log accepts
    /// nothing stay counted and do not stop the others from being recorded; the last of their errors is returned.
    pub(crate) async fn record_counted(&self, now: Moment) -> Result<()> {
        let mut outcome = Ok(());
        for counted in self.refusals.over(now) {
            let entry = self
                .shared
                .entry("token.refuse", "client", &counted.client_id)
                .tenant(counted.tenant.as_ref().map_or("", TenantId::as_str))
                .actor(audit::unproven())
                .outcome(Outcome::Denied)
                .details(&json!({ "further_refusals": counted.refusals }));
            if let Err(error) = self.shared.store.commit(Change::new(), &entry.build()).await {
                self.refusals.put_back(counted, now);
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn look_up(&self, client_id: &str) -> Result<Option<Stored<Client>>> {
        if !id::is_valid(ids::CLIENT, client_id) {
            return Ok(None);
        }
        let owner = self.shared.store.client_owner(client_id).await?;
        let tenant = owner.as_ref().and_then(|owner| owner.tenant.as_ref());
        // Without an owner this finds nothing, in the same number of steps.
        self.shared.store.client(tenant, client_id).await
    }

    async fn record(&self, proof: Proof<'_>, client: &Client, why: Why, now: Moment) {
        let tenant = client.tenant.as_ref();
        if self.refusals.note(&client.client_id, tenant, now) == Tally::Count {
            return;
        }
        let entry = self
            .shared
            .entry("token.refuse", "client", &client.client_id)
            .tenant(tenant.map_or("", TenantId::as_str))
            .actor(audit::unproven())
            .outcome(Outcome::Denied)
            .details(&json!({ "reason": why.name(), "wanted": proof.purpose, "name": client.name }));
        if let Err(error) = self.shared.store.commit(Change::new(), &entry.build()).await {
            // It is refused either way; a different answer would reveal that the client exists.
            tracing::warn!(client_id = client.client_id, cause = ?error.cause(), "a refusal could not be recorded: {error}");
        }
    }
}

fn count(proof: Proof<'_>, why: Why) {
    // Whose secret it was is in the log and the audit log; as a label it would grow with the number of clients.
    metrics::counter!("runwarden_auth_refusals_total", "reason" => why.name(), "wanted" => proof.purpose).increment(1);
}
