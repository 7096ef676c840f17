//! Clients: service accounts and the OAuth clients they prove themselves with.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use runwarden_proto::auth::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, created, page};
use super::field::{always, moment, nullable, present, some, time};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{Body, NoBody};
use crate::extract::path::{ById, BySecret};
use crate::extract::query::{NoParams, PageParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(create, list))
        .admin(routes!(read, update, delete))
        .admin(routes!(rotate_secret))
        .admin(routes!(retire_secret))
}

/// A service account with its OAuth client.
#[derive(Debug, Serialize, ToSchema)]
pub struct Client {
    /// The OAuth client id.
    #[schema(example = "client_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub client_id: String,
    /// Its principal.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub principal: String,
    /// Its name, unique in its tenant.
    #[schema(example = "ci-pipeline")]
    pub name: String,
    /// Its tenant; absent for one of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its project; absent for one of the whole tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The roles it holds at its own scope.
    pub roles: Vec<String>,
    /// Whether it is kept from obtaining and using tokens.
    pub disabled: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it stops working; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Its secrets, without their values.
    pub secrets: Vec<ClientSecret>,
}

/// A client's secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientSecret {
    /// Its id.
    pub id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When a token was last obtained with it, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
}

/// A client with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientWithSecret {
    /// The client.
    #[serde(flatten)]
    pub client: Client,
    /// Its secret: in this answer, in repeats of this request with the same `Idempotency-Key` for 24 hours, and nowhere
    /// else.
    pub client_secret: String,
}

impl From<proto::Client> for Client {
    fn from(client: proto::Client) -> Self {
        let secrets = client.secrets.into_iter().map(|secret| ClientSecret {
            id: secret.secret_id,
            created_at: always(secret.created_at),
            last_used_at: time(secret.last_used_at),
        });
        Self {
            client_id: client.client_id,
            principal: client.principal,
            name: client.name,
            tenant: some(client.tenant),
            project: some(client.project),
            roles: client.roles,
            disabled: client.disabled,
            created_at: always(client.created_at),
            expires_at: time(client.expires_at),
            secrets: secrets.collect(),
        }
    }
}

/// A client to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateClient {
    /// Its name: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "ci-pipeline")]
    name: String,
    /// The project it belongs to and its roles hold in; the whole tenant if not given.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    project: Option<String>,
    /// The roles it shall hold there.
    #[schema(example = json!(["launcher"]))]
    roles: Vec<String>,
    /// When it shall stop working; never if not given.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// The changes to a client; fields not given stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateClient {
    /// Whether it shall be kept from obtaining and using tokens.
    disabled: Option<bool>,
    /// When it shall stop working; null for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<String>>,
}

/// Make a client
///
/// The secret is in this answer, and for 24 hours in repeats with the same `Idempotency-Key`; it cannot be shown again
/// otherwise. Callers can only grant roles that they hold themselves. Needs `clients.write`.
#[utoipa::path(post, path = "/api/v1/clients", tag = "clients", request_body = CreateClient,
    responses((status = 201, description = "It was created.", body = ClientWithSecret)))]
async fn create(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<CreateClient>,
) -> Result<Response> {
    let expires_at = body.expires_at.as_deref().map(|text| moment("/expires_at", text)).transpose()?;
    let request = proto::CreateClientRequest {
        name: body.name,
        project: body.project.unwrap_or_default(),
        roles: body.roles,
        expires_at,
    };
    let answer = app.ports.clients().create_client(request).await?.into_inner();
    let client = Client::from(present(answer.client, "client")?);
    let location = format!("/api/v1/clients/{}", client.client_id);
    Ok(created(&location, ClientWithSecret { client, client_secret: answer.client_secret }))
}

/// List clients
///
/// Needs `clients.read`.
#[utoipa::path(get, path = "/api/v1/clients", tag = "clients", params(PageParams),
    responses((status = 200, description = "A page, by client id.", body = Page<Client>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<Client>>> {
    let request = proto::ListClientsRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.clients().list_clients(request).await?.into_inner();
    Ok(page(answer.clients, answer.next_page_token))
}

/// Read a client
///
/// Needs `clients.read`.
#[utoipa::path(get, path = "/api/v1/clients/{id}", tag = "clients", params(ById),
    responses((status = 200, description = "The client.", body = Client)))]
