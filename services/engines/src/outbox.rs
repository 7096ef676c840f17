//! Audit entries on their way: written in the same commit as the change they tell of, taken out once the audit
//! service has them, in the same commit that keeps how far the log was then.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use runwarden_kit::audit::{LogHead, OutboxStore, SetAside, log_name, tenant_of};
use runwarden_proto::audit::v1::Entry;

use crate::config::{Change, Commit, ConfigStore};
use crate::{Result, StoreError};

/// Where entries wait: by tenant, then by id. Entry ids grow with time, so key order is the order of events.
const WAITING: &str = "outbox/";
/// Where they waited before each tenant had a queue of its own. No tenant's name has an underscore.
const WAITING_BEFORE: &str = "outbox/rec_";
/// Where entries are that the audit service refused.
const ASIDE: &str = "outbox-set-aside/";
/// How far each log was seen.
const SEEN: &str = "outbox-seen/";

/// Whether a key of a config store belongs to the outbox in it.
pub(crate) fn is_of_outbox(key: &str) -> bool {
    [WAITING, ASIDE, SEEN].iter().any(|prefix| key.starts_with(prefix))
}

/// How many entries one commit takes out or moves, and how many heads it keeps; the rest follows in further commits.
const AT_ONCE: usize = 50;
/// How many are read at once where all are wanted.
const PAGE: usize = 500;

/// Adds the entry to the change: both become durable, or neither.
pub fn put(change: &mut Change, entry: &Entry) {
    change.put(waiting_key(entry), entry.encode_to_vec());
}

/// Where the entries of a tenant wait.
pub fn waiting_of(tenant: &str) -> String {
    format!("{WAITING}{}/", log_name(tenant))
}

fn waiting_key(entry: &Entry) -> String {
    format!("{}{}", waiting_of(&entry.tenant), entry.entry_id)
}

fn aside_of(tenant: &str) -> String {
    format!("{ASIDE}{}/", log_name(tenant))
}

/// The outbox of a service whose state is in a config store.
#[derive(Clone, Debug)]
pub struct ConfigOutbox {
    store: Arc<dyn ConfigStore>,
}

impl ConfigOutbox {
    /// The outbox in this store.
    pub fn new(store: Arc<dyn ConfigStore>) -> Self {
        Self { store }
    }

    /// The tenants for which entries wait.
    pub async fn waiting(&self) -> Result<Vec<String>> {
        self.adopt().await?;
        let mut tenants = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let next = self.store.list(WAITING, after.as_deref(), 1).await?;
            let Some(entry) = next.first() else { return Ok(tenants) };
            let log = entry.key.strip_prefix(WAITING).and_then(|rest| rest.split_once('/'));
            let (log, _) = log.ok_or_else(|| StoreError::Corrupt(format!("{} in the outbox", entry.key)))?;
            // Behind every key of this tenant.
            after = Some(format!("{WAITING}{log}/{}", char::MAX));
            tenants.push(tenant_of(log).to_owned());
        }
    }

    /// Gives entries that an earlier version left the place that they have now.
    async fn adopt(&self) -> Result<()> {
        loop {
            let earlier = self.store.list(WAITING_BEFORE, None, AT_ONCE).await?;
            if earlier.is_empty() {
                return Ok(());
            }
            let mut change = Change::new();
            for stored in &earlier {
                put(&mut change, &decode(stored)?);
                change.delete(stored.key.as_str());
            }
            self.store.commit(change).await?;
        }
    }

    /// The oldest entries of a tenant that wait, at most `limit`.
    pub async fn pending(&self, tenant: &str, limit: usize) -> Result<Vec<Entry>> {
        self.store.list(&waiting_of(tenant), None, limit).await?.iter().map(decode).collect()
    }

    /// All entries that wait, tenant by tenant: for tests and for people who look.
    pub async fn pending_of_all(&self) -> Result<Vec<Entry>> {
        self.store.list(WAITING, None, usize::MAX).await?.iter().map(decode).collect()
    }

    /// Takes out entries that were delivered and keeps how far logs were seen, unless more was seen already. Unknown
    /// ids are not a failure.
    ///
    /// That may take several commits. The heads come first, the last of them together with the first entries: no entry
    /// is forgotten before all heads are kept. What is cut off in between is done again by the next settlement.
    pub async fn settle(&self, tenant: &str, ids: &[String], seen: &[LogHead]) -> Result<()> {
        let ids: Vec<&String> = ids.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let heads = newest(seen);
        let (first, last) = heads.split_at(heads.len().saturating_sub(1) / AT_ONCE * AT_ONCE);
        for some in first.chunks(AT_ONCE) {
            self.settle_some(tenant, &[], some).await?;
        }
        let mut ids = ids.chunks(AT_ONCE);
        self.settle_some(tenant, ids.next().unwrap_or_default(), last).await?;
        for more in ids {
            self.settle_some(tenant, more, &[]).await?;
        }
        Ok(())
    }

    /// One commit of a settlement.
    async fn settle_some(&self, tenant: &str, ids: &[&String], heads: &[&LogHead]) -> Result<()> {
        loop {
            let mut change = Change::new();
            for id in ids {
                change.delete(format!("{}{id}", waiting_of(tenant)));
            }
            for head in heads {
                self.keep_head(&mut change, head).await?;
            }
            // Refused only when another process kept a head meanwhile: then all of them are looked at again.
            if change.writes().is_empty() || self.store.commit(change).await?.is_done() {
                return Ok(());
            }
        }
    }

    /// Adds a head if it is newer than what is kept. What was seen of a log never goes back, whichever process saw it.
    async fn keep_head(&self, change: &mut Change, head: &LogHead) -> Result<()> {
        let key = format!("{SEEN}{}", log_name(&head.tenant));
        match self.store.get(&key).await? {
            None => change.absent(key.as_str()),
            Some(kept) if age(head) > age(&decode(&kept)?) => change.at(key.as_str(), kept.revision),
            Some(_) => return Ok(()),
        };
        change.put(key, head.encode_to_vec());
        Ok(())
    }

    async fn all<T: Message + Default>(&self, prefix: &str) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(prefix, after.as_deref(), PAGE).await?;
            for stored in &page {
                all.push(decode(stored)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }
}

