//! `ClientService`.

use prost::Message as _;
use runwarden_engines::idempotency::{self, Begun, Idempotency, Repeat, message};
use runwarden_kit::clock::Moment;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_kit::{Error, ExposeSecret as _};
use runwarden_proto::auth::v1 as wire;
use runwarden_proto::auth::v1::client_service_server::ClientService;
use tonic::{Request, Response, Status};

use super::optional;
use crate::client::change::ClientChange;
use crate::client::clients::{Clients, NewClient, WithSecret};
use crate::client::record::ClientView;
use crate::once::Once;

/// Serves clients.
pub(crate) struct ClientRpc {
    pub(crate) clients: Clients,
    pub(crate) once: Idempotency,
}

#[tonic::async_trait]
impl ClientService for ClientRpc {
    async fn create_client(
        &self,
        request: Request<wire::CreateClientRequest>,
    ) -> Result<Response<wire::CreateClientResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let now = self.clients.shared.clock.now();
        let ticket = match self
            .once
            .judge(idempotency::Request::of(&caller, "client.create", &Repeat::of(&request)), now, message)
            .await?
        {
            Begun::Replay(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(ticket) => ticket,
        };
        let new = NewClient {
            name: request.name,
            project: optional(request.project),
            roles: request.roles,
            expires_at: moment("/expires_at", request.expires_at.as_ref())?,
        };
        let answer = |made: &WithSecret| wire::CreateClientResponse {
            client: Some((&made.view).into()),
            client_secret: made.secret.expose_secret().to_owned(),
        };
        let encode = |made: &WithSecret| answer(made).encode_to_vec();
        let made = self.clients.create(&caller, &new, &Once::new(ticket, &encode)).await?;
        Ok(Response::new(answer(&made)))
    }

    async fn get_client(
        &self,
        request: Request<wire::GetClientRequest>,
    ) -> Result<Response<wire::GetClientResponse>, Status> {
        let caller = caller(&request)?;
        let client_id = request.into_inner().client_id;
        let view = self.clients.get(&caller, &client_id).await?;
        Ok(Response::new(wire::GetClientResponse { client: Some((&view).into()) }))
    }

    async fn list_clients(
        &self,
        request: Request<wire::ListClientsRequest>,
    ) -> Result<Response<wire::ListClientsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let page = PageRequest { size: request.page_size, token: request.page_token };
        let page = self.clients.list(&caller, &page).await?;
        Ok(Response::new(wire::ListClientsResponse {
            clients: page.items.iter().map(Into::into).collect(),
            next_page_token: page.next,
        }))
    }

    async fn update_client(
        &self,
        request: Request<wire::UpdateClientRequest>,
    ) -> Result<Response<wire::UpdateClientResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let expires_at = match (request.expires_at.as_ref(), request.never_expires) {
            (None, false) => None,
            (None, true) => Some(None),
            (Some(end), false) => Some(moment("/expires_at", Some(end))?),
            (Some(_), true) => {
                let detail = "cannot be set together with never_expires";
                return Err(Error::invalid("/expires_at", detail).into());
            }
        };
        let change = ClientChange { disabled: request.disabled, expires_at };
        let view = self.clients.update(&caller, &request.client_id, change).await?;
        Ok(Response::new(wire::UpdateClientResponse { client: Some((&view).into()) }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<wire::RotateClientSecretRequest>,
    ) -> Result<Response<wire::RotateClientSecretResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let now = self.clients.shared.clock.now();
        let judged = self
            .once
            .judge(idempotency::Request::of(&caller, "client.rotate_secret", &Repeat::of(&request)), now, message)
            .await?;
        let ticket = match judged {
            Begun::Replay(answer) => return Ok(Response::new(answer)),
            Begun::Fresh(ticket) => ticket,
        };
        let answer = |made: &WithSecret| wire::RotateClientSecretResponse {
            client: Some((&made.view).into()),
            client_secret: made.secret.expose_secret().to_owned(),
        };
        let encode = |made: &WithSecret| answer(made).encode_to_vec();
        let made = self.clients.rotate_secret(&caller, &request.client_id, &Once::new(ticket, &encode)).await?;
        Ok(Response::new(answer(&made)))
    }

    async fn retire_client_secret(
        &self,
        request: Request<wire::RetireClientSecretRequest>,
    ) -> Result<Response<wire::RetireClientSecretResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let secret_id = optional(request.secret_id);
        let view = self.clients.retire_secret(&caller, &request.client_id, secret_id.as_deref()).await?;
        Ok(Response::new(wire::RetireClientSecretResponse { client: Some((&view).into()) }))
    }

    async fn delete_client(
        &self,
        request: Request<wire::DeleteClientRequest>,
    ) -> Result<Response<wire::DeleteClientResponse>, Status> {
        let caller = caller(&request)?;
        let client_id = request.into_inner().client_id;
        self.clients.delete(&caller, &client_id).await?;
        Ok(Response::new(wire::DeleteClientResponse {}))
    }
}

fn moment(pointer: &str, timestamp: Option<&prost_types::Timestamp>) -> runwarden_kit::Result<Option<Moment>> {
    timestamp
        .map(|time| {
            Moment::from_proto(time)
                // The year 9999 is the last that RFC 3339 can write.
                .filter(|moment| !moment.rfc3339().is_empty())
                .ok_or_else(|| Error::invalid(pointer, "is not a valid time"))
        })
        .transpose()
}

impl From<&ClientView> for wire::Client {
    fn from(view: &ClientView) -> Self {
        let client = &view.client;
        Self {
            client_id: client.client_id.clone(),
            principal: client.principal.clone(),
            name: client.name.clone(),
            tenant: client.tenant.clone().map(String::from).unwrap_or_default(),
            project: client.project.clone().unwrap_or_default(),
            roles: view.roles.clone(),
            disabled: client.disabled,
            created_at: Some(client.created_at.to_proto()),
            expires_at: client.expires_at.map(Moment::to_proto),
            secrets: client
                .secrets
                .iter()
                .map(|secret| wire::ClientSecret {
                    secret_id: secret.secret_id.clone(),
                    created_at: Some(secret.created_at.to_proto()),
                    last_used_at: view.uses.0.get(&secret.secret_id).map(|at| at.to_proto()),
                })
                .collect(),
        }
    }
}
