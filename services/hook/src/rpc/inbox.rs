//! `InboxService`.

use std::sync::Arc;

use runwarden_kit::SecretString;
use runwarden_kit::clock::Clock;
use runwarden_kit::context;
use runwarden_proto::hook::v1::inbox_service_server::InboxService;
use runwarden_proto::hook::v1::{self as wire};
use runwarden_webhooks::{Headers, Received};
use tonic::{Request, Response, Status};

use crate::inbox::receive::Inbox;

/// Serves foreign senders, through the edge.
#[derive(Clone)]
pub struct InboxRpc {
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl InboxService for InboxRpc {
    async fn receive(&self, request: Request<wire::ReceiveRequest>) -> Result<Response<wire::ReceiveResponse>, Status> {
        let wire::ReceiveRequest { tenant, hook, method, headers, query, body } = request.into_inner();
        let token = bearer(&headers);
        let received = Received {
            method,
            headers: headers.into_iter().map(|header| (header.name, header.value)).collect::<Headers>(),
            query,
            body,
            at: self.clock.now().seconds(),
            caller: None,
        };
        let answer = self.inbox.receive(&tenant, &hook, received, token).await?;
        let header = |(name, value): (&str, String)| wire::Header { name: name.to_owned(), value: value.into_bytes() };
        Ok(Response::new(wire::ReceiveResponse {
            status: i32::from(answer.status),
            headers: answer.headers.into_iter().map(header).collect(),
            body: answer.body.into_bytes(),
        }))
    }
}

/// The access token of a request; none if it has more than one, which two readers would read differently.
fn bearer(headers: &[wire::Header]) -> Option<SecretString> {
    let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("authorization"));
    let (Some(only), None) = (found.next(), found.next()) else { return None };
    let mut map = http::HeaderMap::new();
    map.insert(http::header::AUTHORIZATION, http::HeaderValue::from_bytes(&only.value).ok()?);
    context::bearer(&map)
}
