//! `HookKeyService`: keys of hooks, and what was delivered to them in confidence. The names are made here, so that
//! nothing else can be reached.

use std::sync::Arc;

use runwarden_engines::vault::Plaintext;
use runwarden_kit::rpc::{caller, peer};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::trust::Trust;
use runwarden_kit::{Error, id};
use runwarden_proto::secret::v1 as proto;
use runwarden_proto::secret::v1::hook_key_service_server::HookKeyService;
use tonic::{Request, Response, Status};

use crate::sealing::{DELIVERED, Sealing};
use crate::secrets::{HOOKS, Owner, Secrets};

/// Serves keys of hooks.
pub(crate) struct HookKeyRpc {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) sealing: Arc<Sealing>,
    /// Knows which tenants there are.
    pub(crate) trust: Arc<Trust>,
}

#[async_trait::async_trait]
impl HookKeyService for HookKeyRpc {
    async fn put_hook_key(
        &self,
        request: Request<proto::PutHookKeyRequest>,
    ) -> Result<Response<proto::PutHookKeyResponse>, Status> {
        let caller = caller(&request)?;
        let proto::PutHookKeyRequest { tenant, project, hook, key, value } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let owner = Owner::Hook { project: &project };
        self.secrets.put(owner, &caller, &tenant, &name(&hook, &key)?, Plaintext::new(value)).await?;
        Ok(Response::new(proto::PutHookKeyResponse {}))
    }

    async fn read_hook_key(
        &self,
        request: Request<proto::ReadHookKeyRequest>,
    ) -> Result<Response<proto::ReadHookKeyResponse>, Status> {
        let by = peer(&request)?;
        let proto::ReadHookKeyRequest { tenant, hook, key, purpose } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let owner = Owner::Hook { project: "" };
        let revealed = self.secrets.read(owner, &by, &tenant, &name(&hook, &key)?, &purpose).await?;
        Ok(Response::new(proto::ReadHookKeyResponse { value: revealed.value.into_exposed() }))
    }

    async fn delete_hook_key(
        &self,
        request: Request<proto::DeleteHookKeyRequest>,
    ) -> Result<Response<proto::DeleteHookKeyResponse>, Status> {
        let caller = caller(&request)?;
        let proto::DeleteHookKeyRequest { tenant, project, hook, key } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        self.secrets.delete(Owner::Hook { project: &project }, &caller, &tenant, &name(&hook, &key)?).await?;
        Ok(Response::new(proto::DeleteHookKeyResponse {}))
    }

    async fn seal_delivered(
        &self,
        request: Request<proto::SealDeliveredRequest>,
    ) -> Result<Response<proto::SealDeliveredResponse>, Status> {
        self.trust.require_tenant(&request.get_ref().tenant).await?;
        let proto::SealDeliveredRequest { tenant, plaintext, delivery } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let sealed = self.sealing.seal(&tenant, &context(&delivery)?, Plaintext::new(plaintext)).await?;
        Ok(Response::new(proto::SealDeliveredResponse { sealed: sealed.bytes }))
    }

    async fn open_delivered(
        &self,
        request: Request<proto::OpenDeliveredRequest>,
    ) -> Result<Response<proto::OpenDeliveredResponse>, Status> {
        let by = peer(&request)?;
        let proto::OpenDeliveredRequest { tenant, sealed, delivery, purpose } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let value = self.sealing.open(&by, &tenant, &sealed, &context(&delivery)?, &purpose).await?;
        Ok(Response::new(proto::OpenDeliveredResponse { plaintext: value.into_exposed() }))
    }
}

/// Where a key is kept.
fn name(hook: &str, key: &str) -> Result<String, Error> {
    for (pointer, kind, given) in [("/hook", "hook", hook), ("/key", "key", key)] {
        if !id::is_valid(kind, given) {
            return Err(Error::invalid(pointer, "is not an id"));
        }
    }
    Ok(format!("{HOOKS}{hook}/{key}"))
}

/// What a sealed value belongs to.
fn context(delivery: &str) -> Result<String, Error> {
    if !id::is_valid("dlv", delivery) {
        return Err(Error::invalid("/delivery", "is not an id"));
    }
    Ok(format!("{DELIVERED}{delivery}"))
}
