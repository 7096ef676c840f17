//! `CallbackKeyService`. What a key belongs to is put together here, so that nothing else can be opened.

use std::sync::Arc;

use runwarden_engines::vault::Plaintext;
use runwarden_kit::rpc::peer;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, Result, id};
use runwarden_proto::secret::v1 as proto;
use runwarden_proto::secret::v1::callback_key_service_server::{CallbackKeyService, CallbackKeyServiceServer};
use tonic::{Request, Response, Status};

use crate::sealing::Sealing;

/// Serves keys of callbacks.
pub(crate) struct CallbackKeyRpc {
    pub(crate) sealing: Arc<Sealing>,
    /// Knows which tenants there are.
    pub(crate) trust: Arc<Trust>,
}

impl CallbackKeyRpc {
    pub(crate) fn into_server(self) -> CallbackKeyServiceServer<Self> {
        CallbackKeyServiceServer::new(self)
    }
}

#[async_trait::async_trait]
impl CallbackKeyService for CallbackKeyRpc {
    async fn seal_callback_key(
        &self,
        request: Request<proto::SealCallbackKeyRequest>,
    ) -> Result<Response<proto::SealCallbackKeyResponse>, Status> {
        self.trust.require_tenant(&request.get_ref().tenant).await?;
        let proto::SealCallbackKeyRequest { tenant, callback, key, plaintext } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let sealed = self.sealing.seal(&tenant, &context(&callback, &key)?, Plaintext::new(plaintext)).await?;
        Ok(Response::new(proto::SealCallbackKeyResponse { sealed: sealed.bytes }))
    }

    async fn open_callback_key(
        &self,
        request: Request<proto::OpenCallbackKeyRequest>,
    ) -> Result<Response<proto::OpenCallbackKeyResponse>, Status> {
        let by = peer(&request)?;
        let proto::OpenCallbackKeyRequest { tenant, callback, key, sealed, purpose } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let value = self.sealing.open(&by, &tenant, &sealed, &context(&callback, &key)?, &purpose).await?;
        Ok(Response::new(proto::OpenCallbackKeyResponse { plaintext: value.into_exposed() }))
    }
}

/// What a key belongs to. Jobs, whose values are sealed here too, have other ids.
fn context(callback: &str, key: &str) -> Result<String> {
    for (pointer, kind, given) in [("/callback", "cbk", callback), ("/key", "key", key)] {
        if !id::is_valid(kind, given) {
            return Err(Error::invalid(pointer, "is not an id"));
        }
    }
    Ok(format!("callback-key/{callback}/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_callback_and_to_nothing_that_is_no_callback() {
        let (callback, key) = (id::new("cbk"), id::new("key"));
        assert_eq!(context(&callback, &key).unwrap(), format!("callback-key/{callback}/{key}"));
        assert!(context(&id::new("job"), &key).is_err() && context(&callback, &id::new("job")).is_err());
        assert!(context(&format!("{callback}/x"), &key).is_err() && context("", "").is_err());
    }
}
