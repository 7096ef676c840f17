//! What a job prints and how it changes, as it comes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use runwarden_kit::context;
use runwarden_proto::executor::v1 as proto;
use serde_json::json;
use tonic::Streaming;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::field::always;
use super::jobs::{Job, JobState, get};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::headers::last_event_id;
use crate::extract::path::ById;
use crate::extract::query::{FromQuery, Params, Query};
use crate::problem::{Problem, Result};
use crate::route_table::{Lasts, On};
use crate::sse::{self, Ending, Gone, KEEP_ALIVE, Pieces, RETRY};

/// How often a quiet stream says that it is still there.
const QUIET: Duration = Duration::from_secs(15);

/// These routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().lasting(On::Both, Lasts::Stream, routes!(output)).lasting(On::Both, Lasts::Stream, routes!(events))
}

/// Where output begins.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Offset {
    /// The first byte wanted; add the bytes you got to come back for more.
    #[param(required = false, minimum = 0)]
    offset: i64,
}

impl FromQuery for Offset {
    fn from_query(query: &mut Query) -> Self {
        Self { offset: query.number("offset", 0, i64::MAX, 0) }
    }
}

/// Read what a job printed
///
/// All there is so far, without escape sequences. Where it was cut or something could not be read, the text says so with a
/// line that begins with `[Runwarden: `, and so do `X-Output-Truncated` and `X-Output-Incomplete`. Needs `jobs.read`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/output", tag = "jobs", params(ById, Offset),
    responses((status = 200, description = "The run's output.", body = String, content_type = "text/plain",
        headers(
            ("X-Output-Truncated" = bool, description = "Whether the run printed more than is kept; the text says where it was cut."),
            ("X-Output-Incomplete" = bool, description = "Whether the run may have printed more than could be read; the text says where something is missing.")))))]
async fn output(State(app): State<App>, by: ById, Params(from): Params<Offset>) -> Result<Response> {
    let first = piece(&app, &by.id, from.offset).await?;
    let told = [("x-output-truncated", first.truncated), ("x-output-incomplete", first.incomplete)];
    let trust = app.trust.clone();
    let body = sse::body(&trust, Ending::BreakOff, async move |pieces| {
        if let Err(Broken::Off) = copy(&app, &by.id, from.offset, first, &pieces).await {
            pieces.break_off();
        }
    });
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, holds) in told {
        let value = HeaderValue::from_static(if holds { "true" } else { "false" });
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(response)
}

enum Broken {
    Gone,
    Off,
}

impl From<Gone> for Broken {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

async fn piece(app: &App, id: &str, offset: i64) -> Result<proto::ReadOutputResponse> {
    let request = proto::ReadOutputRequest { id: id.to_owned(), offset };
    Ok(app.ports.jobs().read_output(request).await?.into_inner())
}

async fn copy(
    app: &App,
    id: &str,
    mut from: i64,
    mut got: proto::ReadOutputResponse,
    pieces: &Pieces,
) -> Result<(), Broken> {
    loop {
        if !got.content.is_empty() {
            pieces.send(got.content).await?;
        }
        // No progress is the end of what there is now, whether the job has ended or not.
        if got.complete || got.next_offset <= from {
            return Ok(());
        }
        from = got.next_offset;
        got = piece(app, id, from).await.map_err(|problem| {
            tracing::warn!(reason = ?problem.reason(), "an output stream ended early");
            Broken::Off
        })?;
    }
}

/// Where an event stream resumes, for clients that cannot send headers of their own.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Resumed {
    /// The last event the caller has; the header `Last-Event-ID` goes before it.
    #[param(required = false, rename = "lastEventId", minimum = 0)]
    last_event_id: i64,
}

impl FromQuery for Resumed {
    fn from_query(query: &mut Query) -> Self {
        // A browser sends an empty text for "none".
        Self { last_event_id: query.number_or_empty("lastEventId", 0, i64::MAX, 0) }
    }
}

/// Follow a job
///
/// Server-Sent Events: `state` carries the job after each change, `output` what the run printed (`{"at": …, "text":
/// …}`), `end` comes last (`{"state": …}`). A client that comes back with `Last-Event-ID`, or with `?lastEventId=`,
/// resumes after that event; 204 means that there are no more events. Needs `jobs.read`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs", params(ById, Resumed,
        ("Last-Event-ID" = Option<i64>, Header, description = "The last event the caller has.", minimum = 0)),
    responses((status = 200, description = "The events as they come.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The job has ended and the caller has received all of its events.")))]
