//! What is stored sealed: names and versions, never values.

use axum::Json;
use axum::extract::State;
use runwarden_proto::secret::v1 as proto;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answer::{Page, page};
use super::field::always;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::query::{PageParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().admin(routes!(list))
}

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretInfo {
    /// Its name in the tenant.
    #[schema(example = "controllers/awx-prod")]
    pub name: String,
    /// Its version, from 1.
    pub version: i64,
    /// When that version was stored.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl From<proto::SecretInfo> for SecretInfo {
    fn from(secret: proto::SecretInfo) -> Self {
        Self { name: secret.name, version: secret.version, updated_at: always(secret.updated_at) }
    }
}

/// List secrets
///
/// Their names, never their values. Needs `secrets.list`.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets", params(PageParams),
    responses((status = 200, description = "A page, by name.", body = Page<SecretInfo>)))]
async fn list(State(app): State<App>, Params(paging): Params<PageParams>) -> Result<Json<Page<SecretInfo>>> {
    let request = proto::ListSecretsRequest { page_size: paging.page_size, page_token: paging.page_token };
    let answer = app.ports.secrets().list_secrets(request).await?.into_inner();
    Ok(page(answer.secrets, answer.next_page_token))
}