async fn read(State(app): State<App>, by: ById, Params(NoParams): Params<NoParams>) -> Result<Json<Client>> {
    let answer = app.ports.clients().get_client(proto::GetClientRequest { client_id: by.id }).await?.into_inner();
    Ok(Json(present(answer.client, "client")?.into()))
}

/// Disable, enable or expire a client
///
/// Disabling ends its tokens everywhere within 5 seconds. Needs `clients.write`.
#[utoipa::path(patch, path = "/api/v1/clients/{id}", tag = "clients", params(ById), request_body = UpdateClient,
    responses((status = 200, description = "The client as it is now.", body = Client)))]
async fn update(
    State(app): State<App>,
    by: ById,
    Params(NoParams): Params<NoParams>,
    Body(body): Body<UpdateClient>,
) -> Result<Json<Client>> {
    let never_expires = body.expires_at == Some(None);
    let expires_at = body.expires_at.flatten().map(|text| moment("/expires_at", &text)).transpose()?;
    let request = proto::UpdateClientRequest { client_id: by.id, disabled: body.disabled, expires_at, never_expires };
    let answer = app.ports.clients().update_client(request).await?.into_inner();
    Ok(Json(present(answer.client, "client")?.into()))
}

/// Remove a client
///
/// Its bindings and tokens go with it. Needs `clients.write`.
#[utoipa::path(delete, path = "/api/v1/clients/{id}", tag = "clients", params(ById),
    responses((status = 204, description = "It was deleted.")))]
async fn delete(State(app): State<App>, by: ById, Params(NoParams): Params<NoParams>) -> Result<StatusCode> {
    app.ports.clients().delete_client(proto::DeleteClientRequest { client_id: by.id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a client a second secret
///
/// The first stays valid until it is retired. The new one is in this answer, and for 24 hours in repeats with the same
/// `Idempotency-Key`; it cannot be shown again otherwise. Needs `clients.write`.
#[utoipa::path(post, path = "/api/v1/clients/{id}/rotate-secret", tag = "clients", params(ById),
    responses((status = 200, description = "The client with its new secret.", body = ClientWithSecret)))]
async fn rotate_secret(
    State(app): State<App>,
    by: ById,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Json<ClientWithSecret>> {
    let request = proto::RotateClientSecretRequest { client_id: by.id };
    let answer = app.ports.clients().rotate_client_secret(request).await?.into_inner();
    let client = present(answer.client, "client")?.into();
    Ok(Json(ClientWithSecret { client, client_secret: answer.client_secret }))
}

/// Retire a secret of a client
///
/// Ends one of two; the last one cannot be retired. Needs `clients.write`.
#[utoipa::path(delete, path = "/api/v1/clients/{id}/secrets/{secret_id}", tag = "clients", params(BySecret),
    responses((status = 200, description = "The client as it is now.", body = Client)))]
async fn retire_secret(
    State(app): State<App>,
    by: BySecret,
    Params(NoParams): Params<NoParams>,
) -> Result<Json<Client>> {
    let request = proto::RetireClientSecretRequest { client_id: by.id, secret_id: by.secret_id };
    let answer = app.ports.clients().retire_client_secret(request).await?.into_inner();
    Ok(Json(present(answer.client, "client")?.into()))
}

#[cfg(test)]
mod tests {
    use super::UpdateClient;
    use crate::extract::body::from_json;

    #[test]
    fn null_takes_the_expiry_away_and_absence_leaves_it() {
        let absent: UpdateClient = from_json(b"{}").unwrap();
        assert_eq!(absent.expires_at, None);
        let null: UpdateClient = from_json(br#"{"expires_at":null}"#).unwrap();
        assert_eq!(null.expires_at, Some(None));
        let given: UpdateClient = from_json(br#"{"expires_at":"2026-12-01T00:00:00Z"}"#).unwrap();
        assert_eq!(given.expires_at, Some(Some("2026-12-01T00:00:00Z".into())));
    }
}
