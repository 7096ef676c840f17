//! The played executor: a job's id says what becomes of a question about it.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use runwarden_kit::{Error, context, rpc};
use runwarden_proto::executor::v1::job_service_server::JobService;
use runwarden_proto::executor::v1::{
    CancelJobRequest, CancelJobResponse, CheckJobRequest, CheckJobResponse, FindWriteOnlyRequest,
    FindWriteOnlyResponse, GetJobRequest, GetJobResponse, Job, ListAttemptsRequest, ListAttemptsResponse,
    ListJobsRequest, ListJobsResponse, ReadOutputRequest, ReadOutputResponse, ResolveJobRequest, ResolveJobResponse,
    SubmitJobRequest, SubmitJobResponse, WatchJobRequest, WatchJobResponse,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

#[derive(Default)]
pub(crate) struct Played {
    /// Calls that reached a handler.
    pub(crate) calls: AtomicUsize,
    /// Calls whose handler was dropped before it was done.
    pub(crate) dropped: AtomicUsize,
    /// Streams that are open.
    pub(crate) streams: AtomicUsize,
    /// Lets calls for `slow` end, one each.
    pub(crate) release: Semaphore0,
}

/// A semaphore that begins without permits.
pub(crate) struct Semaphore0(pub(crate) Semaphore);

impl Default for Semaphore0 {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

struct OnDrop<'a>(&'a AtomicUsize, bool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Played {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn answer(&self, id: &str) -> Result<String, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match id {
            "slow" => {
                let mut unfinished = OnDrop(&self.dropped, true);
                self.release.0.acquire().await.map_err(|_| Status::internal("closed"))?.forget();
                unfinished.1 = false;
                Ok("released".into())
            }
            "unavailable" => Err(Status::unavailable("played")),
            "away" => Err(Error::unavailable("Something else is away.").into()),
            "denied" => Err(Error::denied("Not this one.").into()),
            "large" => Ok("x".repeat(3 * 1024 * 1024)),
            "wordy" => Err((0..5000).fold(Error::invalid("", "Much is wrong."), |error, n| {
                error.with_field(format!("/{n}"), "is wrong in a way that takes many words to tell")
            }))?,
            "remaining" => Ok(context::current().remaining().map_or(0, |left| left.as_millis()).to_string()),
            "source" => Ok(context::current().source_address.clone()),
            _ => Ok(id.to_owned()),
        }
    }
}

#[tonic::async_trait]
impl JobService for Played {
    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

    async fn submit_job(&self, request: Request<SubmitJobRequest>) -> Result<Response<SubmitJobResponse>, Status> {
        rpc::caller(&request)?;
        let id = self.answer(&request.into_inner().template).await?;
        Ok(Response::new(SubmitJobResponse { job: Some(Job { id, ..Job::default() }), replayed: false }))
    }

    /// Answers with who asked, through which service.
    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        let (caller, peer) = (rpc::caller(&request)?, rpc::peer(&request)?);
        let id = self.answer(&request.into_inner().id).await?;
        let job = Job {
            id,
            tenant: caller.tenant().map(ToString::to_string).unwrap_or_default(),
            requested_by: caller.principal.clone(),
            requested_by_name: peer.name().to_owned(),
            request_id: context::current().request_id.clone(),
            ..Job::default()
        };
        Ok(Response::new(GetJobResponse { job: Some(job) }))
    }

    async fn check_job(&self, _: Request<CheckJobRequest>) -> Result<Response<CheckJobResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn find_write_only(
        &self,
        _: Request<FindWriteOnlyRequest>,
    ) -> Result<Response<FindWriteOnlyResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn list_jobs(&self, _: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn cancel_job(&self, _: Request<CancelJobRequest>) -> Result<Response<CancelJobResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn resolve_job(&self, _: Request<ResolveJobRequest>) -> Result<Response<ResolveJobResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn list_attempts(&self, _: Request<ListAttemptsRequest>) -> Result<Response<ListAttemptsResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn read_output(&self, _: Request<ReadOutputRequest>) -> Result<Response<ReadOutputResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    /// Counts for ever: one event at once, and one for each time it is told to.
    async fn watch_job(&self, _: Request<WatchJobRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for event_id in 0.. {
                if sender.send(Ok(WatchJobResponse { event_id, ..WatchJobResponse::default() })).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()))
    }
}
