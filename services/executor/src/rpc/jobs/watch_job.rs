//! WatchJob: state changes and output as they come, until the job is over. The gate ends it with its caller's token.
//!
//! It ends with OK only when the job has ended and everything was sent: readers may rely on that. What ends it before,
//! such as a shutdown, is an error.

use std::pin::Pin;

use futures::Stream;
use runwarden_kit::access::right;
use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::WatchJobResponse;
use runwarden_proto::executor::v1::{WatchJobRequest, watch_job_response::Event};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::JobRpc;
use crate::access::{AuthorizedJob, Happening, JobEvent};

/// How many events are read at once.
const BATCH: usize = 100;

type Events = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

pub(super) async fn handle(jobs: &JobRpc, request: Request<WatchJobRequest>) -> Result<Events, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    if body.after_event < 0 {
        return Err(Error::invalid("/after_event", "must not be negative").into());
    }
    let seat = jobs.streams.take(&caller)?;
    let job = jobs.access.authorize(&caller, &body.id).await?;
    let (sender, receiver) = mpsc::channel(16);
    let jobs = jobs.clone();
    tokio::spawn(async move {
        let _seat = seat;
        let told = tell(&jobs, &job, body.after_event, &sender);
        if let Err(error) = until_over(told, sender.closed(), jobs.shutdown.begun()).await {
            let _gone = sender.send(Err(error.into())).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Waits until everything was sent, or the reader has gone.
///
/// # Errors
/// What sending failed with; `UNAVAILABLE` when the executor stops before everything was sent.
async fn until_over(
    told: impl Future<Output = Result<(), Error>>,
    gone: impl Future<Output = ()>,
    stopping: impl Future<Output = ()>,
) -> Result<(), Error> {
    tokio::select! {
        told = told => told,
        () = gone => Ok(()),
        () = stopping => Err(Error::unavailable("The executor is shutting down; follow the job again.")),
    }
}

async fn tell(
    jobs: &JobRpc,
    job: &AuthorizedJob<right::JobsRead>,
    mut after: i64,
    sender: &mpsc::Sender<Result<WatchJobResponse, Status>>,
) -> Result<(), Error> {
    let mut waiter = jobs.access.wait_for(&job.id);
    loop {
        // The job before its events: if it is over here, its last event is among those read next.
        let over = jobs.access.again(job).await?.is_none_or(|job| job.state.is_end());
        loop {
            let events = jobs.access.events(job, after, BATCH).await?;
            let more = events.len() == BATCH;
            for event in events {
                after = event.number;
                if sender.send(Ok(convert_event(event)?)).await.is_err() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
        if over {
            return Ok(());
        }
        waiter.changed().await;
    }
}

fn convert_event(event: JobEvent) -> Result<WatchJobResponse, Error> {
    Ok(WatchJobResponse {
        event_id: event.number,
        at: Some(event.at.to_proto()),
        event: Some(match event.what {
            Happening::State(job) => Event::State((&*job).try_into()?),
            Happening::Output(text) => Event::Output(text),
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use runwarden_kit::ErrorReason;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_a_shutdown_cuts_short_does_not_look_complete() {
        let cut = until_over(pending(), pending(), ready(())).await;
        assert_eq!(cut.map_err(|error| error.reason()), Err(ErrorReason::Unavailable));
        assert!(until_over(ready(Ok(())), pending(), pending()).await.is_ok(), "everything was sent");
        assert!(until_over(pending(), ready(()), pending()).await.is_ok(), "nobody listens");
    }
}
