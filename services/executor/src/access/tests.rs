//! What callers reach of jobs, and what not.

use std::sync::Arc;

use runwarden_kit::ErrorReason;
use runwarden_kit::tenant::TenantId;

use super::*;
use crate::job::tests::example;
use crate::store::sqlite::SqliteJobs;
use crate::store::{Acceptance, JobStore as _};
use crate::test_doubles::access;

struct World {
    jobs: JobAccess,
    job: Job,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
    let job = example();
    store.accept(Acceptance::of(job.clone())).await.unwrap();
    World { jobs: access(store), job, _folder: folder }
}

impl World {
    /// What a caller with these permissions there is answered who wants this: nothing if it may.
    async fn refusal<R: Right>(&self, permissions: &[Permission], at: Scope) -> Option<ErrorReason> {
        let caller = Caller::example(permissions, at);
        self.jobs.authorize::<R>(&caller, &self.job.id).await.err().map(|error| error.reason())
    }
}

#[tokio::test]
async fn each_permission_gives_its_own_proof_and_no_other() {
    use Permission as P;
    let world = world().await;
    let here = || world.job.scope();
    assert_eq!(world.refusal::<right::JobsRead>(&[P::JobsRead], here()).await, None);
    assert_eq!(world.refusal::<right::JobsCancel>(&[P::JobsCancel], here()).await, None);
    assert_eq!(world.refusal::<right::JobsResolve>(&[P::JobsResolve], here()).await, None);
    let denied = Some(ErrorReason::PermissionDenied);
    assert_eq!(world.refusal::<right::JobsCancel>(&[P::JobsRead], here()).await, denied);
    assert_eq!(world.refusal::<right::JobsResolve>(&[P::JobsRead, P::JobsCancel], here()).await, denied);
    let missing = Some(ErrorReason::NotFound);
    assert_eq!(world.refusal::<right::JobsRead>(&[P::JobsCancel], here()).await, missing, "who may not see it");
}

#[tokio::test]
async fn a_job_elsewhere_does_not_exist() {
    let world = world().await;
    let missing = Some(ErrorReason::NotFound);
    for elsewhere in [
        Scope::project(&TenantId::trusted(&world.job.tenant), "other"),
        Scope::project(&TenantId::trusted("umbrella"), &world.job.project),
    ] {
        assert_eq!(world.refusal::<right::JobsRead>(&[Permission::JobsRead], elsewhere.clone()).await, missing);
        let caller = Caller::example(&[Permission::JobsRead], elsewhere);
        let wanted = JobFilter { limit: 10, ..JobFilter::default() };
        assert!(world.jobs.list(&caller, wanted).await.unwrap().is_empty());
    }
    let caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted(&world.job.tenant)));
    let listed = world.jobs.list(&caller, JobFilter { limit: 10, ..JobFilter::default() }).await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_caller_who_acts_for_no_tenant_is_asked_to_name_one() {
    let refused = world().await.refusal::<right::JobsRead>(&[Permission::JobsRead], Scope::platform()).await;
    assert_eq!(refused, Some(ErrorReason::ValidationFailed));
}
