//! The keyring: all signing keys, made, rotated and forgotten.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use aws_lc_rs::rsa::KeySize;
use runwarden_engines::config::{Change, Commit};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit;
use crate::key::sealing::Sealer;
use crate::key::signing_key::{self, KeyRecord, KeyState, SigningKey};
use crate::once::Once;
use crate::store::{self, Store, TRIES, keys};
use crate::trust::revocation::OUTLIVED;

/// At most this many keys are published at a time; each is looked through by every verifier.
const MAX_KEYS: usize = 12;

/// A key dated further ahead than the next one would be, by more than this, was made while a clock was ahead.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// How the keyring behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPolicy {
    /// How long a key signs before the next one is made by itself.
    pub(crate) rotate_every: Duration,
    /// How long a key is published before it signs.
    pub(crate) overlap: Duration,
    /// How long keys are.
    pub(crate) size: KeySize,
}

/// Which key was created last. Creating the next one writes this record too, so that two processes never do so at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SigningHead {
    newest: String,
}

/// The keys as they were read last, in the order in which they begin to sign.
#[derive(Default)]
struct Ring {
    keys: Vec<Arc<SigningKey>>,
}

impl Ring {
    fn with_states(&self, now: Moment) -> impl Iterator<Item = (&Arc<SigningKey>, KeyState)> {
        let times: Vec<Moment> = self.keys.iter().map(|key| key.record.signs_from).collect();
        self.keys.iter().zip(signing_key::states(&times, now, OUTLIVED))
    }
}

/// The keys that stay when the next one is made.
struct Kept {
    /// When they begin to sign, in that order.
    times: Vec<Moment>,
    /// Those that do not stay, by id.
    replaced: Vec<String>,
}

impl Ring {
    /// Removes the keys that a clock which was ahead dated so far ahead that the next one would wait for them. The
    /// first key signs in any case, so that one is dated anew.
    fn keep(&self, change: &mut Change, now: Moment, overlap: Duration) -> Result<Kept> {
        let latest = now.plus(overlap).plus(CLOCKS_DIFFER);
        let mut kept = Kept { times: Vec::new(), replaced: Vec::new() };
        for key in &self.keys {
            let record = &key.record;
            let stored = keys::signing_key(&record.kid);
            if record.signs_from <= latest {
                kept.times.push(record.signs_from);
            } else if kept.times.is_empty() {
                let mut anew = record.clone();
                anew.signs_from = now;
                store::put(change, stored, &anew)?;
                kept.times.push(now);
            } else {
                change.delete(stored);
                kept.replaced.push(record.kid.clone());
            }
        }
        Ok(kept)
    }
}

/// The keyring of this process. The keys themselves are in the store, sealed, and the same for every replica.
pub(crate) struct Keyring {
    store: Store,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    policy: KeyPolicy,
    ring: ArcSwap<Ring>,
}

impl Keyring {
    /// Reads the keys and makes the first one, which signs at once: nobody knows an older one.
    pub(crate) async fn open(store: Store, sealer: Sealer, clock: Arc<dyn Clock>, policy: KeyPolicy) -> Result<Self> {
        let keyring =
            Self { store, sealer: Arc::new(sealer), clock, policy, ring: ArcSwap::from_pointee(Ring::default()) };
        keyring.refresh().await?;
        if keyring.ring.load().keys.is_empty() {
            keyring.make("signing_key.create", None).await?;
        }
        Ok(keyring)
    }

    /// The key that signs now.
    pub(crate) fn active(&self) -> Result<Arc<SigningKey>> {
        let now = self.clock.now();
        let ring = self.ring.load();
        ring.with_states(now)
            .find(|(_, state)| *state == KeyState::Active)
            // A clock that went backwards leaves no key active: the oldest is known to everybody.
            .map(|(key, _)| Arc::clone(key))
            .or_else(|| ring.keys.first().cloned())
            .ok_or_else(|| Error::internal(anyhow::anyhow!("there is no signing key")))
    }

    /// The published keys as a JSON Web Key Set (RFC 7517).
    pub(crate) fn jwks_json(&self) -> String {
        let now = self.clock.now();
        let ring = self.ring.load();
        let keys: Vec<_> = ring
            .with_states(now)
            .filter(|(_, state)| *state != KeyState::Spent)
            .map(|(key, _)| signing_key::jwk(&key.record))
            .collect();
        json!({ "keys": keys }).to_string()
    }

