//! `JobFeedService`: what became of jobs, for the service that sends results on.

use std::time::Duration;

use prost::Message as _;
use runwarden_kit::Error;
use runwarden_kit::lifecycle::Shutdown;
use runwarden_proto::executor::v1::job_feed_service_server::{JobFeedService, JobFeedServiceServer};
use runwarden_proto::executor::v1::{self as wire, WatchJobsRequest, WatchJobsResponse};
use serde_json::Map;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::access::{Changes, JobFeed};
use crate::job::Job;

/// The most jobs in an answer, and how many there are if nothing else is asked for.
const MOST: i32 = 500;
const USUAL: usize = 100;
/// How large an answer may get, bytes; the job that goes beyond still belongs to it.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest wait, seconds.
const LONGEST_WAIT: i32 = 60;

/// Serves JobFeedService.
#[derive(Clone)]
pub(crate) struct JobFeedRpc {
    pub(crate) feed: JobFeed,
    pub(crate) shutdown: Shutdown,
}

impl JobFeedRpc {
    /// As the generated server.
    pub(crate) fn into_server(self) -> JobFeedServiceServer<Self> {
        JobFeedServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl JobFeedService for JobFeedRpc {
    async fn watch_jobs(&self, request: Request<WatchJobsRequest>) -> Result<Response<WatchJobsResponse>, Status> {
        let WatchJobsRequest { after, page_size, wait_seconds } = request.into_inner();
        if after.is_some_and(|after| after < 0) {
            return Err(Error::invalid("/after", "must not be negative").into());
        }
        let limit = match page_size {
            0 => USUAL,
            1..=MOST => usize::try_from(page_size).unwrap_or(USUAL),
            _ => return Err(Error::invalid("/page_size", format!("must be between 0 and {MOST}")).into()),
        };
        let wait = match u64::try_from(wait_seconds) {
            Ok(wait) if wait_seconds <= LONGEST_WAIT => Duration::from_secs(wait),
            _ => return Err(Error::invalid("/wait_seconds", format!("must be between 0 and {LONGEST_WAIT}")).into()),
        };
        let changes = tokio::select! {
            changes = self.feed.after(after, limit, Instant::now() + wait) => changes?,
            () = self.shutdown.begun() => return Err(Error::unavailable("The executor is shutting down.").into()),
        };
        Ok(Response::new(answer(changes)?))
    }
}

/// As many of them as may be sent at once.
fn answer(changes: Changes) -> Result<WatchJobsResponse, Error> {
    let Changes { jobs, last, starts_over } = changes;
    let mut answer = WatchJobsResponse { jobs: Vec::with_capacity(jobs.len()), last, starts_over };
    let mut bytes = 0;
    for (number, job) in jobs {
        // What was asked for is nobody's business who is told what became of it.
        let job = wire::Job::try_from(&Job { parameters: Map::new(), ..job })?;
        bytes += job.encoded_len();
        answer.jobs.push(job);
        answer.last = number;
        if bytes >= MOST_BYTES {
            break;
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::tests::example;

    #[test]
    fn an_answer_that_would_be_too_large_ends_where_the_next_one_goes_on() {
        let large = || Job { outcome: Some(json!({"explanation": "x".repeat(MOST_BYTES / 4)})), ..example() };
        let jobs: Vec<_> = (1..=9).map(|number| (number * 10, large())).collect();
        let answer = answer(Changes { jobs, last: 90, starts_over: false }).unwrap();
        assert_eq!((answer.jobs.len(), answer.last), (4, 40));
    }

    #[test]
    fn what_was_asked_for_is_not_told() {
        let job = Job { parameters: json!({"a": 1}).as_object().unwrap().clone(), ..example() };
        let answer = answer(Changes { jobs: vec![(1, job)], last: 1, starts_over: false }).unwrap();
        assert_eq!(answer.jobs[0].parameters_json, "{}");
    }
}
