//! Obtain, introspect and revoke tokens, and what it takes to verify them.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use runwarden_kit::permission::Permission;
use runwarden_kit::{ExposeSecret as _, context};
use runwarden_proto::auth::v1 as proto;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::field::kept_json;
use crate::app::App;
use crate::declared::Routes;
use crate::extract::oauth::{ClientForm, Refused, unstored};
use crate::extract::query::{NoParams, Params};
use crate::problem::Result;
use crate::route_table::Lasts;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .open(Lasts::Call, routes!(token))
        .open(Lasts::Call, routes!(introspect))
        .open(Lasts::Call, routes!(revoke))
        .open(Lasts::Call, routes!(jwks))
        .open(Lasts::Call, routes!(metadata))
}

/// A request for a token. The client's credentials go into HTTP Basic or into this form.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only describes the form for the OpenAPI document")]
pub struct TokenForm {
    /// Always `client_credentials`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// The client id, if not in HTTP Basic.
    client_id: Option<String>,
    /// The client secret, if not in HTTP Basic.
    #[schema(write_only)]
    client_secret: Option<String>,
    /// Permissions to narrow the token to, separated by spaces; all that the client holds if not given.
    #[schema(example = "jobs.submit jobs.read")]
    scope: Option<String>,
}

/// A token to ask about or to end. The client's credentials go into HTTP Basic or into this form.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only describes the form for the OpenAPI document")]
pub struct TokenToken {
    /// The token.
    #[schema(write_only)]
    token: String,
    /// What kind of token it is: `access_token`. May be left out.
    token_type_hint: Option<String>,
    /// The client id, if not in HTTP Basic.
    client_id: Option<String>,
    /// The client secret, if not in HTTP Basic.
    #[schema(write_only)]
    client_secret: Option<String>,
}

/// A token (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// The token, a signed JWT (RFC 9068).
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Its lifetime in seconds.
    #[schema(example = 900)]
    pub expires_in: i64,
    /// The permissions it carries, separated by spaces.
    #[schema(example = "jobs.submit jobs.read")]
    pub scope: String,
}

/// The state of a token (RFC 7662). For an inactive one nothing else is shown.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether it holds.
    pub active: bool,
    /// Permissions, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The OAuth client it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The tenant; absent for a platform principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it expires, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was issued, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Always `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
}

impl From<proto::IntrospectTokenResponse> for Introspection {
    fn from(answer: proto::IntrospectTokenResponse) -> Self {
        if !answer.active {
            return Self::default();
        }
        Self {
            active: true,
            scope: Some(answer.scope),
            client_id: Some(answer.client_id),
            sub: Some(answer.sub),
            tenant: super::field::some(answer.tenant),
            exp: Some(answer.exp),
            iat: Some(answer.iat),
            jti: Some(answer.jti),
            iss: Some(answer.iss),
            aud: Some(answer.aud),
            token_type: Some("Bearer"),
        }
    }
}

/// What a client needs to know of the authorization server (RFC 8414).
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    /// Who issues tokens.
    pub issuer: String,
    /// Where tokens are obtained.
    pub token_endpoint: String,
    /// Where the public keys are.
    pub jwks_uri: String,
    /// Where tokens are asked about.
    pub introspection_endpoint: String,
    /// Where tokens are ended.
    pub revocation_endpoint: String,
    /// Where to read on.
    pub service_documentation: String,
    /// What may be asked for.
    pub scopes_supported: Vec<String>,
    /// None: there is no authorization endpoint.
    pub response_types_supported: Vec<String>,
    /// How tokens are obtained.
    pub grant_types_supported: Vec<String>,
    /// How clients prove themselves.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// How clients prove themselves when they ask about tokens.
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// How clients prove themselves when they end tokens.
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
}

/// The public keys that may verify tokens (RFC 7517).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer for the OpenAPI document")]
pub struct KeySet {
    /// The keys.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
}

fn private(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    unstored(response.headers_mut());
    response
}

/// Obtain a token
///
/// OAuth 2.0 client credentials (RFC 6749 section 4.4), with HTTP Basic or the credentials in the form.
#[utoipa::path(post, path = "/api/v1/auth/token", tag = "auth",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token.", body = Token)))]
async fn token(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    request: Request,
) -> Result<Response, Refused> {
    let mut form = ClientForm::read(request).await?;
    match form.take("grant_type").as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(Refused::new("unsupported_grant_type", "Only client_credentials is offered.")),
        None => return Err(Refused::invalid_request("grant_type is missing; it must be client_credentials.")),
    }
    let request = proto::IssueTokenRequest {
        scope: form.take("scope").unwrap_or_default(),
        client_secret: form.client_secret.expose_secret().to_owned(),
        client_id: form.client_id,
        source_address: context::current().source_address.clone(),
    };
    let answer = app.ports.tokens().issue_token(request).await?.into_inner();
    Ok(private(Json(Token {
        access_token: answer.access_token,
        token_type: "Bearer",
        expires_in: answer.expires_in,
        scope: answer.scope,
    })))
}

