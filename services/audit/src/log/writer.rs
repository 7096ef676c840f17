//! The one writer: takes what waits, seals it as one batch, and answers when the batch is on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use runwarden_kit::clock::Clock;
use tokio::sync::mpsc;

use super::head::{Head, load};
use super::journal::{Journal, JournalLimits, Request};
use super::{LogError, origin};
use crate::note::{Checkpoint, SigningKey};
use crate::record::{Entry, Record, Timestamp, line_hash};
use crate::store::{Batch, LogStore, Sealed};

/// How many heads are kept; beyond that all are forgotten, and loaded and checked again when they are needed.
const MOST_HEADS: usize = 1024;

/// Which logs are damaged, and how; shared with whoever tells operators.
#[derive(Debug, Clone, Default)]
pub struct Damage(Arc<RwLock<BTreeMap<String, String>>>);

impl Damage {
    /// The damaged logs, by tenant, with what does not fit.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The damaged logs in one line, for those who ask for health; `None` if all are sound.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        let damaged = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&str> = damaged.keys().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("damaged: {}", names.join(", ")))
    }

    fn add(&self, tenant: &str, why: &str) {
        let mut damaged = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if damaged.insert(tenant.to_owned(), why.to_owned()).is_none() {
            tracing::error!(tenant, why, "an audit log does not verify; nothing more is sealed in it");
            metrics::gauge!("runwarden_audit_damaged_logs").set(damaged.len() as f64);
        }
    }

    fn get(&self, tenant: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }
}

/// Seals entries into logs.
pub struct Writer {
    store: Arc<dyn LogStore>,
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
    requests: mpsc::Receiver<Request>,
    most: usize,
    heads: HashMap<String, Head>,
    damage: Damage,
}

impl Writer {
    /// Checks the end of every log and returns the way in and the writer, which is then to be [run](Writer::run).
    /// Damaged logs are listed in [`Writer::damage`] and not written to; the others are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        store: Arc<dyn LogStore>,
        key: Arc<SigningKey>,
        clock: Arc<dyn Clock>,
        limits: JournalLimits,
    ) -> Result<(Journal, Self), LogError> {
        let (journal, requests) = Journal::new(limits);
        let most = limits.batch.max(1);
        let mut this = Self { store, key, clock, requests, most, heads: HashMap::new(), damage: Damage::default() };
        for tenant in this.store.tenants().await? {
            match this.head(&tenant).await {
                Ok(_) | Err(LogError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((journal, this))
    }

    /// Which logs are damaged.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.damage.clone()
    }

    /// Writes until every way in is gone; then all that was waiting is written.
    pub async fn run(mut self) {
        while let Some(requests) = self.next_round().await {
            self.round(requests).await;
        }
    }

    /// Stops taking more, writes what is waiting, and ends.
    pub async fn drain(mut self) {
        self.requests.close();
        self.run().await;
    }

    /// Writes until the signal comes, then drains.
    pub async fn run_until(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                requests = self.next_round() => match requests {
                    Some(requests) => self.round(requests).await,
                    None => return,
                },
                () = &mut stop => break,
            }
        }
        self.drain().await;
    }

    /// All that waits, up to the size of a batch: while one batch is written to disk the next one gathers, so that a
    /// slow disk makes batches larger rather than the queue longer. Losing this future loses no request.
    async fn next_round(&mut self) -> Option<Vec<Request>> {
        let first = self.requests.recv().await?;
        let mut count = first.entries.len();
        let mut requests = vec![first];
        while count < self.most {
            let Ok(request) = self.requests.try_recv() else { break };
            count += request.entries.len();
            requests.push(request);
        }
        Some(requests)
    }

    /// Writes one batch and answers everybody in it.
    async fn round(&mut self, requests: Vec<Request>) {
        let mut batch = Sealing { writer: self, drafts: BTreeMap::new() };
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let refused = batch.add(request.entries).await;
            answers.push((request.done, refused));
        }
        let drafts = batch.drafts;
        let written = self.write(drafts).await;
        if written.is_err() {
            // Whether it was committed is not known: what is on disk is what counts, so it is looked at again.
            self.heads.clear();
        }
        for (done, refused) in answers {
            let answer = match (refused, &written) {
                (Some(error), _) => Err(error),
                (None, Ok(())) => Ok(()),
                (None, Err(NotWritten)) => Err(LogError::NotWritten),
            };
            // Whoever waited may be gone.
            let _ = done.send(answer);
        }
    }

    /// Signs and stores the drafts, all or nothing.
    async fn write(&mut self, drafts: BTreeMap<String, Draft>) -> Result<(), NotWritten> {
        let mut heads = Vec::new();
        let mut batches = Vec::new();
        for (tenant, mut draft) in drafts {
            if draft.sealed.is_empty() {
                continue;
            }
            let frontier = &mut draft.head.frontier;
            let (size, root) = (frontier.size(), frontier.root());
            let checkpoint = Checkpoint { origin: origin(&tenant), size, root }
                .sign(&self.key)
                .map_err(|error| log_failure("signing", &error))?;
            batches.push(Batch {
                tenant: tenant.clone(),
                records: draft.sealed,
                tiles: frontier.take_changed(),
                size,
                checkpoint,
                at: draft.at,
            });
            heads.push((tenant, draft.head));
        }
        if batches.is_empty() {
            return Ok(());
        }
        self.store.append(&batches).await.map_err(|error| log_failure("storing", &error))?;
        let count: usize = batches.iter().map(|batch| batch.records.len()).sum();
        metrics::counter!("runwarden_audit_records_total").increment(count as u64);
        metrics::histogram!("runwarden_audit_batch_records").record(count as f64);
        if self.heads.len() + heads.len() > MOST_HEADS {
            self.heads.clear();
        }
        self.heads.extend(heads);
        Ok(())
    }

    /// The head of a log, loaded and checked unless it is known.
    async fn head(&mut self, tenant: &str) -> Result<Head, LogError> {
        if let Some(why) = self.damage.get(tenant) {
            return Err(LogError::damaged(tenant, why));
        }
        if let Some(head) = self.heads.get(tenant) {
            return Ok(head.clone());
        }
        match load(&*self.store, tenant, &self.key).await {
            Ok(head) => {
                if self.heads.len() < MOST_HEADS {
                    self.heads.insert(tenant.to_owned(), head.clone());
                }
                Ok(head)
            }
            Err(error) => {
                if let LogError::Damaged { tenant, why } = &error {
                    self.damage.add(tenant, why);
                }
                Err(error)
            }
        }
    }
}

