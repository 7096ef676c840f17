//! The executor as the one who talks to controllers.

use async_trait::async_trait;
use runwarden_kit::mesh::MeshChannel;
use runwarden_kit::{Error, ErrorReason, ExposeSecret, Result};
use runwarden_proto::executor::v1::controller_access_service_client::ControllerAccessServiceClient;
use runwarden_proto::executor::v1::{BrowseTemplatesRequest, CheckConnectionRequest, DescribeTemplateRequest};
use runwarden_proto::project::v1 as wire;
use tonic::Status;

use crate::controller::{Controller, Credential};
use crate::port::{Account, ControllerAccess, Login, Offer, Offers};
use crate::template::TemplateKind;

/// Survey schemas of a whole page can be large.
const LARGEST_ANSWER: usize = 16 << 20;

/// Reaches controllers through the executor, on behalf of the caller of the request being served.
#[derive(Clone)]
pub struct MeshAccess(ControllerAccessServiceClient<MeshChannel>);

impl MeshAccess {
    /// Over a channel to the executor.
    pub fn new(channel: MeshChannel) -> Self {
        Self(ControllerAccessServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER))
    }
}

fn failed(status: Status) -> Error {
    Error::from_status(&status)
}

fn on_the_wire(credential: &Credential) -> wire::Credential {
    match credential {
        Credential::Token(token) => {
            wire::Credential { token: token.expose_secret().to_owned(), ..wire::Credential::default() }
        }
        Credential::Login { username, password } => wire::Credential {
            username: username.clone(),
            password: password.expose_secret().to_owned(),
            ..wire::Credential::default()
        },
    }
}

#[async_trait]
impl ControllerAccess for MeshAccess {
    async fn check(&self, controller: &Controller, login: Login<'_>) -> Result<Account> {
        let (credential, secret_name) = match login {
            Login::Given(credential) => (Some(on_the_wire(credential)), String::new()),
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

    async fn describe(&self, controller: &Controller, kind: TemplateKind, id: i64) -> Result<Offer> {
        let request = DescribeTemplateRequest {
            secret_name: controller.secret_name.clone(),
            controller: Some(controller.clone().into()),
            kind: wire::TemplateKind::from(kind).into(),
            id,
        };
        let answer = match self.0.clone().describe_template(request).await.map_err(failed) {
            Ok(answer) => answer.into_inner(),
            Err(error) if error.reason() == ErrorReason::NotFound => {
                let detail =
                    format!("the controller has no {} template {id}, or hides it from our account", kind.name());
                return Err(Error::invalid("/controller_template/id", detail));
            }
            Err(error) => return Err(error),
        };
        let template =
            answer.template.ok_or_else(|| Error::internal(anyhow::anyhow!("the executor described nothing")))?;
        Offer::try_from(template)
    }
}
