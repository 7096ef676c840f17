//! Jobs as callers reach them: the only way from `rpc` to a job, its output, its events and its attempts.
//!
//! Inside this crate the store answers every request, since launching and following act without a caller. A caller's
//! request gets a [`JobAccess`] instead. It gives out jobs as [`AuthorizedJob`], after the check, and takes nothing
//! else for one:
//!
//! ```
//! use runwarden_executor::access::JobAccess;
//! use runwarden_kit::access::right;
//! use runwarden_kit::caller::Caller;
//!
//! async fn output(jobs: &JobAccess, caller: &Caller, id: &str) -> runwarden_kit::Result<String> {
//!     let job = jobs.authorize::<right::JobsRead>(caller, id).await?;
//!     jobs.output(&job, 0, 1024).await
//! }
//!
//! async fn attempts(jobs: &JobAccess, caller: &Caller, id: &str) -> runwarden_kit::Result<usize> {
//!     let job = jobs.authorize::<right::JobsResolve>(caller, id).await?;
//!     Ok(jobs.attempts(&job).await?.len())
//! }
//! ```
//!
//! Without the check, the name of a job opens nothing, and neither does a job:
//!
//! ```compile_fail,E0308
//! # use runwarden_executor::access::JobAccess;
//! async fn output(jobs: &JobAccess, id: &str) -> runwarden_kit::Result<String> {
//!     jobs.output(id, 0, 1024).await
//! }
//! ```
//!
//! ```compile_fail,E0308
//! # use runwarden_executor::{access::JobAccess, job::Job};
//! async fn output(jobs: &JobAccess, job: &Job) -> runwarden_kit::Result<String> {
//!     jobs.output(job, 0, 1024).await
//! }
//! ```
//!
//! The check of one permission is not that of another:
//!
//! ```compile_fail,E0308
//! # use runwarden_executor::access::JobAccess;
//! # use runwarden_kit::{access::right, caller::Caller};
//! async fn attempts(jobs: &JobAccess, caller: &Caller, id: &str) -> runwarden_kit::Result<usize> {
//!     let job = jobs.authorize::<right::JobsRead>(caller, id).await?;
//!     Ok(jobs.attempts(&job).await?.len())
//! }
//! ```
//!
//! And there is no way around it to the store:
//!
//! ```compile_fail,E0616
//! # use runwarden_executor::access::JobAccess;
//! async fn output(jobs: &JobAccess, id: &str) -> runwarden_kit::Result<String> {
//!     jobs.shared.store.output(id, 0, 1024).await
//! }
//! ```
//!
//! May use `job`, `store`, `wait`, and of `launch` the resolver.

mod cancel;
mod feed;
mod list;
mod silence;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use runwarden_kit::access::{Authorized, Guarded, Right, right};
use runwarden_kit::audit::Outbox;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result, id};

use crate::job::{Attempt, Job};
use crate::launch::resolver::{Resolver, Said};
use crate::live::Waiter;
use crate::shared::Shared;

pub use crate::store::{Happening, JobEvent, JobFilter};
pub use feed::{Changes, JobFeed};
pub use view::View;

/// A job and the proof that its caller holds a permission in its project.
pub type AuthorizedJob<R> = Authorized<Job, R>;

impl Guarded for Job {
    const SEEN_WITH: Permission = Permission::JobsRead;

    fn scope(&self) -> Scope {
        Scope::project(&self.tenant, &self.project)
    }

    fn missing() -> Error {
        Error::not_found("job")
    }
}

/// What callers may do with jobs. Clones share all of it.
#[derive(Clone)]
pub struct JobAccess {
    shared: Shared,
    outbox: Outbox,
    resolver: Arc<Resolver>,
}

impl JobAccess {
    /// Over what everybody works with. The outbox is that of the same store.
    #[must_use]
    pub fn new(shared: Shared, outbox: Outbox, resolver: Resolver) -> Self {
        Self { shared, outbox, resolver: Arc::new(resolver) }
    }

    /// Finds a job and checks that the caller may do this to it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or the caller may not see it; `PERMISSION_DENIED` if it may only see it.
    pub async fn authorize<R: Right>(&self, caller: &Caller, job: &str) -> Result<AuthorizedJob<R>> {
        let tenant = caller.require_tenant()?;
        if !id::is_valid("job", job) {
            return Err(Job::missing());
        }
        let found = self.shared.store.get(tenant, job).await?.ok_or_else(Job::missing)?;
        let found = caller.authorize(found)?;
        tracing::Span::current().record("job", found.id.as_str());
        Ok(found)
    }

    /// Reads a job again; `None` if it is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn again(&self, job: &AuthorizedJob<right::JobsRead>) -> Result<Option<Job>> {
        self.shared.store.get(&job.tenant, &job.id).await
    }

    /// Its events after a number, in order; at most so many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(
        &self,
        job: &AuthorizedJob<right::JobsRead>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<JobEvent>> {
        self.shared.store.events(&job.id, after, limit).await
    }

    /// Its output from a byte offset on, at most about `limit` bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn output(&self, job: &AuthorizedJob<right::JobsRead>, offset: u64, limit: usize) -> Result<String> {
        self.shared.store.output(&job.id, offset, limit).await
    }

    /// Every attempt at it, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attempts(&self, job: &AuthorizedJob<right::JobsResolve>) -> Result<Vec<Attempt>> {
        self.shared.store.attempts(&job.id).await
    }

    /// Takes what a person says about an ambiguous launch.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn resolve(&self, job: &AuthorizedJob<right::JobsResolve>, said: Said, reason: &str) -> Result<Job> {
        self.resolver.resolve(job, said, reason).await
    }

    /// Begins to wait for changes of a job: it wakes, and says nothing of the job. Look at the job after this, so that
    /// no change is missed in between.
    #[must_use]
    pub fn wait_for(&self, job: &str) -> Waiter {
        self.shared.live.wait_for(job)
    }
}