/// What a failure means to those who wait is the same whatever it was; what it was is logged here, once.
fn log_failure(doing: &str, error: &dyn std::error::Error) -> NotWritten {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        cause.push_str(": ");
        cause.push_str(&error.to_string());
        source = error.source();
    }
    tracing::error!(cause, "{doing} audit records failed");
    metrics::counter!("runwarden_audit_append_failures_total").increment(1);
    NotWritten
}

/// A batch is not on disk, as far as is known.
struct NotWritten;

/// What one batch adds to one log.
struct Draft {
    head: Head,
    at: Timestamp,
    sealed: Vec<Sealed>,
    /// What is in this batch already, by entry id: its place in `sealed`.
    known: HashMap<String, usize>,
}

/// A batch in the making.
struct Sealing<'a> {
    writer: &'a mut Writer,
    drafts: BTreeMap<String, Draft>,
}

impl Sealing<'_> {
    /// Adds a request's entries, each to its log. Returns why the request as a whole fails, if it does: entries of
    /// logs that are sound are sealed all the same, so that one damaged log does not hold up the others.
    async fn add(&mut self, entries: Vec<(String, Entry)>) -> Option<LogError> {
        let mut by_tenant: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (tenant, entry) in entries {
            by_tenant.entry(tenant).or_default().push(entry);
        }
        let mut refused = None;
        for (tenant, entries) in by_tenant {
            if let Err(error) = self.add_to(&tenant, entries).await {
                refused = Some(error);
            }
        }
        refused
    }

    async fn add_to(&mut self, tenant: &str, entries: Vec<Entry>) -> Result<(), LogError> {
        let ids: Vec<&str> = entries.iter().map(|entry| entry.entry_id.as_str()).collect();
        let stored = self.writer.store.find(tenant, &ids).await?;
        let mut conflict = None;
        for entry in entries {
            let draft = self.draft(tenant).await?;
            let earlier = match (stored.get(&entry.entry_id), draft.known.get(&entry.entry_id)) {
                (Some(line), _) => Some(stored_entry(tenant, line)?),
                (None, Some(at)) => draft.sealed.get(*at).map(|sealed| sealed.record.entry.clone()),
                (None, None) => None,
            };
            match earlier {
                None => draft.seal(tenant, entry)?,
                Some(earlier) if earlier == entry => {}
                // The first one stands; saying that this one is recorded would be a lie.
                Some(_) => conflict = Some(LogError::Conflict(entry.entry_id)),
            }
        }
        conflict.map_or(Ok(()), Err)
    }

    async fn draft(&mut self, tenant: &str) -> Result<&mut Draft, LogError> {
        // Not `entry`: a head has to be waited for.
        if !self.drafts.contains_key(tenant) {
            let head = self.writer.head(tenant).await?;
            let at = Timestamp::from_micros(self.writer.clock.now().micros())
                .map_err(|error| LogError::Sealing(error.to_string()))?;
            let draft = Draft { head, at, sealed: Vec::new(), known: HashMap::new() };
            self.drafts.insert(tenant.to_owned(), draft);
        }
        self.drafts.get_mut(tenant).ok_or_else(|| LogError::Sealing("a draft went missing".to_owned()))
    }
}

impl Draft {
    fn seal(&mut self, tenant: &str, entry: Entry) -> Result<(), LogError> {
        let id = entry.entry_id.clone();
        let record = Record::new(tenant.to_owned(), self.head.frontier.size(), self.at, entry);
        let line = record.to_line().map_err(|error| LogError::Sealing(error.to_string()))?;
        self.head.frontier.append(line_hash(line.as_bytes()));
        self.known.insert(id, self.sealed.len());
        self.sealed.push(Sealed { record, line });
        Ok(())
    }
}

fn stored_entry(tenant: &str, line: &str) -> Result<Entry, LogError> {
    Record::from_line(line)
        .map(|record| record.entry)
        .map_err(|_| LogError::damaged(tenant, "a stored line is not a record"))
}