fn wanted_token(form: &mut ClientForm) -> Result<String, Refused> {
    form.take("token").ok_or_else(|| Refused::invalid_request("token is missing."))
}

/// Ask about a token
///
/// RFC 7662. A token of another tenant than the asking client's is not active for it.
#[utoipa::path(post, path = "/api/v1/auth/introspect", tag = "auth",
    request_body(content = TokenToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The state of the token.", body = Introspection)))]
async fn introspect(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    request: Request,
) -> Result<Response, Refused> {
    let mut form = ClientForm::read(request).await?;
    let request = proto::IntrospectTokenRequest {
        token: wanted_token(&mut form)?,
        client_secret: form.client_secret.expose_secret().to_owned(),
        client_id: form.client_id,
    };
    let answer = app.ports.tokens().introspect_token(request).await?.into_inner();
    Ok(private(Json(Introspection::from(answer))))
}

/// End a token
///
/// RFC 7009. It is revoked everywhere within 5 seconds. A client may revoke its own tokens only; an unknown token is
/// not an error.
#[utoipa::path(post, path = "/api/v1/auth/revoke", tag = "auth",
    request_body(content = TokenToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token is revoked.")))]
async fn revoke(
    State(app): State<App>,
    Params(NoParams): Params<NoParams>,
    request: Request,
) -> Result<Response, Refused> {
    let mut form = ClientForm::read(request).await?;
    let request = proto::RevokeTokenRequest {
        token: wanted_token(&mut form)?,
        client_secret: form.client_secret.expose_secret().to_owned(),
        client_id: form.client_id,
    };
    app.ports.tokens().revoke_token(request).await?;
    Ok(private(StatusCode::OK))
}

async fn trust_state(app: &App) -> Result<proto::GetTrustStateResponse> {
    let request = proto::GetTrustStateRequest { keys_only: true, ..Default::default() };
    Ok(app.ports.tokens().get_trust_state(request).await?.into_inner())
}

/// Verifiers may cache the answer for a minute.
fn cacheable(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}

/// Read the public keys
///
/// RFC 7517. Every key that may still verify a token.
#[utoipa::path(get, path = "/api/v1/auth/jwks.json", tag = "auth",
    responses((status = 200, description = "The keys.", body = KeySet)))]
async fn jwks(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Response> {
    let state = trust_state(&app).await?;
    Ok(cacheable(Json(kept_json(&state.jwks_json, "the key set")?)))
}

/// Read where tokens are obtained
///
/// RFC 8414.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "auth",
    responses((status = 200, description = "The authorization server's metadata.", body = ServerMetadata)))]
async fn metadata(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Response> {
    let state = trust_state(&app).await?;
    let at = |path: &str| format!("{}{path}", app.public_url);
    let methods = || vec!["client_secret_basic".to_owned(), "client_secret_post".to_owned()];
    Ok(cacheable(Json(ServerMetadata {
        issuer: state.issuer,
        token_endpoint: at("/api/v1/auth/token"),
        jwks_uri: at("/api/v1/auth/jwks.json"),
        introspection_endpoint: at("/api/v1/auth/introspect"),
        revocation_endpoint: at("/api/v1/auth/revoke"),
        service_documentation: at("/docs/"),
        scopes_supported: Permission::ALL.iter().map(ToString::to_string).collect(),
        response_types_supported: Vec::new(),
        grant_types_supported: vec!["client_credentials".to_owned()],
        token_endpoint_auth_methods_supported: methods(),
        introspection_endpoint_auth_methods_supported: methods(),
        revocation_endpoint_auth_methods_supported: methods(),
    })))
}

#[cfg(test)]
mod tests {
    use super::{Introspection, proto};

    #[test]
    fn a_token_that_holds_no_more_shows_nothing_else() {
        let answer = proto::IntrospectTokenResponse { active: false, sub: "sa_1".into(), ..Default::default() };
        let shown = serde_json::to_value(Introspection::from(answer)).unwrap();
        assert_eq!(shown, serde_json::json!({"active": false}));
    }
}
