//! SubmitJob: accepts a job.

use prost_types::Timestamp;
use runwarden_kit::clock::Moment;
use runwarden_kit::mesh::{Peer, Service};
use runwarden_kit::{Error, ErrorReason, context, json, rpc};
use runwarden_proto::executor::v1::{JobOrigin, SubmitJobRequest, SubmitJobResponse};
use serde_json::{Map, Value};
use tonic::{Request, Status};

use super::JobRpc;
use crate::accept::options::Options;
use crate::accept::repeats::Asked;
use crate::job::{Origin, Priority};

/// The largest parameters, bytes of JSON.
const MAX_PARAMETERS: usize = 512 * 1024;

pub(super) async fn handle(jobs: &JobRpc, request: Request<SubmitJobRequest>) -> Result<SubmitJobResponse, Status> {
    let caller = rpc::caller(&request)?;
    let by_hook = rpc::peer(&request)? == Peer::Service(Service::Hook);
    let mut body = request.into_inner();
    let origin = origin(body.origin.take(), by_hook)?;
    let parameters = parse(&body.parameters_json)?;
    let options = Options {
        priority: Priority::try_from(body.priority()).unwrap_or_default(),
        start_at: moment("/start_at", body.start_at.as_ref())?,
        start_by: moment("/start_by", body.start_by.as_ref())?,
        max_duration_seconds: body.max_duration_seconds,
    };
    let context = context::current();
    let asked = Asked { template: &body.template, parameters: &parameters, options, origin: origin.as_ref() };
    let submitted = jobs.submitter.submit(&caller, &context, asked).await?;
    tracing::Span::current().record("job", submitted.job.id.as_str());
    if submitted.replayed {
        context::mark_replayed();
    }
    Ok(SubmitJobResponse { job: Some((&submitted.job).try_into()?), replayed: submitted.replayed })
}

fn moment(pointer: &str, time: Option<&Timestamp>) -> Result<Option<Moment>, Error> {
    let read = |time| Moment::from_proto(time).ok_or_else(|| Error::invalid(pointer, "is not a usable time"));
    time.map(read).transpose()
}

/// What asks for it; none if that says nothing.
pub(super) fn origin(origin: Option<JobOrigin>, by_hook: bool) -> Result<Option<Origin>, Error> {
    let Some(JobOrigin { hook, delivery, reference, callbacks }) = origin else { return Ok(None) };
    let origin = Origin { hook, delivery, reference, callbacks };
    let wrong = origin.problems(by_hook);
    if let Some(first) = wrong.first() {
        let detail = first.detail.clone();
        return Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(wrong));
    }
    Ok((origin != Origin::default()).then_some(origin))
}

pub(super) fn parse(text: &str) -> Result<Map<String, Value>, Error> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    if text.len() > MAX_PARAMETERS {
        return Err(Error::invalid("/parameters", format!("must not be larger than {MAX_PARAMETERS} bytes")));
    }
    match json::parse(text.as_bytes())? {
        Value::Object(parameters) => Ok(parameters),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::invalid("/parameters", "must be an object"))
        }
    }
}