/// How heads of one log follow one another: a restored log may be shorter than it was.
fn age(head: &LogHead) -> (i64, i64) {
    (head.restores, head.size)
}

/// The newest head of each log.
fn newest(seen: &[LogHead]) -> Vec<&LogHead> {
    let mut newest: BTreeMap<&str, &LogHead> = BTreeMap::new();
    for head in seen {
        let kept = newest.entry(log_name(&head.tenant)).or_insert(head);
        if age(head) > age(kept) {
            *kept = head;
        }
    }
    newest.into_values().collect()
}

fn decode<T: Message + Default>(stored: &crate::config::ConfigEntry) -> Result<T> {
    T::decode(stored.value.as_slice()).map_err(|error| StoreError::Corrupt(format!("{}: {error}", stored.key)))
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[async_trait]
impl OutboxStore for ConfigOutbox {
    async fn waiting(&self) -> runwarden_kit::Result<Vec<String>> {
        Ok(Self::waiting(self).await?)
    }

    async fn pending(&self, tenant: &str, limit: usize) -> runwarden_kit::Result<Vec<Entry>> {
        Ok(Self::pending(self, tenant, limit).await?)
    }

    async fn count(&self, tenant: &str) -> runwarden_kit::Result<usize> {
        let waiting = self.store.count(&waiting_of(tenant)).await?;
        Ok(number(waiting + self.store.count(&aside_of(tenant)).await?))
    }

    async fn totals(&self) -> runwarden_kit::Result<(usize, usize)> {
        Ok((number(self.store.count(WAITING).await?), number(self.store.count(ASIDE).await?)))
    }

    async fn settle(&self, tenant: &str, entry_ids: &[String], seen: &[LogHead]) -> runwarden_kit::Result<()> {
        Ok(Self::settle(self, tenant, entry_ids, seen).await?)
    }

    async fn seen(&self) -> runwarden_kit::Result<Vec<LogHead>> {
        Ok(self.all(SEEN).await?)
    }

    async fn set_aside(&self, refused: &SetAside) -> runwarden_kit::Result<()> {
        let Some(entry) = &refused.entry else { return Ok(()) };
        let mut change = Change::new();
        change.delete(waiting_key(entry));
        change.put(format!("{}{}", aside_of(&entry.tenant), entry.entry_id), refused.encode_to_vec());
        self.store.commit(change).await?;
        Ok(())
    }

    async fn aside(&self) -> runwarden_kit::Result<Vec<SetAside>> {
        Ok(self.all(ASIDE).await?)
    }

    async fn send_again(&self, tenant: &str, entry_id: &str) -> runwarden_kit::Result<bool> {
        let key = format!("{}{entry_id}", aside_of(tenant));
        let Some(stored) = self.store.get(&key).await? else { return Ok(false) };
        let aside: SetAside = decode(&stored)?;
        let mut change = Change::new();
        change.at(key.as_str(), stored.revision).delete(key.as_str());
        if let Some(entry) = &aside.entry {
            put(&mut change, entry);
        }
        Ok(matches!(self.store.commit(change).await?, Commit::Done { .. }))
    }
}

#[cfg(test)]
mod tests;
