//! Where foreign senders deliver: each request goes to the hook service as it arrived, and the sender gets what that
//! says. Nothing is parsed here but the address.

use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::post;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use runwarden_kit::{Error, context};
use runwarden_proto::hook::v1 as proto;

use crate::app::App;
use crate::conventions::Verbatim;
use crate::declared::Routes;
use crate::extract::body::whole;
use crate::problem::Result;

/// This way in.
#[must_use]
pub fn routes() -> Routes {
    let methods = [Method::POST, Method::PUT, Method::OPTIONS];
    Routes::new().delivery("/webhook/{tenant}/{hook}", &methods, post(receive).put(receive).options(receive))
}

async fn receive(State(app): State<App>, params: RawPathParams, request: Request) -> Result<Response> {
    let param = |name: &str| params.iter().find(|(given, _)| *given == name).map_or("", |(_, value)| value).to_owned();
    let (tenant, hook) = (param("tenant"), param("hook"));
    deliver(&app, tenant, hook, request).await
}

/// Delivers a request to a hook, and answers its sender.
pub(super) async fn deliver(app: &App, tenant: String, hook: String, request: Request) -> Result<Response> {
    let header = |(name, value): (&HeaderName, &HeaderValue)| proto::Header {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    let mut asked = proto::ReceiveRequest {
        tenant,
        hook,
        method: request.method().as_str().to_owned(),
        headers: request.headers().iter().map(header).collect(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        body: Vec::new(),
    };
    asked.body = whole(request).await?.into();
    let answer = app.ports.inbox().receive(asked).await?.into_inner();
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| Error::internal(anyhow::anyhow!("{} is not a status", answer.status)))?;
    if status == StatusCode::UNAUTHORIZED
        && let Ok(address) = context::current().source_address.parse()
    {
        app.refusals.note(address);
    }
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = status;
    for proto::Header { name, value } in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response.extensions_mut().insert(Verbatim);
    Ok(response)
}