    /// Reads what other replicas did.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let mut records: Vec<KeyRecord> = self
            .store
            .list_all::<KeyRecord>(keys::SIGNING_KEYS)
            .await?
            .into_iter()
            .map(|stored| stored.value)
            .collect();
        records.sort_by(|a, b| (a.signs_from, &a.kid).cmp(&(b.signs_from, &b.kid)));
        let known = self.ring.load_full();
        if known.keys.iter().map(|key| &key.record).eq(records.iter()) {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            match known.keys.iter().find(|key| key.record == record) {
                Some(key) => keys.push(Arc::clone(key)),
                None => keys.push(self.unseal(record).await?),
            }
        }
        self.ring.store(Arc::new(Ring { keys }));
        Ok(())
    }

    async fn unseal(&self, record: KeyRecord) -> Result<Arc<SigningKey>> {
        let sealer = Arc::clone(&self.sealer);
        tokio::task::spawn_blocking(move || SigningKey::open(record, &sealer))
            .await
            .map_err(Error::internal)?
            .map(Arc::new)
            .map_err(Error::internal)
    }

    /// Creates the next key on request and returns its id. It starts to sign once every service has had time to learn
    /// it.
    pub(crate) async fn rotate(&self, once: &Once<'_, String>) -> Result<String> {
        self.make("signing_key.rotate", Some(once)).await
    }

    /// Rotates when it is time, and forgets keys whose tokens have all expired.
    pub(crate) async fn maintain(&self) -> Result<()> {
        self.refresh().await?;
        let now = self.clock.now();
        let ring = self.ring.load_full();
        for (key, state) in ring.with_states(now) {
            if state == KeyState::Spent {
                let kid = &key.record.kid;
                let mut change = Change::new();
                change.delete(keys::signing_key(kid));
                let entry = audit::entry(&*self.clock, "signing_key.forget", "signing_key", kid);
                self.store.commit(change, &entry.build()).await?;
            }
        }
        let newest = ring.keys.last().map(|key| key.record.signs_from);
        if newest.is_none_or(|from| from.plus(self.policy.rotate_every) <= now) {
            // Which leaves the ring as it is in the store.
            self.make("signing_key.rotate", None).await?;
            return Ok(());
        }
        self.refresh().await
    }

    async fn make(&self, action: &str, once: Option<&Once<'_, String>>) -> Result<String> {
        let mut refused_the_first = false;
        for _ in 0..TRIES {
            // The head first: a key that is made after it was read refuses this change.
            let head = self.store.get::<SigningHead>(keys::SIGNING_HEAD).await?;
            self.refresh().await?;
            let now = self.clock.now();
            let ring = self.ring.load_full();
            if refused_the_first && let Some(key) = ring.keys.first() {
                // Another replica made the first one at the same time.
                return Ok(key.record.kid.clone());
            }
            let mut change = Change::new();
            let Kept { times, replaced } = ring.keep(&mut change, now, self.policy.overlap)?;
            let states = signing_key::states(&times, now, OUTLIVED);
            if states.iter().filter(|state| **state != KeyState::Spent).count() >= MAX_KEYS {
                return Err(Error::conflict(format!(
                    "{MAX_KEYS} signing keys are still published, because tokens they signed may not have expired. Try again in an hour."
                )));
            }
            let newest = times.last().copied();
            let signs_from =
                newest.map_or(now, |last| now.plus(self.policy.overlap).max(last.plus(Duration::from_micros(1))));
            let record = self.generate(now, signs_from).await?;
            let kid = record.kid.clone();
            store::guard(&mut change, keys::SIGNING_HEAD, head.as_ref());
            store::put(&mut change, keys::SIGNING_HEAD, &SigningHead { newest: kid.clone() })?;
            store::put(&mut change, keys::signing_key(&kid), &record)?;
            if let Some(once) = once {
                once.keep(&mut change, &kid)?;
            }
            // Keys are the platform's, whichever tenant its administrator acts for.
            let entry = audit::entry(&*self.clock, action, "signing_key", &kid)
                .tenant("")
                .details(&json!({ "signs_from": signs_from.rfc3339(), "replaces": replaced }));
            match self.store.commit(change, &entry.build()).await? {
                Commit::Done { .. } => {
                    self.refresh().await?;
                    tracing::info!(kid, signs_from = signs_from.rfc3339(), "created a signing key");
                    return Ok(kid);
                }
                Commit::Refused { key: refused } => once.map_or(Ok(()), |once| once.check_lost(&refused))?,
            }
            refused_the_first = newest.is_none();
        }
        Err(Error::contended())
    }

    async fn generate(&self, now: Moment, signs_from: Moment) -> Result<KeyRecord> {
        let (size, sealer) = (self.policy.size, Arc::clone(&self.sealer));
        tokio::task::spawn_blocking(move || SigningKey::generate(size, &sealer, now, signs_from))
            .await
            .context("creating a signing key")
            .flatten()
            .map(|key| key.record)
            .map_err(Error::internal)
    }
}
