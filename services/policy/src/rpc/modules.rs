//! `PutModule`, `GetModule`, `ListModules`, `DeleteModule`.

use runwarden_kit::rpc::caller;
use runwarden_proto::policy::v1::{
    DeleteModuleRequest, DeleteModuleResponse, GetModuleRequest, GetModuleResponse, ListModulesRequest,
    ListModulesResponse, Module as Message, PutModuleRequest, PutModuleResponse,
};
use tonic::{Request, Response, Status};

use crate::library::Library;
use crate::module::Module;

pub(super) async fn put(
    library: &Library,
    request: Request<PutModuleRequest>,
) -> Result<Response<PutModuleResponse>, Status> {
    let caller = caller(&request)?;
    let asked = request.into_inner();
    let stored = library.put(&caller, &asked.name, &asked.rego, asked.expected_revision).await?;
    Ok(Response::new(PutModuleResponse {
        module: Some(message(stored.module)),
        created: stored.created,
        warnings: stored.warnings,
    }))
}

pub(super) async fn get(
    library: &Library,
    request: Request<GetModuleRequest>,
) -> Result<Response<GetModuleResponse>, Status> {
    let caller = caller(&request)?;
    let module = library.get(&caller, &request.into_inner().name).await?;
    Ok(Response::new(GetModuleResponse { module: Some(message(module)) }))
}

pub(super) async fn list(
    library: &Library,
    request: Request<ListModulesRequest>,
) -> Result<Response<ListModulesResponse>, Status> {
    let caller = caller(&request)?;
    let modules = library
        .list(&caller)
        .await?
        .into_iter()
        .map(|module| Message { rego: String::new(), ..message(module) })
        .collect();
    Ok(Response::new(ListModulesResponse { modules }))
}

pub(super) async fn delete(
    library: &Library,
    request: Request<DeleteModuleRequest>,
) -> Result<Response<DeleteModuleResponse>, Status> {
    let caller = caller(&request)?;
    library.delete(&caller, &request.into_inner().name).await?;
    Ok(Response::new(DeleteModuleResponse {}))
}

fn message(module: Module) -> Message {
    Message {
        name: module.name,
        rego: module.rego,
        digest: module.digest,
        revision: module.revision,
        updated_at: Some(module.updated_at.to_proto()),
        updated_by: module.updated_by,
    }
}
