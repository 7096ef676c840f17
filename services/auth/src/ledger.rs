//! All revocations in memory, by when they came: what a service is told is what came since it last asked. Reading the
//! store, telling, and forgetting cost what changed, not what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use runwarden_kit::clock::Moment;
use runwarden_kit::revoked::Revoked;

use crate::revocation::{Ended, Revocation};
use crate::store::{Stored, keys};

/// What has ended before its time.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By key.
    entries: BTreeMap<String, Stored<Revocation>>,
    /// Keys by revision.
    order: BTreeSet<(i64, String)>,
    /// Keys by when they can be forgotten.
    ends: BTreeSet<(Moment, String)>,
    /// The store's revision of the last entry that was read.
    read_to: i64,
    /// The same, ready to judge by.
    revoked: Revoked,
}

impl Ledger {
    /// Up to which revision of the store it was read.
    pub(crate) fn read_to(&self) -> i64 {
        self.read_to
    }

    /// Takes in what was written since, and forgets what has expired.
    pub(crate) fn take(&mut self, written: Vec<(String, Stored<Revocation>)>, now: Moment) {
        let news = !written.is_empty();
        for (key, stored) in written {
            self.read_to = self.read_to.max(stored.revision);
            self.put(key, stored);
        }
        let expired = self.forget(now);
        if news || expired {
            self.revoked.tidy(now);
        }
    }

    fn put(&mut self, key: String, stored: Stored<Revocation>) {
        self.remove(&key);
        match &stored.value.ended {
            Ended::Token { token_id, principal, issued_at } => {
                let issued_at = issued_at.unwrap_or(Moment::from_micros(i64::MAX));
                self.revoked.end_token(token_id.clone(), principal.clone(), issued_at, stored.value.forget_at);
            }
            Ended::Principal { principal, issued_until } => {
                self.revoked.end_principal(principal.clone(), *issued_until, stored.value.forget_at);
                self.remove_tokens(principal, *issued_until);
            }
        }
        self.order.insert((stored.revision, key.clone()));
        self.ends.insert((stored.value.forget_at, key.clone()));
        self.entries.insert(key, stored);
    }

    /// Single tokens that ended together with all of their principal need no entry of their own.
    fn remove_tokens(&mut self, principal: &str, issued_until: Moment) {
        let prefix = keys::token_revocations(principal);
        let covered: Vec<String> = self
            .entries
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(_, stored)| matches!(&stored.value.ended, Ended::Token { issued_at: Some(at), .. } if *at <= issued_until))
            .map(|(key, _)| key.clone())
            .collect();
        for key in covered {
            self.remove(&key);
        }
    }

    fn forget(&mut self, now: Moment) -> bool {
        let mut any = false;
        while let Some((end, key)) = self.ends.first().cloned()
            && end <= now
        {
            self.remove(&key);
            any = true;
        }
        any
    }

    fn remove(&mut self, key: &str) {
        if let Some(stored) = self.entries.remove(key) {
            self.order.remove(&(stored.revision, key.to_owned()));
            self.ends.remove(&(stored.value.forget_at, key.to_owned()));
        }
    }

    /// What was written after a revision, oldest first.
    pub(crate) fn since(&self, revision: i64) -> impl Iterator<Item = &Revocation> {
        let after = (Bound::Excluded((revision, String::from(char::MAX))), Bound::Unbounded);
        self.order.range(after).filter_map(|(_, key)| self.entries.get(key)).map(|stored| &stored.value)
    }

    /// How many of a principal's tokens were ended one by one and have not expired yet; and until when those, and all
    /// before them, were issued.
    pub(crate) fn tokens_of(&self, principal: &str) -> (usize, Option<Moment>) {
        let prefix = keys::token_revocations(principal);
        let of_it = self.entries.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        of_it.fold((0, None), |(count, latest), (_, stored)| {
            let issued_at = match &stored.value.ended {
                Ended::Token { issued_at, .. } => *issued_at,
                Ended::Principal { .. } => None,
            };
            (count + 1, issued_at.max(latest))
        })
    }

    /// What to judge tokens by.
    pub(crate) fn revoked(&self) -> &Revoked {
        &self.revoked
    }
}
