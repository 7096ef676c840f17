//! Accepting, changing and reading jobs.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_awx::Installation;
use runwarden_kit::caller::Visible;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result};

use super::told::Teller;
use super::{Kernel, Written};
use crate::job::{Attempt, Bound, Job, Run};
use crate::store::effects::make;
use crate::store::engine::{Counted, Engine, EventRow, FoundBy, Kept, Key, Revision, Rows, Serialise};
use crate::store::{
    Acceptance, Accepted, Committed, Effects, Happening, JobChange, JobEvent, JobFilter, JobStore, News, Room,
};
use crate::wait::limits::LimitScope;
use crate::wait::place::{self, RECENT};

/// How often a change of a job is made at most: each time somebody else was faster, so that the job changed as often.
const CHANGES: usize = 100;
/// How many pieces of output are looked at for one answer.
const PIECES: usize = 64;

#[async_trait]
impl<E: Engine> JobStore for Kernel<E> {
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted> {
        let Acceptance { job, idempotency, entries, room } = acceptance;
        let key = idempotency.map(|claim| {
            let (tenant, principal, hash) = (job.tenant.to_string(), claim.principal, claim.key_hash);
            (Key { tenant, principal, hash }, claim.body_digest)
        });
        let effects = Effects { entries, ..Effects::announced().with_news(News::Accepted) };
        let now = job.created_at;
        let new = Arc::new(New { key, room, written: Written::of(None, job, now, effects)? });
        match self.engine.transaction(Arc::clone(&new), |new, rows| Box::pin(new.enter(rows))).await? {
            Entered::Yes => Ok(Accepted::New(Box::new(Arc::unwrap_or_clone(new).written.effects))),
            Entered::Replayed(job) => Ok(Accepted::Replayed(job)),
            Entered::KeyReused => Ok(Accepted::KeyReused),
            Entered::Full(of) => {
                let template = Counted::with(&new.written.job, LimitScope::Template);
                let begun = self.engine.read().await?.begun(&template, 0, RECENT).await?;
                Ok(Accepted::QueueFull { of: of.name(), pace: place::pace(&begun, now) })
            }
        }
    }

    async fn find_by_key(&self, tenant: &TenantId, principal: &str, key_hash: &str) -> Result<Option<(String, Job)>> {
        let (tenant, principal, hash) = (tenant.to_string(), principal.to_owned(), key_hash.to_owned());
        self.engine.read().await?.by_key(&Key { tenant, principal, hash }).await
    }

    async fn get(&self, tenant: &TenantId, id: &str) -> Result<Option<Job>> {
        self.engine.read().await?.job_of(tenant, id).await
    }

    async fn list(&self, tenant: &TenantId, visible: &Visible, filter: JobFilter) -> Result<Vec<Job>> {
        self.engine.read().await?.jobs(tenant, visible, filter).await
    }

    async fn change(
        &self,
        id: &str,
        now: Moment,
        run: Option<&Run>,
        change: &JobChange<'_>,
    ) -> Result<Option<Committed>> {
        // What the change makes of the job is found out here, where others do the same at the same time. The transaction
        // only sees to it that it still is the job that was changed.
        for _ in 0..CHANGES {
            let mut rows = self.engine.read().await?;
            let Some((seen, before)) = rows.job_at(id).await? else { return Ok(None) };
            let last = rows.last_attempt(id).await?;
            let held = match run {
                Some(run) => is_held(&mut *rows, run, id).await?,
                None => false,
            };
            drop(rows);
            let mut job = before.clone();
            let effects = match make(change, &mut job, last, held) {
                Ok(Some(effects)) => effects,
                // Nothing is committed that would compare: what was read one after the other must have been there
                // together.
                _ if self.engine.read().await?.revision(id).await?.as_ref() != Some(&seen) => continue,
                Ok(None) => return Ok(Some(Committed { job: before, effects: None })),
                Err(error) => return Err(error),
            };
            let written = Written::of(Some(FoundBy::of(&before)), job, now, effects)?;
            let changed = Arc::new(Change { seen, run: run.cloned(), held, written });
            if self.engine.transaction(Arc::clone(&changed), |changed, rows| Box::pin(changed.save(rows))).await? {
                let Written { job, effects, .. } = Arc::unwrap_or_clone(changed).written;
                return Ok(Some(Committed { job, effects: Some(effects) }));
            }
        }
        Err(Error::contended())
    }

    async fn last_attempt(&self, job: &str) -> Result<Option<Attempt>> {
        self.engine.read().await?.last_attempt(job).await
    }

    async fn oldest_unresolved(&self) -> Result<Option<Moment>> {
        self.engine.read().await?.oldest_open().await
    }

    async fn attempts(&self, job: &str) -> Result<Vec<Attempt>> {
        self.engine.read().await?.attempts(job).await
    }

    async fn bound(&self, ids: &[i64]) -> Result<Vec<Bound>> {
        self.engine.read().await?.bound(ids, "").await
    }

    async fn latest_run(&self, installation: &Installation, by: Moment) -> Result<Option<Run>> {
        self.engine.read().await?.latest_run(installation, by).await
    }

