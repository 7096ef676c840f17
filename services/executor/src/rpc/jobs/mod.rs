//! JobService: one file per RPC.

mod cancel_job;
mod check_job;
mod convert;
mod find_write_only;
mod get_job;
mod list_attempts;
mod list_jobs;
mod read_output;
mod resolve_job;
mod submit_job;
mod watch_job;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::seats::CallerSeats;
use runwarden_proto::executor::v1::job_service_server::{JobService, JobServiceServer};
use runwarden_proto::executor::v1::{
    CancelJobRequest, CancelJobResponse, CheckJobRequest, CheckJobResponse, FindWriteOnlyRequest,
    FindWriteOnlyResponse, GetJobRequest, GetJobResponse, ListAttemptsRequest, ListAttemptsResponse, ListJobsRequest,
    ListJobsResponse, ReadOutputRequest, ReadOutputResponse, ResolveJobRequest, ResolveJobResponse, SubmitJobRequest,
    SubmitJobResponse, WatchJobRequest, WatchJobResponse,
};
use tonic::{Request, Response, Status};

use crate::accept::submit::Submitter;
use crate::access::JobAccess;

/// Serves JobService.
#[derive(Clone)]
pub(crate) struct JobRpc {
    pub(crate) access: JobAccess,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) shutdown: Shutdown,
    pub(crate) streams: CallerSeats,
}

impl JobRpc {
    /// As the generated server.
    pub(crate) fn into_server(self) -> JobServiceServer<Self> {
        JobServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl JobService for JobRpc {
    async fn submit_job(&self, request: Request<SubmitJobRequest>) -> Result<Response<SubmitJobResponse>, Status> {
        Ok(Response::new(submit_job::handle(self, request).await?))
    }

    async fn check_job(&self, request: Request<CheckJobRequest>) -> Result<Response<CheckJobResponse>, Status> {
        Ok(Response::new(check_job::handle(self, request).await?))
    }

    async fn find_write_only(
        &self,
        request: Request<FindWriteOnlyRequest>,
    ) -> Result<Response<FindWriteOnlyResponse>, Status> {
        Ok(Response::new(find_write_only::handle(self, request).await?))
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
