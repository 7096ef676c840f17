//! `HookService`.

use runwarden_engines::idempotency::Repeat;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_kit::{Error, SecretString};
use runwarden_proto::hook::v1::hook_service_server::HookService;
use runwarden_proto::hook::v1::{self as wire};
use tonic::{Request, Response, Status};

use crate::hook::{Hook, HookKey, HookUpdate, Hooks, NewHook};

/// Serves hooks.
#[derive(Clone)]
pub struct HookRpc {
    pub(super) hooks: Hooks,
}

#[tonic::async_trait]
impl HookService for HookRpc {
    async fn create_hook(
        &self,
        request: Request<wire::CreateHookRequest>,
    ) -> Result<Response<wire::CreateHookResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let new = NewHook {
            name: request.name,
            project: request.project,
            template: request.template,
            kind: request.kind,
            settings: request.settings_json,
            client_id: request.client_id,
            module: request.module,
            description: request.description,
            key: given(request.key),
        };
        let made = self.hooks.create(&caller, new, &repeat).await?;
        let hook = Some(made.hook.try_into()?);
        Ok(Response::new(wire::CreateHookResponse { hook, key: made.made.unwrap_or_default() }))
    }

    async fn get_hook(
        &self,
        request: Request<wire::GetHookRequest>,
    ) -> Result<Response<wire::GetHookResponse>, Status> {
        let hook = self.hooks.get(&*caller(&request)?, &request.get_ref().name).await?.into_inner();
        Ok(Response::new(wire::GetHookResponse { hook: Some(hook.try_into()?) }))
    }

    async fn list_hooks(
        &self,
        request: Request<wire::ListHooksRequest>,
    ) -> Result<Response<wire::ListHooksResponse>, Status> {
        let caller = caller(&request)?;
        let wire::ListHooksRequest { page_size, page_token } = request.into_inner();
        let found = self.hooks.list(&caller, &PageRequest { size: page_size, token: page_token }).await?;
        let hooks = found.items.into_iter().map(TryInto::try_into).collect::<Result<_, Error>>()?;
        Ok(Response::new(wire::ListHooksResponse { hooks, next_page_token: found.next }))
    }

    async fn update_hook(
        &self,
        request: Request<wire::UpdateHookRequest>,
    ) -> Result<Response<wire::UpdateHookResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let update = HookUpdate {
            expected_revision: request.expected_revision,
            template: request.template,
            settings: request.settings_json,
            client_id: request.client_id,
            module: request.module,
            description: request.description,
            disabled: request.disabled,
        };
        let hook = self.hooks.update(&caller, &request.name, update).await?;
        Ok(Response::new(wire::UpdateHookResponse { hook: Some(hook.try_into()?) }))
    }

    async fn delete_hook(
        &self,
        request: Request<wire::DeleteHookRequest>,
    ) -> Result<Response<wire::DeleteHookResponse>, Status> {
        self.hooks.delete(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(wire::DeleteHookResponse {}))
    }

    async fn rotate_hook_key(
        &self,
        request: Request<wire::RotateHookKeyRequest>,
    ) -> Result<Response<wire::RotateHookKeyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let made = self.hooks.rotate_key(&caller, &request.name, given(request.key), &repeat).await?;
        let hook = Some(made.hook.try_into()?);
        Ok(Response::new(wire::RotateHookKeyResponse { hook, key: made.made.unwrap_or_default() }))
    }

    async fn retire_hook_key(
        &self,
        request: Request<wire::RetireHookKeyRequest>,
    ) -> Result<Response<wire::RetireHookKeyResponse>, Status> {
        let caller = caller(&request)?;
        let wire::RetireHookKeyRequest { name, key_id } = request.into_inner();
        let hook = self.hooks.retire_key(&caller, &name, &key_id).await?;
        Ok(Response::new(wire::RetireHookKeyResponse { hook: Some(hook.try_into()?) }))
    }
}

/// A key that came along.
fn given(key: String) -> Option<SecretString> {
    (!key.is_empty()).then(|| key.into())
}

impl TryFrom<Hook> for wire::Hook {
    type Error = Error;

    fn try_from(hook: Hook) -> Result<Self, Error> {
        let weaknesses = hook.weaknesses();
        Ok(Self {
            settings_json: serde_json::to_string(&hook.settings).map_err(Error::internal)?,
            weaknesses: weaknesses.into_iter().map(|weakness| weakness.code().to_owned()).collect(),
            name: hook.name,
            project: hook.project,
            template: hook.template,
            created_at: Some(hook.created_at.to_proto()),
            revision: hook.revision,
            description: hook.description,
            kind: hook.kind,
            client_id: hook.client_id,
            module: hook.module,
            disabled: hook.disabled,
            keys: hook.keys.into_iter().map(Into::into).collect(),
            updated_at: Some(hook.updated_at.to_proto()),
            tenant: hook.tenant.into(),
        })
    }
}

impl From<HookKey> for wire::HookKey {
    fn from(key: HookKey) -> Self {
        Self { id: key.id, created_at: Some(key.created_at.to_proto()), weak: key.weak }
    }
}
