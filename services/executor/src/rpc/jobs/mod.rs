//! JobService: one file per RPC.

mod cancel_job;
mod convert;
mod get_job;
mod list_attempts;
mod list_jobs;
mod read_output;
mod resolve_job;
mod silence;
mod submit_job;
mod watch_job;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use runwarden_kit::audit::Outbox;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::permission::Permission;
use runwarden_kit::seats::CallerSeats;
use runwarden_kit::{Error, Result, id};
use runwarden_proto::executor::v1::job_service_server::{JobService, JobServiceServer};
use runwarden_proto::executor::v1::{
    CancelJobRequest, CancelJobResponse, GetJobRequest, GetJobResponse, ListAttemptsRequest, ListAttemptsResponse,
    ListJobsRequest, ListJobsResponse, ReadOutputRequest, ReadOutputResponse, ResolveJobRequest, ResolveJobResponse,
    SubmitJobRequest, SubmitJobResponse, WatchJobRequest, WatchJobResponse,
};
use tonic::{Request, Response, Status};

use crate::accept::submit::Submitter;
use crate::job::Job;
use crate::launch::resolver::Resolver;
use crate::shared::Shared;

/// Serves JobService.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) shared: Shared,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) outbox: Outbox,
    pub(crate) shutdown: Shutdown,
    pub(crate) streams: CallerSeats,
}

impl Jobs {
    /// As the generated server.
    pub(crate) fn into_server(self) -> JobServiceServer<Self> {
        JobServiceServer::new(self)
    }

    /// A job that the caller may see. What it may not see does not exist.
    async fn visible(&self, caller: &Caller, job: &str, permission: Permission) -> Result<Job> {
        let tenant = caller.require_tenant()?;
        if !id::is_valid("job", job) {
            return Err(Error::not_found("job"));
        }
        let found = self.shared.store.get(tenant, job).await?.ok_or_else(|| Error::not_found("job"))?;
        let scope = Scope::project(tenant, &found.project);
        if !caller.holds(Permission::JobsRead, &scope) && !caller.holds(permission, &scope) {
            return Err(Error::not_found("job"));
        }
        caller.require(permission, &scope)?;
        tracing::Span::current().record("job", found.id.as_str());
        Ok(found)
    }
}

#[tonic::async_trait]
impl JobService for Jobs {
    async fn submit_job(&self, request: Request<SubmitJobRequest>) -> Result<Response<SubmitJobResponse>, Status> {
        Ok(Response::new(submit_job::handle(self, request).await?))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        Ok(Response::new(get_job::handle(self, request).await?))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        Ok(Response::new(list_jobs::handle(self, request).await?))
    }

    async fn cancel_job(&self, request: Request<CancelJobRequest>) -> Result<Response<CancelJobResponse>, Status> {
        Ok(Response::new(cancel_job::handle(self, request).await?))
    }

    async fn resolve_job(&self, request: Request<ResolveJobRequest>) -> Result<Response<ResolveJobResponse>, Status> {
        Ok(Response::new(resolve_job::handle(self, request).await?))
    }

    async fn list_attempts(
        &self,
        request: Request<ListAttemptsRequest>,
    ) -> Result<Response<ListAttemptsResponse>, Status> {
        Ok(Response::new(list_attempts::handle(self, request).await?))
    }

    async fn read_output(&self, request: Request<ReadOutputRequest>) -> Result<Response<ReadOutputResponse>, Status> {
        Ok(Response::new(read_output::handle(self, request).await?))
    }

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

    async fn watch_job(&self, request: Request<WatchJobRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        Ok(Response::new(watch_job::handle(self, request).await?))
    }
}
