//! The one writer: takes what waits, seals it as one batch, and answers when the batch is on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use runwarden_kit::clock::Clock;
use tokio::sync::mpsc;

use super::doubts::Doubts;
use super::head::{Head, load};
use super::journal::{Answer, Journal, JournalLimits, Request};
use super::{LogError, continuity, origin};
use crate::note::{Checkpoint, NoteError, SigningKey};
use crate::record::{Entry, Record, Timestamp, line_hash};
use crate::seen::SeenHead;
use crate::store::{Batch, LogStore, Sealed};

/// How many heads are kept; beyond that all are forgotten, and loaded and checked again when they are needed.
const MOST_HEADS: usize = 1024;

/// Seals entries into logs.
pub struct Writer {
    store: Arc<dyn LogStore>,
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
    requests: mpsc::Receiver<Request>,
    most: usize,
    heads: HashMap<String, Head>,
    doubts: Doubts,
}

impl Writer {
    /// Checks the end of every log and returns the way in and the writer, which is then to be [run](Writer::run).
    /// Damaged logs, also those that cannot be read, are listed in [`Writer::doubts`] and not written to; the others are.
    ///
    /// # Errors
    /// When the store cannot even say which logs there are.
    pub async fn start(
        store: Arc<dyn LogStore>,
        key: Arc<SigningKey>,
        clock: Arc<dyn Clock>,
        limits: JournalLimits,
    ) -> Result<(Journal, Self), LogError> {
        let (journal, requests) = Journal::new(limits);
        let most = limits.batch.max(1);
        let mut this = Self { store, key, clock, requests, most, heads: HashMap::new(), doubts: Doubts::default() };
        for tenant in this.store.tenants().await? {
            // A damaged log is noted. One that cannot be read now is tried again when something is to go into it.
            if let Err(LogError::Store(error)) = this.head(&tenant).await {
                tracing::error!(tenant, cause = %error, "an audit log cannot be read");
            }
        }
        Ok((journal, this))
    }

    /// Which logs take nothing.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        self.doubts.clone()
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
        let mut count = first.entries.len().max(1);
        let mut requests = vec![first];
        while count < self.most {
            let Ok(request) = self.requests.try_recv() else { break };
            count += request.entries.len().max(1);
            requests.push(request);
        }
        Some(requests)
    }

    /// Writes one batch and answers everybody in it.
    async fn round(&mut self, requests: Vec<Request>) {
        let mut batch = Sealing { writer: self, drafts: BTreeMap::new() };
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let (touched, refused) = batch.add(request.entries, request.seen).await;
            answers.push((request.done, touched, refused));
        }
        let drafts = batch.drafts;
        let unwritten = self.write(drafts).await;
        for (done, touched, refused) in answers {
            let mut answer = Answer { heads: Vec::new(), refused };
            for tenant in touched {
                let now = if unwritten.contains(&tenant) { Err(LogError::NotWritten) } else { self.now(&tenant).await };
                match now {
                    Ok(head) => answer.heads.push(head),
                    Err(error) => answer.refused.push((tenant, error)),
                }
            }
            // The waiting caller may be gone.
            let _ = done.send(answer);
        }
    }

    /// How far a log is.
    async fn now(&mut self, tenant: &str) -> Result<SeenHead, LogError> {
        let head = self.head(tenant).await?;
        let key = self.key.verifier(&origin(tenant)).map_err(|error| LogError::Sealing(error.to_string()))?;
        Ok(SeenHead {
            by: String::new(),
            log: tenant.to_owned(),
            restores: head.restores,
            size: head.frontier.size(),
            root: head.frontier.root(),
            key: key.to_string(),
        })
    }

    /// Signs and stores the drafts. Returns the logs whose drafts are not on disk, as far as is known.
    async fn write(&mut self, drafts: BTreeMap<String, Draft>) -> BTreeSet<String> {
        let mut unwritten = BTreeSet::new();
        let (mut heads, mut batches) = (Vec::new(), Vec::new());
        for (tenant, draft) in drafts {
            if draft.sealed.is_empty() {
                continue;
            }
            match draft.sign(&tenant, &self.key) {
                Ok((head, batch)) => {
                    heads.push((tenant, head));
                    batches.push(batch);
                }
                Err(error) => {
                    log_failure("signing", &error);
                    unwritten.insert(tenant);
                }
            }
        }
        if batches.is_empty() {
            return unwritten;
        }
        if let Err(error) = self.store.append(&batches).await {
            log_failure("storing", &error);
            // Whether it was committed is not known: what is on disk is what counts, so it is looked at again.
            self.heads.clear();
            if batches.len() == 1 {
                unwritten.extend(heads.into_iter().map(|(tenant, _)| tenant));
                return unwritten;
            }
            // It may be for what one of them is: each by itself, so that it keeps out none but itself.
            for (batch, (tenant, head)) in batches.iter().zip(heads) {
                match self.store.append(std::slice::from_ref(batch)).await {
                    Ok(()) => self.written(batch, tenant, head),
                    Err(error) => {
                        log_failure("storing", &error);
                        unwritten.insert(tenant);
                    }
                }
            }
            return unwritten;
        }
        metrics::histogram!("runwarden_audit_batch_records")
            .record(batches.iter().map(|batch| batch.records.len()).sum::<usize>() as f64);
        for (batch, (tenant, head)) in batches.iter().zip(heads) {
            self.written(batch, tenant, head);
        }
        unwritten
    }

    /// Takes notice of what is on disk.
    fn written(&mut self, batch: &Batch, tenant: String, head: Head) {
        metrics::counter!("runwarden_audit_records_total").increment(batch.records.len() as u64);
        if self.heads.len() >= MOST_HEADS && !self.heads.contains_key(&tenant) {
            self.heads.clear();
        }
        self.heads.insert(tenant, head);
    }

    /// Checks that a log continues what was seen of it. One that does not takes nothing from anybody any more.
    async fn compare(&mut self, seen: &SeenHead) -> Result<(), LogError> {
        let tenant = seen.log.as_str();
        let head = self.head(tenant).await?;
        if let Err(error) = continuity::check(&*self.store, &self.key, &head, seen).await {
            self.doubts.note_error(&error);
            return Err(error);
        }
        if seen.size > 0
            && seen.restores == head.restores
            && let Some(known) = self.heads.get_mut(tenant).filter(|head| head.root_at(seen.size).is_none())
        {
            known.remember(seen.size, seen.root);
        }
        Ok(())
    }

    /// The head of a log, loaded and checked unless it is known.
    async fn head(&mut self, tenant: &str) -> Result<Head, LogError> {
        if let Some(error) = self.doubts.of(tenant) {
            return Err(error);
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
                self.doubts.note_error(&error);
                Err(error)
            }
        }
    }
}

