//! Handing over what waits in an outbox, tenant by tenant. Nothing is dropped: an entry is taken, waits, or is set aside
//! for an operator, alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use runwarden_proto::audit::v1::{Entry, LogHead};

use super::log_name;
use super::outbox::{Outbox, SetAside};
use super::recorder::Recorder;
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, Result};
use crate::lifecycle::Shutdown;
use crate::mesh::Service;
use crate::reason::{ErrorReason, ReasonExt as _};

/// How many entries are handed over at once.
const BATCH: usize = 200;
/// How many bytes of entries are handed over at once.
const PORTION: usize = 2 * 1024 * 1024;
/// How long to pause for a tenant whose entries were not accepted, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After how many tenants in a row the round ends: then it is not the tenants, the log is away.
const MOST_IN_A_ROW: u32 = 3;
/// How many entries of a tenant that failed by themselves, for no fault of theirs, are passed over in one round.
const MOST_STUCK: usize = 8;
/// How many batches of a tenant are handed over in one round; then it is the next one's turn.
const MOST_BATCHES: usize = 5;
/// How many heads one request or commit carries.
const MOST_HEADS: usize = 50;
/// How often logs are compared with what was seen of them, and how often while one is not trusted.
const COMPARE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));
/// How long a comparison may take.
const COMPARE_LIMIT: Duration = Duration::from_secs(5);
/// How long it waits after a ring for what comes right behind: many entries cost little more to hand over than one.
const GATHER: Duration = Duration::from_millis(10);
/// How long it sleeps without a ring: a replica may have added something.
const LOOK: Duration = Duration::from_secs(1);

/// Hands entries over until shutdown, oldest first, each until it is taken. On shutdown it tries once more.
pub async fn drain(service: Service, outbox: Outbox, recorder: Arc<dyn Recorder>, shutdown: Shutdown) {
    let mut drain = Drain::new(service, outbox, recorder);
    while let Err(error) = drain.load().await {
        error.log();
        if shutdown.sleep(LOOK).await.is_err() {
            return;
        }
    }
    loop {
        drain.turn().await;
        tokio::select! {
            () = drain.outbox.bell().heard() => drop(shutdown.sleep(GATHER).await),
            () = tokio::time::sleep(drain.pause()) => {}
            () = shutdown.begun() => break,
        }
    }
    drain.held.clear();
    let last_try = async { while drain.round().await.is_ok_and(|more| more) {} };
    let _as_much_as_it_takes = tokio::time::timeout(Duration::from_secs(1), last_try).await;
}

/// A tenant that is left alone for a while.
struct Held {
    until: Instant,
    pause: Duration,
}

/// Why entries were not taken.
enum Refusal {
    /// The log accepts nothing at all.
    Log,
    /// It is not known: it has to be tried again later.
    Away,
    /// For what one of them is.
    Entry,
    /// For something else, which may be one of them.
    Unclear,
}

impl Refusal {
    fn of(error: &Error) -> Self {
        match error.reason() {
            ErrorReason::AuditLogUntrusted => Self::Log,
            ErrorReason::Unavailable
            | ErrorReason::AuditUnavailable
            | ErrorReason::DeadlineExceeded
            | ErrorReason::RateLimited => Self::Away,
            ErrorReason::PayloadTooLarge => Self::Entry,
            // A refusal that names no entry, such as a certificate that may not append, is not any entry's fault.
            _ if error.fields().iter().any(|field| field.pointer.starts_with("/entries/")) => Self::Entry,
            _ => Self::Unclear,
        }
    }
}

/// What is left of a tenant's entries.
enum Left {
    /// None.
    Nothing,
    /// Some, for which it was not the time.
    More,
    /// Some, because of this.
    Refused(Error),
}

pub(super) struct Drain {
    service: Service,
    outbox: Outbox,
    recorder: Arc<dyn Recorder>,
    held: HashMap<String, Held>,
    compared: Option<Instant>,
    counted: Option<Instant>,
    /// Whether the last round left something that could be handed over at once.
    more: bool,
}

impl Drain {
    pub(super) fn new(service: Service, outbox: Outbox, recorder: Arc<dyn Recorder>) -> Self {
        let held = HashMap::new();
        Self { service, outbox, recorder, held, compared: None, counted: None, more: false }
    }