async fn events(
    State(app): State<App>,
    by: ById,
    Params(resumed): Params<Resumed>,
    headers: HeaderMap,
) -> Result<Response> {
    let after_event = last_event_id(&headers)?.unwrap_or(resumed.last_event_id);
    let state = JobState::of(get(&app, &by.id, 0).await?.state());
    let request = proto::WatchJobRequest { id: by.id, after_event };
    let mut events = app.ports.followed_jobs().watch_job(request).await?.into_inner();
    let mut first = None;
    if state.is_over() && after_event > 0 {
        // Everything is there already, so looking does not wait.
        first = events.message().await?;
        if first.is_none() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let trust = app.trust.clone();
    let body = sse::body(&trust, Ending::Event(failure), async move |pieces| {
        // An error here only means that the caller has gone.
        let _gone = follow(Stream { app, events, first, state }, &pieces).await;
    });
    Ok(streamed(body))
}

fn streamed(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would otherwise collect events before it passes them on.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Stream {
    app: App,
    events: Streaming<proto::WatchJobResponse>,
    first: Option<proto::WatchJobResponse>,
    state: JobState,
}

async fn follow(mut stream: Stream, pieces: &Pieces) -> Result<(), Gone> {
    pieces.send(RETRY).await?;
    if let Some(first) = stream.first.take() {
        let event = written(first, &mut stream.state);
        pieces.send(event).await?;
    }
    let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + QUIET, QUIET);
    loop {
        tokio::select! {
            // The client reconnects by itself, to whichever edge serves then.
            () = stream.app.shutdown.begun() => return Ok(()),
            _ = keep_alive.tick() => pieces.send(KEEP_ALIVE).await?,
            event = stream.events.message() => match event {
                Ok(Some(event)) => {
                    keep_alive.reset();
                    let event = written(event, &mut stream.state);
                    pieces.send(event).await?;
                }
                Ok(None) if stream.state.is_over() => {
                    return pieces.send(sse::event("end", None, &json!({"state": stream.state}))).await;
                }
                // However it ended, the client reconnects after the pause it was given.
                Ok(None) => return Ok(()),
                Err(status) => return pieces.send(failure(&Problem::from(status))).await,
            },
        }
    }
}

fn failure(problem: &Problem) -> Bytes {
    problem.error().log();
    sse::event("error", None, &problem.body(&context::current().request_id))
}

fn written(event: proto::WatchJobResponse, state: &mut JobState) -> Bytes {
    use proto::watch_job_response::Event;
    let id = Some(event.event_id);
    match event.event {
        Some(Event::State(job)) => match Job::try_from(job) {
            Ok(job) => {
                *state = job.state;
                sse::event("state", id, &job)
            }
            Err(problem) => failure(&problem),
        },
        Some(Event::Output(text)) => sse::event("output", id, &json!({"at": always(event.at), "text": text})),
        None => Bytes::from_static(KEEP_ALIVE.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::{JobState, proto, written};
    use proto::watch_job_response::Event;

    fn event(event: Event) -> proto::WatchJobResponse {
        proto::WatchJobResponse { event_id: 7, at: None, event: Some(event) }
    }

    #[test]
    fn a_state_event_carries_the_job_and_moves_the_state() {
        let job = proto::Job { id: "job_1".into(), state: proto::JobState::Succeeded.into(), ..proto::Job::default() };
        let mut state = JobState::Running;
        let text = written(event(Event::State(job)), &mut state);
        assert_eq!(state, JobState::Succeeded);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("id: 7\nevent: state\ndata: {\"id\":\"job_1\""), "{text}");
    }

    #[test]
    fn output_keeps_its_line_breaks_inside_the_data() {
        let text = written(event(Event::Output("a\n\nevent: state\n".into())), &mut JobState::Running);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(
            text.starts_with("id: 7\nevent: output\ndata: {") && text.contains(r#""text":"a\n\nevent: state\n""#),
            "{text}"
        );
    }
}
