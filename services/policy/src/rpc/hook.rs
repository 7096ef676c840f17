//! `HookModuleService`: filtering and mapping what is delivered to hooks.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason};
use runwarden_proto::policy::v1 as wire;
use runwarden_proto::policy::v1::hook_module_service_server::HookModuleService;
use runwarden_rego::Mapped;
use runwarden_rego::text::{Problem, guard};
use tonic::{Request, Response, Status};

use crate::worker::{Pool, Trouble};

/// What modules are called in problems.
const NAME: &str = "hook";

/// Serves modules of hooks.
pub(crate) struct HookModuleRpc(pub(crate) Arc<Pool>);

#[async_trait]
impl HookModuleService for HookModuleRpc {
    async fn check_hook_module(
        &self,
        request: Request<wire::CheckHookModuleRequest>,
    ) -> Result<Response<wire::CheckHookModuleResponse>, Status> {
        let module = request.into_inner().module;
        let problems = match guard::check(NAME, &module) {
            Ok(()) => self.0.check_hook(&module).await.map_err(|trouble| away(&trouble))?,
            Err(problem) => vec![problem],
        };
        let problems = problems.iter().map(sentence).collect();
        Ok(Response::new(wire::CheckHookModuleResponse { problems }))
    }

    async fn run_hook_module(
        &self,
        request: Request<wire::RunHookModuleRequest>,
    ) -> Result<Response<wire::RunHookModuleResponse>, Status> {
        let wire::RunHookModuleRequest { tenant, module, input_json } = request.into_inner();
        let tenant = TenantId::named("/tenant", &tenant)?;
        let outcome = match guard::check(NAME, &module) {
            Ok(()) => self.0.run_hook(&tenant, &module, &input_json).await.map_err(|trouble| away(&trouble))?,
            Err(problem) => Mapped::Failed { problem },
        };
        Ok(Response::new(match outcome {
            Mapped::Accepted { parameters, reference } => wire::RunHookModuleResponse {
                accept: true,
                parameters_json: parameters,
                reference,
                ..Default::default()
            },
            Mapped::Unwanted => wire::RunHookModuleResponse::default(),
            Mapped::Failed { problem } => {
                wire::RunHookModuleResponse { problem: sentence(&problem), ..Default::default() }
            }
        }))
    }
}

fn sentence(problem: &Problem) -> String {
    problem.sentence(NAME)
}

/// There is no answer now.
fn away(trouble: &Trouble) -> Error {
    Error::new(ErrorReason::Unavailable, "Modules of hooks cannot be evaluated now.")
        .with_cause(anyhow::anyhow!("{trouble}"))
}
