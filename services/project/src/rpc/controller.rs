//! `ControllerService`.

use runwarden_kit::rpc::caller;
use runwarden_proto::project::v1::controller_service_server::ControllerService;
use runwarden_proto::project::v1::{
    CreateControllerRequest, CreateControllerResponse, DeleteControllerRequest, DeleteControllerResponse,
    GetControllerRequest, GetControllerResponse, ListControllerTemplatesRequest, ListControllerTemplatesResponse,
    ListControllersRequest, ListControllersResponse, ResolveControllerRequest, ResolveControllerResponse,
    UpdateControllerRequest, UpdateControllerResponse,
};
use tonic::{Request, Response, Status};

use super::{Repeat, convert, page};
use crate::controller::{ControllerLimitsUpdate, ControllerUpdate, Controllers, NewController};

/// Serves controllers.
#[derive(Clone)]
pub struct ControllerRpc(pub(super) Controllers);

#[tonic::async_trait]
impl ControllerService for ControllerRpc {
    async fn create_controller(
        &self,
        request: Request<CreateControllerRequest>,
    ) -> Result<Response<CreateControllerResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let new = NewController {
            name: request.name,
            url: request.url,
            api_root: request.api_root,
            credential: convert::credential(request.credential.unwrap_or_default())?,
            ca_pem: request.ca_pem,
            limits: ControllerLimitsUpdate {
                max_concurrent: Some(request.max_concurrent),
                rate: request.rate.map(Into::into),
            },
        };
        let controller = self.0.create(&caller, new, &repeat).await?;
        Ok(Response::new(CreateControllerResponse { controller: Some(controller.into()) }))
    }

    async fn get_controller(
        &self,
        request: Request<GetControllerRequest>,
    ) -> Result<Response<GetControllerResponse>, Status> {
        let controller = self.0.get(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(GetControllerResponse { controller: Some(controller.into()) }))
    }

    async fn list_controllers(
        &self,
        request: Request<ListControllersRequest>,
    ) -> Result<Response<ListControllersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let found = self.0.list(&caller, &page(request.page_size, request.page_token)).await?;
        let controllers = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListControllersResponse { controllers, next_page_token: found.next }))
    }

    async fn update_controller(
        &self,
        request: Request<UpdateControllerRequest>,
    ) -> Result<Response<UpdateControllerResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let update = ControllerUpdate {
            url: request.url,
            api_root: request.api_root,
            credential: request.credential.map(convert::credential).transpose()?,
            ca_pem: request.ca_pem,
            limits: ControllerLimitsUpdate {
                max_concurrent: request.max_concurrent,
                rate: request.rate.map(Into::into),
            },
        };
        let controller = self.0.update(&caller, &request.name, update).await?;
        Ok(Response::new(UpdateControllerResponse { controller: Some(controller.into()) }))
    }

    async fn delete_controller(
        &self,
        request: Request<DeleteControllerRequest>,
    ) -> Result<Response<DeleteControllerResponse>, Status> {
        self.0.delete(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(DeleteControllerResponse {}))
    }

    async fn list_controller_templates(
        &self,
        request: Request<ListControllerTemplatesRequest>,
    ) -> Result<Response<ListControllerTemplatesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = page(request.page_size, request.page_token);
        let found = self.0.offers(&caller, &request.controller, &wanted).await?;
        let templates = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListControllerTemplatesResponse { templates, next_page_token: found.next }))
    }

    async fn resolve_controller(
        &self,
        request: Request<ResolveControllerRequest>,
    ) -> Result<Response<ResolveControllerResponse>, Status> {
        let ResolveControllerRequest { tenant, name } = request.into_inner();
        let controller = self.0.resolve(&tenant, &name).await?;
        let secret_name = controller.secret_name.clone();
        Ok(Response::new(ResolveControllerResponse { controller: Some(controller.into()), secret_name }))
    }
}
