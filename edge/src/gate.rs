//! Who gets in: the table of routes, limits, the caller token, and how long it may take.
//!
//! `Accept` is never a reason to refuse: each call has one answer, and a client that asks for another kind is better
//! served by it than by a refusal (RFC 9110 section 12.5.1 leaves the choice).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use runwarden_kit::context::RequestContext;
use runwarden_kit::seats::address_key;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, context};
use serde_json::json;

use crate::app::ListenerApp;
use crate::conventions::{MatchedRoute, matched_route};
use crate::extract::body::{BodyLimits, BodySlot};
use crate::extract::{basic, bearer, headers, query};
use crate::limits::rate::Standing;
use crate::limits::room::HeldSeat;
use crate::path::without_empty_parts;
use crate::problem::{Problem, Result};
use crate::readers::Readers;
use crate::route_table::{Access, Found, LITTLE, Lasts, Route, Takes};

/// Where the caller stands (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What is allowed.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Says that an answer is an earlier one's again, by the idempotency key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The layer around all routes.
pub async fn pass(State(here): State<ListenerApp>, request: Request, next: Next) -> Response {
    let route = matched_route(&request).map(str::to_owned);
    let mut standings = Vec::new();
    let (parts, body) = request.into_parts();
    let readers = parts.extensions.get::<Readers>().cloned().unwrap_or_default();
    let is_options = parts.method == Method::OPTIONS;
    let mut response = match admit(&here, route.as_deref(), &parts, &mut standings).await {
        Ok((context, seat)) => {
            let context = Arc::new(context);
            let request = Request::from_parts(parts, body);
            let deadline = context.deadline.unwrap_or_else(Instant::now);
            let inside = context::scope(context.clone(), next.run(request));
            let mut response = match tokio::time::timeout_at(deadline.into(), inside).await {
                Ok(response) => response,
                Err(_) => {
                    Problem::new(ErrorReason::DeadlineExceeded, "The request took too long to answer.").into_response()
                }
            };
            if context.was_replayed() {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            response.map(|body| readers.taking(body, seat))
        }
        Err(problem) if is_options && problem.status() == StatusCode::METHOD_NOT_ALLOWED => problem.as_options(),
        Err(problem) => problem.into_response(),
    };
    if route.as_deref().is_some_and(|path| here.table.takes_deliveries(path)) {
        ask_to_return(&mut response);
    }
    set_rate_limits(response.headers_mut(), &standings);
    if let Some(route) = route {
        response.extensions_mut().insert(MatchedRoute(route));
    }
    response
}

/// For paths that no route has. The gate has already refused them; this only satisfies the router.
pub async fn nothing_here() -> Problem {
    Problem::no_such_path()
}

async fn admit(
    here: &ListenerApp,
    path: Option<&str>,
    asked: &Parts,
    standings: &mut Vec<Standing>,
) -> Result<(RequestContext, HeldSeat)> {
    let mut context = Arc::unwrap_or_clone(context::current());
    let address = context.source_address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    if let Some(limit) = &here.app.by_address {
        within(limit.count(&address_key(address)), standings)?;
    }
    let route = looked_up(here, asked, path)?;
    if route.access == Access::Caller {
        identify(here, route, &asked.headers, address, &mut context, standings).await?;
    }
    let wait = match route.lasts {
        Lasts::Wait => query::wait_of(asked.uri.query()),
        Lasts::NoSeat | Lasts::Call | Lasts::Stream => Duration::ZERO,
    };
    let seat = here.app.room.enter(route, !wait.is_zero(), address, context.caller.as_deref())?;
    if let Some(slot) = asked.extensions.get::<BodySlot>() {
        let config = &here.app.config;
        let size = match route.takes {
            Takes::Little => config.body_limit.min(LITTLE),
            Takes::Settings | Takes::Delivery => config.body_limit,
        };
        let purse = here.app.room.purse(route.takes, address, context.caller.as_deref());
        slot.allow(BodyLimits { size, time: config.body_timeout }, purse);
    }
    context.deadline = Some(Instant::now() + here.app.config.request_timeout + wait);
    Ok((context, seat))
}

fn looked_up(here: &ListenerApp, asked: &Parts, path: Option<&str>) -> Result<&'static Route> {
    // First of all: the router takes an empty part for an id.
    if let Some(plain) = without_empty_parts(asked.uri.path()) {
        return Err(Problem::empty_part_in_path(&plain));
    }
    match here.table.find(here.listener, &asked.method, path.unwrap_or_default()) {
        Found::Route(route) => Ok(route),
        Found::OtherMethods(allowed) => Err(Problem::method_not_allowed(&allowed)),
        Found::Nothing => Err(Problem::no_such_path()),
    }
}

