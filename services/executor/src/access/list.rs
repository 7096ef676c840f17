//! Listing jobs: of the tenant the caller acts for, and in it of the projects that the caller may see.

use runwarden_kit::Result;
use runwarden_kit::caller::Caller;
use runwarden_kit::permission::Permission;

use super::{JobAccess, silence};
use crate::job::Job;
use crate::store::JobFilter;

impl JobAccess {
    /// Lists jobs that the caller may see, newest first.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when the caller acts for no tenant; when the store fails.
    pub async fn list(&self, caller: &Caller, filter: JobFilter) -> Result<Vec<Job>> {
        let tenant = caller.require_tenant()?;
        let visible = caller.visible(Permission::JobsRead);
        let mut jobs = self.shared.store.list(tenant, &visible, filter).await?;
        silence::admit(&*self.shared.store, tenant, &mut jobs).await?;
        Ok(jobs)
    }
}