/// What a failure means to those who wait is the same whatever it was; what it was is logged here, once.
fn log_failure(doing: &str, error: &dyn std::error::Error) {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        cause.push_str(": ");
        cause.push_str(&error.to_string());
        source = error.source();
    }
    tracing::error!(cause, "{doing} audit records failed");
    metrics::counter!("runwarden_audit_append_failures_total").increment(1);
}

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
    /// Adds a request's entries, each to its log. Returns the logs that take them and those that do not: one that is
    /// not sound does not hold up the others.
    async fn add(
        &mut self,
        entries: Vec<(String, Entry)>,
        seen: Vec<SeenHead>,
    ) -> (BTreeSet<String>, Vec<(String, LogError)>) {
        let mut by_tenant: BTreeMap<String, (Vec<SeenHead>, Vec<Entry>)> = BTreeMap::new();
        for head in seen {
            by_tenant.entry(head.log.clone()).or_default().0.push(head);
        }
        for (tenant, entry) in entries {
            by_tenant.entry(tenant).or_default().1.push(entry);
        }
        let (mut touched, mut refused) = (BTreeSet::new(), Vec::new());
        for (tenant, (seen, entries)) in by_tenant {
            match self.compare_and_add(&tenant, &seen, entries).await {
                Ok(()) => drop(touched.insert(tenant)),
                Err(error) => refused.push((tenant, error)),
            }
        }
        (touched, refused)
    }

    async fn compare_and_add(&mut self, tenant: &str, seen: &[SeenHead], entries: Vec<Entry>) -> Result<(), LogError> {
        for head in seen {
            self.writer.compare(head).await?;
        }
        if entries.is_empty() { Ok(()) } else { self.add_to(tenant, entries).await }
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
    /// What is to be stored, and the head that the log has then.
    fn sign(mut self, tenant: &str, key: &SigningKey) -> Result<(Head, Batch), NoteError> {
        let frontier = &mut self.head.frontier;
        let (size, root) = (frontier.size(), frontier.root());
        let checkpoint = Checkpoint { origin: origin(tenant), size, root }.sign(key)?;
        let tiles = frontier.take_changed();
        self.head.remember(size, root);
        let (tenant, records) = (tenant.to_owned(), self.sealed);
        Ok((self.head, Batch { tenant, records, tiles, size, checkpoint, at: self.at }))
    }

    fn seal(&mut self, tenant: &str, entry: Entry) -> Result<(), LogError> {
        let id = entry.entry_id.clone();
        if entry.accepts_restore() {
            self.head.restores += 1;
        }
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
