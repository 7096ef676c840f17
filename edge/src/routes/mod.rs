//! The routes, one file a noun, and what their answers share.

use axum::Json;
use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use prost_types::Timestamp;
use runwarden_kit::Error;
use runwarden_kit::clock::Moment;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::docs;
use crate::problem::{Problem, Result};

pub mod audit;
pub mod auth;
pub mod bindings;
pub mod clients;
pub mod controllers;
pub mod health;
pub mod job_resolution;
pub mod job_streams;
pub mod job_submission;
pub mod jobs;
pub mod keys;
pub mod members;
mod paging;
pub mod policies;
pub mod projects;
pub mod rate;
pub mod roles;
pub mod secrets;
pub mod templates;
pub mod tenants;

/// All routes and the document that describes them: they are one, so neither can forget the other.
pub fn all() -> (Router<App>, Value) {
    let (router, document) = OpenApiRouter::with_openapi(docs::base())
        .merge(auth::routes())
        .merge(job_submission::routes())
        .merge(jobs::routes())
        .merge(job_streams::routes())
        .merge(job_resolution::routes())
        .merge(templates::routes())
        .merge(controllers::routes())
        .merge(projects::routes())
        .merge(members::routes())
        .merge(tenants::routes())
        .merge(clients::routes())
        .merge(roles::routes())
        .merge(bindings::routes())
        .merge(policies::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(secrets::routes())
        .merge(health::routes())
        .merge(docs::document_route())
        .split_for_parts();
    (router, docs::finish(document))
}

/// One page of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `page_token` for the next page; empty on the last.
    pub next_page_token: String,
}

/// A page of items made from a service's.
fn page<P, T: From<P>>(items: Vec<P>, next_page_token: String) -> Json<Page<T>> {
    Json(Page { items: items.into_iter().map(T::from).collect(), next_page_token })
}

/// A page of items, each of which may turn out to make no sense.
fn checked_page<P, T: TryFrom<P, Error = Problem>>(items: Vec<P>, next_page_token: String) -> Result<Json<Page<T>>> {
    let items = items.into_iter().map(T::try_from).collect::<Result<_>>()?;
    Ok(Json(Page { items, next_page_token }))
}

/// 201 with the way to what was made.
fn created(location: &str, body: impl Serialize) -> Response {
    located(StatusCode::CREATED, location, body)
}

fn located(status: StatusCode, location: &str, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// A part of a service's answer that is always there.
fn present<T>(part: Option<T>, what: &str) -> Result<T> {
    part.ok_or_else(|| Problem::from(Error::internal(anyhow::anyhow!("an answer without its {what}"))))
}

/// A moment as RFC 3339 in UTC.
fn time(moment: Option<Timestamp>) -> Option<String> {
    moment.as_ref().and_then(Moment::from_proto).map(Moment::rfc3339)
}

/// A moment that is always there; 1970 says that it was not.
fn always(moment: Option<Timestamp>) -> String {
    time(moment).unwrap_or_else(|| Moment::from_micros(0).rfc3339())
}

/// A text that is absent when empty.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// JSON that a service keeps as text.
fn kept_json(text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        Problem::from(Error::internal(anyhow::Error::from(error).context(format!("{what} is no JSON"))))
    })
}

/// JSON that a service keeps as text; an empty object for none.
fn kept_object(text: &str, what: &str) -> Result<Value> {
    if text.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { kept_json(text, what) }
}

/// A time in a body.
fn moment(pointer: &str, text: &str) -> Result<Timestamp> {
    Moment::parse(text)
        .map(Moment::to_proto)
        .ok_or_else(|| Problem::invalid(pointer, "must be a time such as 2026-01-31T12:00:00Z"))
}

/// Reads a field that may be absent, null or a value as `None`, `Some(None)` or `Some(Some(_))`.
fn nullable<'de, D, T>(deserializer: D) -> std::result::Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
