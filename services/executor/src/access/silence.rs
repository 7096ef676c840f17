//! What is reported of a running job whose controller does not answer: that its state is unknown, not the last known
//! state.

use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use crate::job::{Job, JobState};
use crate::store::JobStore;

/// Puts it into the progress of a tenant's jobs.
pub(super) async fn admit(store: &dyn JobStore, tenant: &TenantId, jobs: &mut [Job]) -> Result<()> {
    if !jobs.iter().any(|job| job.state == JobState::Running) {
        return Ok(());
    }
    let silences = store.silences(tenant).await?;
    for job in jobs.iter_mut().filter(|job| job.state == JobState::Running) {
        if let Some(silence) = silences.iter().find(|silence| silence.controller == job.controller) {
            job.progress = silence.progress();
        }
    }
    Ok(())
}
