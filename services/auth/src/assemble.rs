//! Puts the service together: the only place that knows all its parts.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use runwarden_engines::catalog::Catalog;
use runwarden_engines::config::{Change, ConfigStore};
use runwarden_engines::idempotency::{self, Idempotency};
use runwarden_kit::audit::Outbox;
use runwarden_kit::clock::Clock;
use runwarden_kit::trust::Ticks;

use crate::Config;
use crate::client::bootstrap;
use crate::client::clients::Clients;
use crate::client::prove::Prover;
use crate::client::refusals::Refusals;
use crate::client::secret::Pepper;
use crate::client::standing::Standings;
use crate::key::key_file::KeyFile;
use crate::key::keyring::Keyring;
use crate::key::sealing::Sealer;
use crate::maintenance::Maintenance;
use crate::role::bindings::Bindings;
use crate::role::roles::RoleBook;
use crate::rpc::client::ClientRpc;
use crate::rpc::hook::HookIdentityRpc;
use crate::rpc::role::RoleRpc;
use crate::rpc::standing::StandingRpc;
use crate::rpc::token::TokenRpc;
use crate::shared::Shared;
use crate::store::{self, Store, keys};
use crate::token::tokens::Tokens;
use crate::trust::scopes::Scopes;
use crate::trust::state::Trust;
use crate::trust::tenants::Tenants;

/// The parts the service is assembled from.
pub(crate) struct Ground<'a> {
    /// Its store.
    pub(crate) config_store: Arc<dyn ConfigStore>,
    /// Where its audit entries wait, in that store.
    pub(crate) outbox: Outbox,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// How time passes, whatever the clock is set to.
    pub(crate) ticks: Ticks,
    /// Which tenants and projects exist.
    pub(crate) scopes: Arc<dyn Scopes>,
    /// Its folder.
    pub(crate) data_dir: &'a Path,
}

/// The service, put together.
pub(crate) struct Assembled {
    pub(crate) tokens: TokenRpc,
    pub(crate) clients: ClientRpc,
    pub(crate) roles: RoleRpc,
    pub(crate) standings: StandingRpc,
    pub(crate) hooks: HookIdentityRpc,
    pub(crate) maintenance: Maintenance,
    pub(crate) tenants: Arc<Tenants>,
}

/// Puts the service together. When this returns, there are a signing key and an administrator.
pub(crate) async fn assemble(config: &Config, ground: Ground<'_>) -> anyhow::Result<Assembled> {
    config.check()?;
    let store = Store::new(Catalog::new(Arc::clone(&ground.config_store), ground.outbox));
    let in_folder = |name: &str| ground.data_dir.join(name);
    let seal_path = config.seal_key_file.clone();
    let seal_path = seal_path.unwrap_or_else(|| in_folder("seal.key"));
    let pepper_path = config.pepper_file.clone();
    let pepper_path = pepper_path.unwrap_or_else(|| in_folder("pepper.key"));
    let bootstrap_path = config.bootstrap_file.clone();
    let bootstrap_path = bootstrap_path.unwrap_or_else(|| in_folder("bootstrap.json"));

    let seal = key_file(&store, &seal_path, "seal").await?;
    let pepper = key_file(&store, &pepper_path, "pepper").await?;
    let keyring = Keyring::open(store.clone(), Sealer::new(&seal)?, Arc::clone(&ground.clock), config.key_policy());
    let keyring = Arc::new(keyring.await.map_err(explain).context("signing keys")?);
    let tenants = Arc::new(Tenants::new(Arc::clone(&ground.scopes)));
    let trust = Arc::new(Trust::new(
        store.clone(),
        Arc::clone(&keyring),
        Arc::clone(&tenants),
        Arc::clone(&ground.clock),
        Arc::clone(&ground.ticks),
        config.issuer.clone(),
    ));
    let shared = Arc::new(Shared {
        store,
        clock: ground.clock,
        ticks: ground.ticks,
        scopes: ground.scopes,
        pepper: Pepper::new(&pepper),
        trust: Arc::clone(&trust),
    });
    bootstrap::ensure_administrator(&shared, &bootstrap_path).await?;

    let idempotency = Idempotency::new(ground.config_store, idempotency::Pepper::new(pepper.derive("idempotency")));
    let once = idempotency.clone();
    let prover = Arc::new(Prover { shared: Arc::clone(&shared), refusals: Refusals::default() });
    let tokens = Arc::new(Tokens {
        shared: Arc::clone(&shared),
        keyring: Arc::clone(&keyring),
        prover: Arc::clone(&prover),
        issuer: config.issuer.clone(),
        lifetime: config.token_lifetime,
    });
    Ok(Assembled {
        hooks: HookIdentityRpc(Arc::clone(&tokens)),
        tokens: TokenRpc { tokens, trust, keyring: Arc::clone(&keyring), once: once.clone() },
        clients: ClientRpc {
            clients: Clients { shared: Arc::clone(&shared), most: config.max_clients },
            once: once.clone(),
        },
        roles: RoleRpc {
            roles: RoleBook { shared: Arc::clone(&shared) },
            bindings: Bindings { shared: Arc::clone(&shared) },
            once,
        },
        standings: StandingRpc(Standings { shared: Arc::clone(&shared) }),
        maintenance: Maintenance { shared, keyring, prover, idempotency, seen: Mutex::default() },
        tenants,
    })
}

/// Opens a key file and makes sure it is the one the store was written with.
async fn key_file(store: &Store, path: &Path, purpose: &str) -> anyhow::Result<KeyFile> {
    let key = keys::key_file_mark(purpose);
    let known = store.get::<String>(&key).await.map_err(explain)?;
    let known = known.map(|stored| stored.value);
    let file = KeyFile::open(path, purpose, known.as_deref())?;
    if known.is_none() {
        let mut change = Change::new();
        change.absent(&key);
        store::put(&mut change, &key, &file.mark(purpose)).map_err(explain)?;
        if !store.commit_silently(change).await.map_err(explain)?.is_done() {
            // Another replica was first: ours must be the same file.
            let theirs = store.get::<String>(&key).await.map_err(explain)?;
            return KeyFile::open(path, purpose, theirs.map(|mark| mark.value).as_deref());
        }
    }
    Ok(file)
}

/// A failed start is read by an operator, so it says why.
fn explain(error: runwarden_kit::Error) -> anyhow::Error {
    match error.cause() {
        Some(cause) => anyhow::anyhow!("{error} ({cause:#})"),
        None => error.into(),
    }
}
