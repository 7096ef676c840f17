//! CancelJob: asks for a job to be stopped.

use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::{CancelJobRequest, CancelJobResponse};
use tonic::{Request, Status};

use super::{Jobs, convert, silence};
use crate::job::Job;
use crate::records;
use crate::store::Effects;

pub(super) async fn handle(jobs: &Jobs, request: Request<CancelJobRequest>) -> Result<CancelJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let id = request.into_inner().id;
    let job = jobs.visible(&caller, &id, Permission::JobsCancel).await?;
    jobs.outbox.check_room(&job.tenant).await?;
    let now = jobs.shared.clock.now();
    // Built here, where the caller is known; the change runs inside the store.
    let entry = records::cancel(&*jobs.shared.clock, &job);
    let clock = jobs.shared.clock.clone();
    let change = move |job: &mut Job, _| {
        let repeated = job.cancel_requested && !job.state.is_end();
        job.request_cancel(now)?;
        if repeated {
            return Ok(None);
        }
        if !job.state.is_end() && job.due_at.is_some() {
            job.look_now();
        }
        let mut effects = Effects::told().with_entry(entry);
        if job.state.is_end() {
            effects = effects.with_entry(records::finish(&*clock, job));
        }
        Ok(Some(effects))
    };
    let mut job =
        jobs.shared.store.update(&job.id, now, Box::new(change)).await?.ok_or_else(|| Error::not_found("job"))?;
    jobs.shared.live.ring(&job.id);
    jobs.shared.watch.ring();
    jobs.shared.work.ring();
    jobs.shared.bell.ring();
    let tenant = job.tenant.clone();
    silence::admit(&*jobs.shared.store, &tenant, std::slice::from_mut(&mut job)).await?;
    Ok(CancelJobResponse { job: Some(convert::job(&job)?) })
}