/// Authenticates the caller and puts it, with everything else that is passed on to the services, into the context.
async fn identify(
    here: &ListenerApp,
    route: &Route,
    given: &HeaderMap,
    address: IpAddr,
    context: &mut RequestContext,
    standings: &mut Vec<Standing>,
) -> Result<()> {
    let app = &here.app;
    let known = async {
        if let Some(permission) = route.basic
            && basic::is_basic(given)
        {
            return basic::token(app, given, permission).await;
        }
        let token = bearer::token(given)?;
        let caller = app.trust.verify(token.expose_secret()).await.map_err(unknown)?;
        Ok((token, caller))
    };
    let (token, caller) = known.await.inspect_err(|problem: &Problem| {
        if problem.status() == StatusCode::UNAUTHORIZED {
            app.refusals.note(address);
        }
    })?;
    let span = tracing::Span::current();
    span.record("principal", caller.principal.as_str());
    if let Some(limit) = &app.by_principal {
        within(limit.count(&caller.principal), standings)?;
    }
    context.tenant = headers::tenant(given)?;
    if let (None, Some(named)) = (&caller.home_tenant, &context.tenant) {
        // Before the body is looked at, so that every call for a tenant that is not there gets the same answer. What a
        // tenant's principal names beside its own is refused by the services, and must not cause a call.
        app.trust.require_tenant(named).await?;
    }
    let tenant = context.tenant.as_deref().or(caller.tenant().map(TenantId::as_str)).unwrap_or("_platform");
    span.record("tenant", tenant);
    context.idempotency_key = headers::idempotency_key(given)?;
    context.token = Some(token);
    context.caller = Some(caller);
    Ok(())
}

fn unknown(error: Error) -> Problem {
    match error.reason() {
        ErrorReason::Unauthenticated => bearer::invalid(error.detail()),
        _ => Problem::from(error),
    }
}

fn within(standing: Standing, standings: &mut Vec<Standing>) -> Result<()> {
    let refused = standing.exceeded.then(|| {
        let after = Duration::from_secs(standing.retry_after());
        let error = Error::new(
            ErrorReason::RateLimited,
            format!(
                "Too many requests for this {}: {} in {} s are allowed.",
                standing.name, standing.quota, standing.window
            ),
        );
        Problem::from(error.with_retry_after(after))
            .with_kind("https://iana.org/assignments/http-problem-types#quota-exceeded")
            .with_extra("violated-policies", json!([standing.name]))
    });
    standings.push(standing);
    refused.map_or(Ok(()), Err)
}

/// Foreign senders are asked to come back with 503 instead of 429: many take every 4xx for a final refusal and drop what
/// they were to deliver (Alertmanager, Bitbucket, earlier GitLab), and all of them send again after a 503.
fn ask_to_return(response: &mut Response) {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return;
    }
    // What the hook service has its sender answered is that kind's own answer.
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return };
    let mut problem = problem.with_status(StatusCode::SERVICE_UNAVAILABLE);
    if problem.error().retry_after().is_none() {
        problem = problem.with_header(RETRY_AFTER, "1");
    }
    *response.status_mut() = problem.status();
    response.extensions_mut().insert(problem);
}

/// Adds the rate limit headers.
fn set_rate_limits(headers: &mut HeaderMap, standings: &[Standing]) {
    if standings.is_empty() {
        return;
    }
    let list = |write: fn(&Standing) -> String| standings.iter().map(write).collect::<Vec<_>>().join(", ");
    for (name, text) in [(RATE_LIMIT_POLICY, list(Standing::policy)), (RATE_LIMIT, list(Standing::state))] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}
