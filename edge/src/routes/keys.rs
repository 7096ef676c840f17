//! Keys: which are in use, and making new ones. Never the keys themselves.

use axum::Json;
use axum::extract::State;
use runwarden_proto::auth::v1 as auth;
use runwarden_proto::secret::v1 as secret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::field::{always, kept_json};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::NoBody;
use crate::extract::query::{NoParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(master))
        .admin(routes!(rotate_master))
        .admin(routes!(signing))
        .admin(routes!(rotate_signing))
}

/// The master key in use and how far a rotation got.
#[derive(Debug, Serialize, ToSchema)]
pub struct MasterKey {
    /// Its id.
    pub key_id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How many tenant keys it wraps.
    pub tenant_keys: i32,
    /// How many tenant keys an older master key still wraps.
    pub tenant_keys_behind: i32,
}

/// What a rotation of the master key did.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotatedMasterKey {
    /// The new master key's id.
    pub key_id: String,
    /// How many tenant keys were rewrapped.
    pub rewrapped: i32,
}

/// The keys that may verify tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct SigningKeys {
    /// Their ids, as tokens name them.
    pub key_ids: Vec<String>,
}

/// The key that signs tokens from now on.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotatedSigningKey {
    /// Its id, as tokens name it.
    pub key_id: String,
}

/// Read the state of the master key
///
/// Needs `keys.read` on the platform.
#[utoipa::path(get, path = "/api/v1/keys/master", tag = "secrets",
    responses((status = 200, description = "The master key's state.", body = MasterKey)))]
async fn master(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Json<MasterKey>> {
    let status = app.ports.secrets().get_key_status(secret::GetKeyStatusRequest {}).await?.into_inner();
    Ok(Json(MasterKey {
        key_id: status.key_id,
        created_at: always(status.created_at),
        tenant_keys: status.tenant_keys,
        tenant_keys_behind: status.tenant_keys_behind,
    }))
}

/// Make a new master key
///
/// Wraps every tenant's key with it while the system runs. Needs `keys.rotate` on the platform.
#[utoipa::path(post, path = "/api/v1/keys/master/rotate", tag = "secrets",
    responses((status = 200, description = "It was rotated.", body = RotatedMasterKey)))]
async fn rotate_master(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Json<RotatedMasterKey>> {
    let rotated = app.ports.secrets().rotate_master_key(secret::RotateMasterKeyRequest {}).await?.into_inner();
    Ok(Json(RotatedMasterKey { key_id: rotated.key_id, rewrapped: rotated.rewrapped }))
}

/// Read which keys may verify tokens
///
/// The public keys themselves are at `/api/v1/auth/jwks.json`.
#[utoipa::path(get, path = "/api/v1/keys/signing", tag = "secrets",
    responses((status = 200, description = "The keys' ids.", body = SigningKeys)))]
async fn signing(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Json<SigningKeys>> {
    let request = auth::GetTrustStateRequest { keys_only: true, ..Default::default() };
    let state = app.ports.tokens().get_trust_state(request).await?.into_inner();
    let jwks = kept_json(&state.jwks_json, "the key set")?;
    let keys = jwks.get("keys").and_then(|keys| keys.as_array()).cloned().unwrap_or_default();
    let key_ids = keys.iter().filter_map(|key| key.get("kid")?.as_str().map(str::to_owned)).collect();
    Ok(Json(SigningKeys { key_ids }))
}

/// Make a new signing key
///
/// Tokens signed by the one before stay valid until they expire. Needs `keys.rotate` on the platform.
#[utoipa::path(post, path = "/api/v1/keys/signing/rotate", tag = "secrets",
    responses((status = 200, description = "It was rotated.", body = RotatedSigningKey)))]
async fn rotate_signing(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    NoBody: NoBody,
) -> Result<Json<RotatedSigningKey>> {
    let rotated = app.ports.tokens().rotate_signing_key(auth::RotateSigningKeyRequest {}).await?.into_inner();
    Ok(Json(RotatedSigningKey { key_id: rotated.key_id }))
}
