//! The executor as the one who talks to controllers.

use async_trait::async_trait;
use runwarden_kit::contract::TemplateKind;
use runwarden_kit::limits::LARGEST_OFFERS;
use runwarden_kit::mesh::{MeshChannel, Service};
use runwarden_kit::{Error, ErrorReason, Result};
use runwarden_proto::executor::v1::controller_access_service_client::ControllerAccessServiceClient;
use runwarden_proto::executor::v1::{BrowseTemplatesRequest, CheckConnectionRequest, DescribeTemplateRequest};
use runwarden_proto::project::v1 as wire;
use tonic::Status;

use crate::controller::Controller;
use crate::port::{Account, ControllerAccess, Description, Login, Look, Offer, Offers};

/// Reaches controllers through the executor, on behalf of the caller of the request being served.
#[derive(Clone)]
pub struct MeshAccess(ControllerAccessServiceClient<MeshChannel>);

impl MeshAccess {
    /// Over a channel to the executor.
    pub fn new(channel: MeshChannel) -> Self {
        Self(ControllerAccessServiceClient::new(channel).max_decoding_message_size(LARGEST_OFFERS))
    }
}

fn failed(status: Status) -> Error {
    Error::from_peer(Service::Executor, &status)
}

#[async_trait]
impl ControllerAccess for MeshAccess {
    async fn check(&self, controller: &Controller, login: Login<'_>) -> Result<Account> {
        let (credential, secret_name) = match login {
            Login::Given(credential) => (Some(credential.into()), String::new()),
            Login::Stored(name) => (None, name.to_owned()),
        };
        let request = CheckConnectionRequest { controller: Some(controller.clone().into()), credential, secret_name };
        let answer = self.0.clone().check_connection(request).await.map_err(failed)?.into_inner();
        Ok(Account {
            product: answer.product,
            version: answer.version,
            id: answer.account_id,
            name: answer.account_name,
        })
    }

    async fn browse(&self, controller: &Controller, size: i32, token: &str) -> Result<Offers> {
        let request = BrowseTemplatesRequest {
            secret_name: controller.secret_name.clone(),
            controller: Some(controller.clone().into()),
            page_size: size,
            page_token: token.to_owned(),
        };
        let answer = self.0.clone().browse_templates(request).await.map_err(failed)?.into_inner();
        let items = answer.templates.into_iter().map(Offer::try_from).collect::<Result<_>>()?;
        Ok(Offers { items, next: answer.next_page_token })
    }

    async fn describe(
        &self,
        controller: &Controller,
        kind: TemplateKind,
        id: i64,
        look: Look<'_>,
    ) -> Result<Description> {
        let request = DescribeTemplateRequest {
            secret_name: controller.secret_name.clone(),
            controller: Some(controller.clone().into()),
            kind: wire::TemplateKind::from(kind).into(),
            id,
            fixed_json: look.fixed.to_owned(),
            pinned_fingerprint: look.fingerprint.to_owned(),
            pinned_parts_json: look.fingerprint_parts.to_owned(),
        };
        let answer = self.0.clone().describe_template(request).await;
        let answer = answer.map_err(|status| undescribed(failed(status), kind, id))?.into_inner();
        let template =
            answer.template.ok_or_else(|| Error::internal(anyhow::anyhow!("the executor described nothing")))?;
        Ok(Description {
            offer: Offer::try_from(template)?,
            taken: answer.taken_json,
            fixed_problems: answer.fixed_problems.into_iter().map(|problem| (problem.name, problem.detail)).collect(),
            drift: answer.drift,
        })
    }
}

/// Why a template could not be described, in the words of who mapped it: the executor names its own request's fields.
fn undescribed(error: Error, kind: TemplateKind, id: i64) -> Error {
    let unseen = error.reason() == ErrorReason::NotFound || error.fields().iter().any(|field| field.pointer == "/id");
    if !unseen {
        return error;
    }
    let detail = format!("the controller has no {} template {id}, or hides it from our account", kind.name());
    if error.reason() == ErrorReason::NotFound {
        return Error::invalid("/controller_template/id", detail);
    }
    Error::new(error.reason(), error.detail()).with_field("/controller_template/id", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_controller_does_not_have_is_pointed_at_where_the_caller_wrote_it() {
        let unseen = Error::new(ErrorReason::ControllerRefused, "no such thing").with_field("/id", "no such thing");
        let told = undescribed(unseen, TemplateKind::Job, 99);
        assert_eq!(told.reason(), ErrorReason::ControllerRefused);
        assert_eq!(told.fields()[0].pointer, "/controller_template/id");
        assert_eq!(told.fields().len(), 1);
        let unreachable = Error::new(ErrorReason::ControllerUnreachable, "down").with_field("/url", "refused");
        assert_eq!(undescribed(unreachable, TemplateKind::Job, 99).fields()[0].pointer, "/url");
    }
}
