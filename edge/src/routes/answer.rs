//! What answers of several nouns share: pages, and 201 with its location.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// One page of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `page_token` for the next page; empty on the last.
    pub next_page_token: String,
}

/// A page of items made from a service's.
pub(super) fn page<P, T: From<P>>(items: Vec<P>, next_page_token: String) -> Json<Page<T>> {
    Json(Page { items: items.into_iter().map(T::from).collect(), next_page_token })
}

/// A page of items, each of which may turn out to make no sense.
pub(super) fn checked_page<P, T: TryFrom<P, Error = Problem>>(
    items: Vec<P>,
    next_page_token: String,
) -> Result<Json<Page<T>>> {
    let items = items.into_iter().map(T::try_from).collect::<Result<_>>()?;
    Ok(Json(Page { items, next_page_token }))
}

/// 201 with the path of what was created.
pub(super) fn created(location: &str, body: impl Serialize) -> Response {
    located(StatusCode::CREATED, location, body)
}

pub(super) fn located(status: StatusCode, location: &str, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