    async fn events(&self, job: &str, after: i64, limit: usize) -> Result<Vec<JobEvent>> {
        let mut rows = self.engine.read().await?;
        let events = rows.events(job, after, limit).await?;
        let Some(now) = rows.job(job).await? else { return Ok(Vec::new()) };
        let job = Teller::of(&now)?;
        let event = |event: EventRow| {
            let what = match event.what {
                Kept::State(kept) => Happening::State(Box::new(job.as_told(&kept)?)),
                Kept::Output { text, .. } => Happening::Output(text),
            };
            Ok(JobEvent { number: event.number, at: event.at, what })
        };
        events.into_iter().map(event).collect()
    }

    async fn output(&self, job: &str, offset: u64, limit: usize) -> Result<String> {
        let pieces = self.engine.read().await?.output(job, offset, PIECES).await?;
        let mut text = String::new();
        for (begins, piece) in &pieces {
            let skip = usize::try_from(offset.saturating_sub(*begins)).unwrap_or(usize::MAX);
            // An offset inside a character, or past the end, is moved to where a character begins.
            let from = (skip..=piece.len()).find(|at| piece.is_char_boundary(*at)).unwrap_or(piece.len());
            text.push_str(piece.get(from..).unwrap_or_default());
            if text.len() >= limit {
                break;
            }
        }
        let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        Ok(text)
    }

    async fn forget_keys(&self, before: Moment) -> Result<()> {
        self.engine.transaction(before, |before, rows| rows.forget_keys(*before)).await
    }
}

/// A job to accept, with all that becomes durable with it.
#[derive(Clone)]
struct New {
    key: Option<(Key, String)>,
    room: Room,
    written: Written,
}

/// What became of it.
enum Entered {
    Yes,
    Replayed(Box<Job>),
    KeyReused,
    Full(QueueOf),
}

impl New {
    async fn enter(&self, rows: &mut dyn Rows) -> Result<Entered> {
        let Self { key, room, written } = self;
        let job = &written.job;
        if let Some((key, digest)) = key {
            rows.serialise(Serialise::Key(key.clone())).await?;
            if let Some((earlier, made)) = rows.by_key(key).await? {
                let is_same = earlier == *digest;
                return Ok(if is_same { Entered::Replayed(Box::new(made)) } else { Entered::KeyReused });
            }
        }
        for of in QueueOf::ALL {
            of.serialise(rows, job, *room).await?;
        }
        for of in QueueOf::ALL {
            if of.is_full(rows, job, *room).await? {
                return Ok(Entered::Full(of));
            }
        }
        rows.serialise(Serialise::Job(job.id.clone())).await?;
        written.save(rows).await?;
        if let Some((key, digest)) = key {
            rows.put_key(key, digest, job).await?;
        }
        Ok(Entered::Yes)
    }
}

/// What a change made of a job.
#[derive(Clone)]
struct Change {
    /// Of what it made that.
    seen: Revision,
    run: Option<Run>,
    /// Whether it was told that another job has the run.
    held: bool,
    written: Written,
}

impl Change {
    /// Answers false, and does nothing, if somebody else was faster.
    async fn save(&self, rows: &mut dyn Rows) -> Result<bool> {
        let id = &self.written.job.id;
        rows.serialise(Serialise::Job(id.clone())).await?;
        if rows.revision(id).await?.as_ref() != Some(&self.seen) {
            return Ok(false);
        }
        if let Some(run) = &self.run {
            rows.serialise(Serialise::Run(run.id)).await?;
            if is_held(rows, run, id).await? != self.held {
                return Ok(false);
            }
        }
        self.written.save(rows).await?;
        Ok(true)
    }
}

/// Whether a job other than this one has a run.
async fn is_held(rows: &mut dyn Rows, run: &Run, other_than: &str) -> Result<bool> {
    Ok(rows.bound(&[run.id], other_than).await?.iter().any(|bound| bound.is(run)))
}

/// Whose queue a new job needs room in.
#[derive(Clone, Copy)]
enum QueueOf {
    Template,
    Tenant,
}

impl QueueOf {
    /// In the order in which they are judged.
    const ALL: [Self; 2] = [Self::Template, Self::Tenant];

    const fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Tenant => "tenant",
        }
    }

    /// How many may wait there; none for no limit.
    fn limit(self, room: Room) -> Option<u32> {
        let limit = match self {
            Self::Template => room.of_template,
            Self::Tenant => room.of_tenant,
        };
        (limit > 0).then_some(limit)
    }

    fn template(self, job: &Job) -> Option<&str> {
        matches!(self, Self::Template).then_some(job.template.as_str())
    }

    async fn serialise(self, rows: &mut dyn Rows, job: &Job, room: Room) -> Result<()> {
        if self.limit(room).is_none() {
            return Ok(());
        }
        rows.serialise(Serialise::Waiting(job.tenant.to_string(), self.template(job).map(str::to_owned))).await
    }

    async fn is_full(self, rows: &mut dyn Rows, job: &Job, room: Room) -> Result<bool> {
        let Some(limit) = self.limit(room) else { return Ok(false) };
        Ok(rows.waiting(&job.tenant, self.template(job)).await? >= limit)
    }
}
