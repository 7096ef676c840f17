//! `HookService`.

use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_proto::hook::v1::hook_service_server::HookService;
use runwarden_proto::hook::v1::{self as wire, ListHooksRequest, ListHooksResponse};
use tonic::{Request, Response, Status};

use crate::hook::{Hook, Hooks};

/// Serves hooks.
#[derive(Clone)]
pub struct HookRpc {
    pub(super) hooks: Hooks,
}

#[tonic::async_trait]
impl HookService for HookRpc {
    async fn list_hooks(&self, request: Request<ListHooksRequest>) -> Result<Response<ListHooksResponse>, Status> {
        let caller = caller(&request)?;
        let ListHooksRequest { page_size, page_token } = request.into_inner();
        let found = self.hooks.list(&caller, &PageRequest { size: page_size, token: page_token }).await?;
        let hooks = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListHooksResponse { hooks, next_page_token: found.next }))
    }
}

impl From<Hook> for wire::Hook {
    fn from(hook: Hook) -> Self {
        Self {
            name: hook.name,
            project: hook.project,
            template: hook.template,
            created_at: Some(hook.created_at.to_proto()),
            revision: hook.revision,
        }
    }
}