    /// Reads what was kept.
    pub(super) async fn load(&self) -> Result<()> {
        if let Some(seen) = self.recorder.seen() {
            seen.load(self.outbox.store.seen().await?);
        }
        self.outbox.count_aside(self.outbox.store.totals().await?.1);
        Ok(())
    }

    async fn turn(&mut self) {
        self.compare().await;
        self.more = self.round().await.unwrap_or_else(|error| {
            tracing::warn!(cause = ?error.cause(), "the outbox of {} cannot be read or written: {error}", self.service);
            false
        });
        if self.counted.is_none_or(|at| at.elapsed() >= LOOK) {
            self.counted = Some(Instant::now());
            self.measure().await;
        }
    }

    /// How long to sleep without a ring.
    fn pause(&self) -> Duration {
        if self.more {
            return Duration::ZERO;
        }
        let now = Instant::now();
        self.held.values().map(|held| held.until.saturating_duration_since(now)).fold(LOOK, Duration::min)
    }

    /// Asks which logs do not continue what was seen of them, when it is time to.
    pub(super) async fn compare(&mut self) {
        let untrusted = self.outbox.untrusted();
        let every = if untrusted.is_empty() { COMPARE.0 } else { COMPARE.1 };
        if self.compared.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        let mut heads = self.recorder.seen().map(super::Seen::all).unwrap_or_default();
        let seen: HashSet<&str> = heads.iter().map(|head| head.tenant.as_str()).collect();
        let unseen: Vec<&String> = untrusted.keys().filter(|tenant| !seen.contains(tenant.as_str())).collect();
        heads.extend(unseen.into_iter().map(|tenant| LogHead { tenant: tenant.clone(), ..LogHead::default() }));
        let asked = tokio::time::timeout(COMPARE_LIMIT, self.ask(&heads)).await;
        match asked {
            Ok(Ok(refused)) => {
                self.compared = Some(Instant::now());
                untrusted.keys().filter(|tenant| !refused.contains_key(*tenant)).for_each(|t| self.outbox.trust(t));
                refused.iter().for_each(|(tenant, why)| self.outbox.distrust(tenant, why));
            }
            Ok(Err(error)) => tracing::debug!(?error, "the audit logs could not be compared yet"),
            Err(_) => tracing::debug!("comparing the audit logs took too long"),
        }
        // Also if the service could not be asked: then the limit of the outbox protects, as always.
        self.outbox.mark_compared();
    }

    async fn ask(&self, heads: &[LogHead]) -> Result<HashMap<String, String>> {
        let mut refused = HashMap::new();
        for some in heads.chunks(MOST_HEADS) {
            let answer = self.recorder.compare(some.to_vec()).await?;
            refused.extend(answer.into_iter().map(|log| (log.tenant, log.why)));
        }
        Ok(refused)
    }

