//! The trust state as `auth` serves it on the mesh.

use async_trait::async_trait;
use runwarden_proto::auth::v1::token_service_client::TokenServiceClient;

use super::{TrustQuestion, TrustSource, TrustState};
use crate::context::{self, RequestContext};
use crate::error::{Error, Result};
use crate::limits::LARGEST_ANSWER;
use crate::mesh::MeshChannel;

struct Auth(TokenServiceClient<MeshChannel>);

pub(super) fn over(channel: MeshChannel) -> impl TrustSource {
    Auth(TokenServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER))
}

#[async_trait]
impl TrustSource for Auth {
    async fn trust_state(&self, question: TrustQuestion) -> Result<TrustState> {
        let mut client = self.0.clone();
        // Without a caller: the request that caused this must not lend its deadline or its token.
        let answer = context::scope(RequestContext::default(), async move { client.get_trust_state(question).await });
        answer.await.map(tonic::Response::into_inner).map_err(|status| Error::from_status(&status))
    }
}
