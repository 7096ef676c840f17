//! What a fault does to a request and to its answer.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Method, StatusCode, header};
use hyper::body::Body as _;
use serde_json::{Value, json};

use super::door::{Asked, own, work};
use super::reply::{Refusal, html, json_answer, nginx, page, redirect};
use super::torn::{Padded, Torn};
use crate::app::{App, lock};
use crate::faults::{Garbage, Kind, millis};

/// Where AWX sends everybody while its database is being migrated.
pub(crate) const MIGRATIONS: &str = "/migrations_notran/";

/// The page at [`MIGRATIONS`].
pub(crate) fn migrations() -> Response {
    html(StatusCode::OK, &page("AWX", "AWX is currently upgrading. This page will refresh when it is ready."))
}

/// Answers a request as well as the fault that is due for it allows; `None` closes the connection.
pub(crate) async fn answer(app: Arc<App>, mut asked: Asked) -> Option<Response> {
    let fault = lock(&app.faults).strike(asked.parts.method.as_str(), asked.parts.uri.path());
    match fault {
        None | Some(Kind::None | Kind::Backwards) => Some(work(app, asked).await),
        Some(Kind::Slow { ms }) => {
            tokio::time::sleep(millis(ms)).await;
            Some(work(app, asked).await)
        }
        Some(Kind::Status { status, after, json, retry_after }) => {
            if after {
                work(app, asked).await;
            }
            Some(in_front(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), json, retry_after))
        }
        Some(Kind::Refused { status, json }) => {
            Some(own(json_answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), &json)))
        }
        Some(Kind::Unauthorized) => Some(own(Refusal::unauthenticated().into_response())),
        Some(Kind::Migrating) => Some(redirect(StatusCode::FOUND, MIGRATIONS)),
        Some(Kind::Redirect { location, status, after }) => {
            if after {
                work(app, asked).await;
            }
            Some(redirect(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND), &location))
        }
        Some(Kind::LoseBefore { after_ms }) => {
            tokio::time::sleep(millis(after_ms)).await;
            None
        }
        Some(Kind::LoseAfter { after_ms }) => {
            work(app, asked).await;
            tokio::time::sleep(millis(after_ms)).await;
            None
        }
        Some(Kind::DelayCommit { commit_after_ms, hang_ms }) => {
            work_later(&app, asked, commit_after_ms);
            tokio::time::sleep(millis(hang_ms)).await;
            None
        }
        Some(Kind::DropMarker { lose }) => {
            asked.unprompted = true;
            let answer = work(app, asked).await;
            (!lose).then_some(answer)
        }
        Some(Kind::Cut { after_bytes }) => {
            Some(with_body(work(app, asked).await, |whole| Body::new(Torn::new(whole, after_bytes))).await)
        }
        Some(Kind::Huge { bytes }) => {
            Some(with_body(work(app, asked).await, |whole| Body::new(Padded::new(whole, bytes))).await)
        }
        Some(Kind::Garbage { body, json, status }) => {
            let good = if asked.parts.method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
            let answer = work(app, asked).await;
            let good = if answer.status().is_success() { answer.status() } else { good };
            let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(good);
            Some(garbage(body, json, status))
        }
    }
}

fn work_later(app: &Arc<App>, asked: Asked, after_ms: u64) {
    let (later, stop) = (Arc::clone(app), app.stop.clone());
    app.tasks.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(millis(after_ms)) => {
                work(later, asked).await;
            }
            () = stop.cancelled() => {}
        }
    });
}

/// What somebody in front of the controller says in its place: without any of its headers.
fn in_front(status: StatusCode, json: Option<Value>, retry_after: Option<u32>) -> Response {
    let mut answer = json.map_or_else(|| nginx(status), |json| json_answer(status, &json));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// The same answer with another body; its length is that body's.
async fn with_body(answer: Response, make: impl FnOnce(Bytes) -> Body) -> Response {
    let (mut head, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = make(whole);
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, body)
}

/// Nothing of the true answer is in it, its address neither.
fn garbage(body: Garbage, json: Option<Value>, status: StatusCode) -> Response {
    match (body, json) {
        (_, Some(json)) => json_answer(status, &json),
        (Garbage::Html, None) => html(status, &page("Welcome", "Please sign in to continue.")),
        (Garbage::Json, None) => json_answer(
            status,
            // Each of these is something that is looked for, as something else than it should be.
            &json!({
                "id": {"value": "seven"}, "job": "seven", "type": ["job"], "status": 7, "url": null, "count": -1, "next": 2, "results": {"0": null},
                "ignored_fields": "none",
            }),
        ),
    }
}