    /// Hands over waiting entries, some of each tenant in turn: a log that accepts nothing, or a busy one, holds up its
    /// own tenant's entries only. Answers whether more waits that could be handed over at once.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn round(&mut self) -> Result<bool> {
        let (mut in_a_row, mut more) = (0, false);
        for tenant in self.outbox.store.waiting().await? {
            if self.held.get(&tenant).is_some_and(|held| held.until > Instant::now()) {
                continue;
            }
            match self.hand_over(&tenant).await? {
                left @ (Left::Nothing | Left::More) => {
                    self.held.remove(&tenant);
                    in_a_row = 0;
                    more |= matches!(left, Left::More);
                }
                Left::Refused(error) => {
                    self.hold(&tenant, &error);
                    in_a_row += 1;
                    if in_a_row >= MOST_IN_A_ROW {
                        break;
                    }
                }
            }
        }
        let Some(seen) = self.recorder.seen() else { return Ok(more) };
        loop {
            let heads = seen.unsaved(MOST_HEADS);
            if heads.is_empty() {
                return Ok(more);
            }
            self.outbox.store.settle("", &[], &heads).await?;
            seen.saved(&heads);
        }
    }

    fn hold(&mut self, tenant: &str, error: &Error) {
        if self.held.is_empty() {
            // Once, not for every tenant: mostly it is the same for all.
            let tenant = log_name(tenant);
            tracing::warn!(
                tenant,
                cause = ?error.cause(),
                "audit entries of {} cannot be handed over; they are kept: {error}",
                self.service
            );
        }
        let pause = self.held.get(tenant).map_or(PAUSES.0, |held| (held.pause * 2).min(PAUSES.1));
        self.held.insert(tenant.to_owned(), Held { until: Instant::now() + pause, pause });
    }

    /// Hands over what waits of a tenant, at most [`MOST_BATCHES`].
    async fn hand_over(&mut self, tenant: &str) -> Result<Left> {
        let mut stuck: BTreeSet<String> = BTreeSet::new();
        let mut refused = None;
        for _ in 0..MOST_BATCHES {
            // What is stuck stays at the head of the queue; look past it.
            let mut entries = self.outbox.store.pending(tenant, BATCH + stuck.len()).await?;
            entries.retain(|entry| !stuck.contains(&entry.entry_id));
            if entries.is_empty() {
                return Ok(refused.map_or(Left::Nothing, Left::Refused));
            }
            // From the end, so that the oldest comes first.
            let mut parts = portions(entries);
            parts.reverse();
            while let Some(mut part) = parts.pop() {
                let Err(error) = self.recorder.append(part.clone()).await else {
                    self.taken(tenant, &part).await?;
                    continue;
                };
                match (Refusal::of(&error), part.len()) {
                    (Refusal::Log, _) => {
                        self.outbox.distrust(tenant, error.detail());
                        return Ok(Left::Refused(error));
                    }
                    (Refusal::Away, _) => return Ok(Left::Refused(error)),
                    (Refusal::Entry, 0 | 1) => self.set_aside(part, &error).await?,
                    (Refusal::Unclear, 0 | 1) => {
                        stuck.extend(part.into_iter().map(|entry| entry.entry_id));
                        if stuck.len() > MOST_STUCK {
                            return Ok(Left::Refused(error));
                        }
                        refused = Some(error);
                    }
                    // One bad entry must not block the others: split in halves until it is alone.
                    (Refusal::Entry | Refusal::Unclear, many) => {
                        let later = part.split_off(many / 2);
                        parts.push(later);
                        parts.push(part);
                    }
                }
            }
        }
        Ok(Left::More)
    }

    /// Entries are in the log: they are forgotten in the same commit that keeps how far the log was.
    async fn taken(&self, tenant: &str, entries: &[Entry]) -> Result<()> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.entry_id.clone()).collect();
        let heads = self.recorder.seen().map(|seen| seen.of([tenant])).unwrap_or_default();
        self.outbox.store.settle(tenant, &ids, &heads).await?;
        if let Some(seen) = self.recorder.seen() {
            seen.saved(&heads);
        }
        self.outbox.trust(tenant);
        Ok(())
    }

    async fn set_aside(&mut self, refused: Vec<Entry>, error: &Error) -> Result<()> {
        for entry in refused {
            let why: Vec<String> = error.fields().iter().map(|f| format!("{} {}", f.pointer, f.detail)).collect();
            let why = format!("{}: {error} {}", error.reason().name(), why.join("; "));
            tracing::error!(
                service = self.service.name(),
                tenant = log_name(&entry.tenant),
                entry = entry.entry_id,
                action = entry.action,
                why,
                "the audit log refused an entry; it is set aside and not in any log until an operator sends it again"
            );
            self.outbox.store.set_aside(&SetAside::new(entry, why, SystemClock.now())).await?;
        }
        // Said at once.
        self.measure().await;
        Ok(())
    }

    /// Reports what waits, and what is set aside.
    async fn measure(&self) {
        let service = self.service.name();
        match self.outbox.store.totals().await {
            Ok((waiting, aside)) => {
                self.outbox.count_aside(aside);
                metrics::gauge!("runwarden_outbox_waiting", "service" => service).set(waiting as f64);
                metrics::gauge!("runwarden_outbox_set_aside", "service" => service).set(aside as f64);
            }
            Err(error) => tracing::debug!(?error, "the outbox entries cannot be counted"),
        }
        let untrusted = self.outbox.untrusted().len();
        metrics::gauge!("runwarden_outbox_untrusted_logs", "service" => service).set(untrusted as f64);
    }
}

/// Cuts a batch into requests that are small enough to be taken.
pub(super) fn portions(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut portions: Vec<Vec<Entry>> = Vec::new();
    let mut size = 0;
    for entry in entries {
        let bytes = entry.encoded_len();
        match portions.last_mut() {
            Some(portion) if size + bytes <= PORTION => {
                size += bytes;
                portion.push(entry);
            }
            _ => {
                size = bytes;
                portions.push(vec![entry]);
            }
        }
    }
    portions
}
