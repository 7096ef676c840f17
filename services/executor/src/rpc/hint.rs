//! `HintService`: word from controllers that something happened to a run.

use runwarden_kit::caller::Scope;
use runwarden_kit::permission::Permission;
use runwarden_kit::{rpc, slug};
use runwarden_proto::executor::v1::hint_service_server::{HintService, HintServiceServer};
use runwarden_proto::executor::v1::{HintRunRequest, HintRunResponse};
use tonic::{Request, Response, Status};

use crate::hints::{Hint, Hints};

/// Serves HintService.
#[derive(Clone)]
pub(crate) struct HintRpc {
    pub(crate) hints: Hints,
}

impl HintRpc {
    /// As the generated server.
    pub(crate) fn into_server(self) -> HintServiceServer<Self> {
        HintServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl HintService for HintRpc {
    async fn hint_run(&self, request: Request<HintRunRequest>) -> Result<Response<HintRunResponse>, Status> {
        let caller = rpc::caller(&request)?;
        let tenant = caller.require_tenant()?.clone();
        caller.require(Permission::ControllersHint, &Scope::tenant(&tenant))?;
        let HintRunRequest { controller, run_id } = request.into_inner();
        slug::check("/name", &controller)?;
        // Whether there is such a controller or such a run is not told, here or by how long it takes.
        if run_id > 0 {
            self.hints.put(Hint { controller: (tenant, controller), run: run_id });
        }
        Ok(Response::new(HintRunResponse {}))
    }
}
