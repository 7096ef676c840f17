//! `ControllerService`.

use runwarden_kit::rpc::caller;
use runwarden_kit::{Error, ExposeSecret as _, slug};
use runwarden_proto::project::v1::controller_service_server::ControllerService;
use runwarden_proto::project::v1::{
    self as wire, CreateControllerRequest, CreateControllerResponse, DeleteControllerRequest, DeleteControllerResponse,
    GetControllerRequest, GetControllerResponse, ListControllerTemplatesRequest, ListControllerTemplatesResponse,
    ListControllersRequest, ListControllersResponse, ResolveControllerRequest, ResolveControllerResponse,
    UpdateControllerRequest, UpdateControllerResponse,
};
use tonic::{Request, Response, Status};

use super::{Repeat, kind, page};
use crate::controller::{Controller, ControllerLimitsUpdate, ControllerUpdate, Controllers, Credential, NewController};
use crate::port::Offer;

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
            credential: request.credential.unwrap_or_default().try_into()?,
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
            credential: request.credential.map(Credential::try_from).transpose()?,
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
        slug::check("/name", &name)?;
        let tenant = tenant.parse().map_err(|_| Error::not_found("controller"))?;
        let controller = self.0.resolve(&tenant, &name).await?;
        let secret_name = controller.secret_name.clone();
        Ok(Response::new(ResolveControllerResponse { controller: Some(controller.into()), secret_name }))
    }
}

impl From<Controller> for wire::Controller {
    fn from(controller: Controller) -> Self {
        Self {
            name: controller.name,
            tenant: controller.tenant.into(),
            url: controller.url,
            api_root: controller.api_root,
            ca_pem: controller.ca_pem,
            product: controller.product,
            version: controller.version,
            account_id: controller.account_id,
            account_name: controller.account_name,
            created_at: Some(controller.created_at.to_proto()),
            revision: controller.revision,
            max_concurrent: controller.limits.max_concurrent,
            rate: controller.limits.rate.map(Into::into),
        }
    }
}

impl TryFrom<wire::Credential> for Credential {
    type Error = Error;

    fn try_from(given: wire::Credential) -> Result<Self, Error> {
        Self::new(given.token, given.username, given.password)
    }
}

impl From<&Credential> for wire::Credential {
    fn from(credential: &Credential) -> Self {
        match credential {
            Credential::Token(token) => Self { token: token.expose_secret().to_owned(), ..Self::default() },
            Credential::Login { username, password } => {
                Self { username: username.clone(), password: password.expose_secret().to_owned(), ..Self::default() }
            }
        }
    }
}

impl From<Offer> for wire::ControllerTemplate {
    fn from(offer: Offer) -> Self {
        Self {
            kind: wire::TemplateKind::from(offer.kind).into(),
            id: offer.id,
            name: offer.name,
            description: offer.description,
            prompts: offer.prompts,
            survey_enabled: offer.survey_enabled,
            parameters_schema_json: offer.survey_schema,
            fingerprint: offer.fingerprint,
            fingerprint_parts_json: offer.fingerprint_parts,
            problems: offer.problems,
            obstacles: offer.obstacles,
            organization: offer.organization,
            request_questions: offer.request_questions,
            request_misfits: offer.request_misfits,
        }
    }
}

impl TryFrom<wire::ControllerTemplate> for Offer {
    type Error = Error;

    fn try_from(template: wire::ControllerTemplate) -> Result<Self, Error> {
        Ok(Self {
            kind: kind(template.kind())?,
            id: template.id,
            name: template.name,
            description: template.description,
            prompts: template.prompts,
            survey_enabled: template.survey_enabled,
            survey_schema: template.parameters_schema_json,
            fingerprint: template.fingerprint,
            fingerprint_parts: template.fingerprint_parts_json,
            problems: template.problems,
            obstacles: template.obstacles,
            organization: template.organization,
            request_questions: template.request_questions,
            request_misfits: template.request_misfits,
        })
    }
}
