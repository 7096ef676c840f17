//! Listing jobs: of the tenant the caller acts for, and in it of the projects that the caller may see.

use runwarden_kit::Result;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;

use super::{JobAccess, silence};
use crate::job::{Job, JobState};
use crate::store::JobFilter;

/// Which of the jobs that a caller may see are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only these states; empty for all.
    pub states: Vec<JobState>,
    /// Only this template.
    pub template: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only jobs accepted after this.
    pub created_after: Option<Moment>,
    /// Only jobs before this id, for paging.
    pub before: Option<String>,
    /// How many.
    pub limit: usize,
}

impl JobAccess {
    /// Lists the wanted jobs among those the caller may see, newest first.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when the caller acts for no tenant; when the store fails.
    pub async fn list(&self, caller: &Caller, wanted: Wanted) -> Result<Vec<Job>> {
        let tenant = caller.require_tenant()?;
        let filter = JobFilter {
            tenant: tenant.clone(),
            visible: caller.visible(Permission::JobsRead),
            states: wanted.states,
            template: wanted.template,
            project: wanted.project,
            created_after: wanted.created_after,
            before: wanted.before,
            limit: wanted.limit,
        };
        let mut jobs = self.shared.store.list(filter).await?;
        silence::admit(&*self.shared.store, tenant, &mut jobs).await?;
        Ok(jobs)
    }
}
