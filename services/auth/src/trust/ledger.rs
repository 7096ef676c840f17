//! All revocations in memory, in the order they arrived: a service receives those since it last asked. Reading the
//! store, answering and expiring cost time in proportion to the changes, not to the total.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Instant;

use runwarden_kit::clock::Moment;
use runwarden_kit::revoked::{Keep, Present, Revoked};

use crate::store::{Stored, Written, keys};
use crate::trust::revocation::{Ended, OUTLIVED, Revocation};

/// What has ended before its time.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By key.
    entries: BTreeMap<String, Kept>,
    /// Keys by revision.
    order: BTreeSet<(i64, String)>,
    /// Keys by when they were read.
    heard: BTreeSet<(Instant, String)>,
    /// The store's revision of the last entry that was read.
    last: i64,
    /// The store's revision up to which it was looked through.
    read_to: i64,
    /// The same, ready to judge by.
    revoked: Revoked,
}

struct Kept {
    stored: Stored<Revocation>,
    heard: Instant,
}

impl Ledger {
    /// The store's revision of the last entry: it identifies what was sent.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Up to which revision the store was looked through, others' entries included.
    pub(crate) fn read_to(&self) -> i64 {
        self.read_to
    }

    /// Takes in what was written since, and forgets what has expired.
    pub(crate) fn take(&mut self, written: Written<Revocation>, now: Present) {
        self.read_to = self.read_to.max(written.head);
        let news = !written.records.is_empty();
        for stored in written.records {
            self.last = self.last.max(stored.revision);
            self.put(stored, now.steady);
        }
        let expired = self.forget(now);
        if news || expired {
            self.revoked.tidy(now);
        }
    }

    fn put(&mut self, stored: Stored<Revocation>, heard: Instant) {
        let key = stored.key.clone();
        let forget_at = stored.value.forget_at;
        self.remove(&key);
        match &stored.value.ended {
            Ended::Token { token_id, principal, issued_at } => {
                let issued_at = issued_at.unwrap_or(Moment::from_micros(i64::MAX));
                self.revoked.end_token(token_id.clone(), principal.clone(), issued_at, forget_at, heard);
            }
            Ended::Principal { principal, issued_until } => {
                self.revoked.end_principal(principal.clone(), *issued_until, forget_at, heard);
                self.remove_tokens(principal, *issued_until);
            }
        }
        self.order.insert((stored.revision, key.clone()));
        self.heard.insert((heard, key.clone()));
        self.entries.insert(key, Kept { stored, heard });
    }

    /// Single tokens that ended together with all of their principal need no entry of their own.
    fn remove_tokens(&mut self, principal: &str, issued_until: Moment) {
        let prefix = keys::token_revocations(principal);
        let covered: Vec<String> = self
            .entries
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(_, kept)| matches!(&kept.stored.value.ended, Ended::Token { issued_at: Some(at), .. } if *at <= issued_until))
            .map(|(key, _)| key.clone())
            .collect();
        for key in covered {
            self.remove(&key);
        }
    }

    /// Only entries that arrived long enough ago are examined; nearly all of those have expired by the clock, too.
    fn forget(&mut self, now: Present) -> bool {
        let Some(long_ago) = now.steady.checked_sub(OUTLIVED) else { return false };
        let old = self.heard.range(..=(long_ago, String::from(char::MAX)));
        let expired = |key: &String| {
            let kept = self.entries.get(key);
            kept.is_some_and(|kept| (Keep { until: kept.stored.value.forget_at, heard: kept.heard }).is_over(now))
        };
        let over: Vec<String> = old.map(|(_, key)| key).filter(|key| expired(key)).cloned().collect();
        over.iter().for_each(|key| self.remove(key));
        !over.is_empty()
    }

    fn remove(&mut self, key: &str) {
        if let Some(kept) = self.entries.remove(key) {
            self.order.remove(&(kept.stored.revision, key.to_owned()));
            self.heard.remove(&(kept.heard, key.to_owned()));
        }
    }

    /// What was written after a revision, oldest first.
    pub(crate) fn since(&self, revision: i64) -> impl Iterator<Item = &Revocation> {
        let after = (Bound::Excluded((revision, String::from(char::MAX))), Bound::Unbounded);
        self.order.range(after).filter_map(|(_, key)| self.entries.get(key)).map(|kept| &kept.stored.value)
    }

    /// How many of a principal's tokens were ended one by one and have not expired yet; and until when those, and all
    /// before them, were issued.
    pub(crate) fn tokens_of(&self, principal: &str, now: Moment) -> (usize, Option<Moment>) {
        let prefix = keys::token_revocations(principal);
        let of_it = self.entries.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let alive = of_it.filter(|(_, kept)| kept.stored.value.forget_at > now);
        alive.fold((0, None), |(count, latest), (_, kept)| {
            let issued_at = match &kept.stored.value.ended {
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
