//! WatchJob: state changes and output as they come, until the job is over. The gate ends it with its caller's token.

use std::pin::Pin;

use futures::Stream;
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1::WatchJobResponse;
use runwarden_proto::executor::v1::{WatchJobRequest, watch_job_response::Event};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::{Jobs, convert};
use crate::store::{Happening, JobEvent};

/// How many events are read at once.
const BATCH: usize = 100;

type Events = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

pub(super) async fn handle(jobs: &Jobs, request: Request<WatchJobRequest>) -> Result<Events, Status> {
    let caller = rpc::caller(&request)?;
    let body = request.into_inner();
    if body.after_event < 0 {
        return Err(Error::invalid("/after_event", "must not be negative").into());
    }
    let seat = jobs.streams.take(&caller)?;
    let job = jobs.visible(&caller, &body.id, Permission::JobsRead).await?;
    let (sender, receiver) = mpsc::channel(16);
    let jobs = jobs.clone();
    tokio::spawn(async move {
        let _seat = seat;
        let ends = tell(&jobs, &job.id, &job.tenant, body.after_event, &sender);
        let told = tokio::select! {
            told = ends => told,
            () = sender.closed() => Ok(()),
            () = jobs.shutdown.begun() => Ok(()),
        };
        if let Err(error) = told {
            let _gone = sender.send(Err(error.into())).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

async fn tell(
    jobs: &Jobs,
    id: &str,
    tenant: &str,
    mut after: i64,
    sender: &mpsc::Sender<Result<WatchJobResponse, Status>>,
) -> Result<(), Error> {
    let mut waiter = jobs.shared.live.wait_for(id);
    loop {
        // The job before its events: if it is over here, its last event is among those read next.
        let over = jobs.shared.store.get(tenant, id).await?.is_none_or(|job| job.state.is_end());
        loop {
            let events = jobs.shared.store.events(id, after, BATCH).await?;
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
            Happening::State(job) => Event::State(convert::job(&job)?),
            Happening::Output(text) => Event::Output(text),
        }),
    })
}
