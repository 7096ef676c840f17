//! How an OAuth client presents itself (RFC 6749 section 2.3.1) and how it is refused (section 5.2).

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use runwarden_kit::{ErrorReason, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{body, form};
use crate::problem::Problem;

/// The media type of OAuth requests.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A refusal as RFC 6749 section 5.2 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OAuthError {
    /// What kind of refusal.
    #[schema(example = "invalid_client")]
    pub error: &'static str,
    /// What was wrong, in words.
    #[schema(example = "The client id and secret do not match an enabled client.")]
    pub error_description: String,
}

/// Why an OAuth call was refused: in OAuth's words where it has some, else as everywhere.
#[derive(Debug)]
pub enum Refused {
    /// A refusal with an error code that OAuth defines.
    OAuth(OAuthError),
    /// Anything else.
    Problem(Problem),
}

impl Refused {
    /// A refusal in OAuth's words.
    #[must_use]
    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self::OAuth(OAuthError { error, error_description: description.into() })
    }

    /// The request is missing something, repeats something or cannot be read.
    #[must_use]
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<tonic::Status> for Refused {
    fn from(status: tonic::Status) -> Self {
        let problem = Problem::from(status);
        let detail = problem.error().detail().to_owned();
        match problem.reason() {
            ErrorReason::InvalidClient => Self::new("invalid_client", detail),
            ErrorReason::PermissionDenied | ErrorReason::TenantDisabled => Self::new("unauthorized_client", detail),
            ErrorReason::ValidationFailed => {
                let scope = problem.error().fields().iter().any(|field| field.pointer.starts_with("/scope"));
                Self::new(if scope { "invalid_scope" } else { "invalid_request" }, detail)
            }
            _ => Self::Problem(problem),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::OAuth(refusal) => refusal,
        };
        let status = if refusal.error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let mut response = (status, axum::Json(refusal)).into_response();
        unstored(response.headers_mut());
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"runwarden\", charset=\"UTF-8\""));
        }
        response
    }
}

/// Marks an answer as not to be cached.
pub fn unstored(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// A client's proof of itself and the rest of its form.
pub struct ClientForm {
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
    fields: Vec<(String, String)>,
}

impl ClientForm {
    /// Reads the request: credentials from Basic or the form, never from both.
    ///
    /// # Errors
    ///
    /// `invalid_request` or `invalid_client`; 413 and 415 as everywhere.
    pub async fn read(request: Request) -> Result<Self, Refused> {
        let headers = request.headers().clone();
        let (_, bytes) = body::bytes(request, &[FORM]).await?;
        Self::parse(&headers, &bytes)
    }

    /// Reads the credentials from headers and form.
    ///
    /// # Errors
    ///
    /// See [`ClientForm::read`].
    pub fn parse(headers: &HeaderMap, form: &[u8]) -> Result<Self, Refused> {
        let mut fields = form::pairs(form)
            .map_err(|error| Refused::invalid_request(format!("The form cannot be read: {error}.")))?;
        if let Some(name) = form::repeated(fields.iter().map(|(name, _)| name)) {
            return Err(Refused::invalid_request(format!(
                "The parameter {} is given more than once.",
                printable(name)
            )));
        }
        let mut take = |name: &str| fields.iter().position(|(given, _)| given == name).map(|at| fields.remove(at).1);
        let (form_id, form_secret) = (take("client_id"), take("client_secret"));
        let (client_id, client_secret) = match (basic(headers)?, form_id, form_secret) {
            (Some((id, secret)), form_id, None) if form_id.as_ref().is_none_or(|other| *other == id) => (id, secret),
            (Some(_), _, _) => {
                return Err(Refused::invalid_request(
                    "Client credentials were sent both with HTTP Basic and in the form; use only one.",
                ));
            }
            (None, Some(id), Some(secret)) => (id, secret),
            (None, _, _) => {
                return Err(Refused::new(
                    "invalid_client",
                    "Send client_id and client_secret, with HTTP Basic or in the form.",
                ));
            }
        };
        if client_id.len() > 256 || client_secret.len() > 1024 {
            return Err(Refused::new("invalid_client", "The client id and secret do not match an enabled client."));
        }
        Ok(Self { client_id, client_secret: SecretString::from(client_secret), fields })
    }

    /// Takes another parameter. Empty ones count as absent (RFC 6749 section 3.2).
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.fields.iter().position(|(given, _)| given == name)?;
        Some(self.fields.remove(at).1).filter(|value| !value.is_empty())
    }
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\').take(40).collect()
}

/// The client that the `Authorization` header names, with its secret, whose halves may be form-encoded or not: senders
/// that know nothing of OAuth do not encode them. Those of Runwarden are the same either way.
///
/// # Errors
///
/// `invalid_client` if it cannot be read or is too long.
pub fn basic_client(headers: &HeaderMap) -> Result<Option<(String, SecretString)>, Refused> {
    let Some((id, secret)) = basic(headers)? else { return Ok(None) };
    if id.len() > 256 || secret.len() > 1024 {
        return Err(Refused::new("invalid_client", "The client id and secret do not match an enabled client."));
    }
    Ok(Some((id, SecretString::from(secret))))
}

/// Credentials from the `Authorization` header; both halves are form-encoded inside (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refused> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let wrong =
        || Refused::new("invalid_client", "The Authorization header is not HTTP Basic with client id and secret.");
    let text = header.to_str().map_err(|_| wrong())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
    let colon = decoded.iter().position(|b| *b == b':').ok_or_else(wrong)?;
    let (id, secret) = decoded.split_at(colon);
    let decode = |half: &[u8]| form::decode(half).map_err(|_| wrong());
    Ok(Some((decode(id)?, decode(secret.get(1..).unwrap_or_default())?)))
}

#[cfg(test)]
mod tests {
    use super::{ClientForm, Refused, STANDARD};
    use base64::Engine as _;
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use runwarden_kit::ExposeSecret as _;

    fn with_basic(credentials: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(credentials));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        headers
    }

    fn read(headers: &HeaderMap, form: &str) -> Result<(String, String), &'static str> {
        match ClientForm::parse(headers, form.as_bytes()) {
            Ok(form) => Ok((form.client_id, form.client_secret.expose_secret().to_owned())),
            Err(Refused::OAuth(refusal)) => Err(refusal.error),
            Err(Refused::Problem(_)) => Err("problem"),
        }
    }

    #[test]
    fn basic_and_form_mean_the_same() {
        let expected = Ok(("client_1".to_owned(), "s:e c".to_owned()));
        assert_eq!(read(&with_basic(b"client_1:s%3Ae+c"), "grant_type=client_credentials"), expected);
        assert_eq!(read(&with_basic(b"client_1:s:e%20c"), "client_id=client_1"), expected);
        assert_eq!(read(&HeaderMap::new(), "client_id=client_1&client_secret=s%3Ae+c"), expected);
    }

    #[test]
    fn what_is_missing_twice_or_broken_is_refused_in_the_words_of_the_rfc() {
        assert_eq!(read(&HeaderMap::new(), ""), Err("invalid_client"));
        assert_eq!(read(&HeaderMap::new(), "client_id=a"), Err("invalid_client"));
        assert_eq!(read(&with_basic(b"a:b"), "client_id=a&client_secret=b"), Err("invalid_request"));
        assert_eq!(read(&with_basic(b"a:b"), "client_id=other"), Err("invalid_request"));
        assert_eq!(read(&with_basic(b"a:b"), "scope=x&scope=y"), Err("invalid_request"));
        assert_eq!(read(&with_basic(b"a:b"), "scope=%zz"), Err("invalid_request"));
        let many: String = (0..101).map(|n| format!("p{n}=&")).collect();
        assert_eq!(read(&with_basic(b"a:b"), &many), Err("invalid_request"));
        assert_eq!(read(&with_basic(b"no colon"), ""), Err("invalid_client"));
        assert_eq!(read(&with_basic(b"a:%ff"), ""), Err("invalid_client"));
        let mut bearer = HeaderMap::new();
        bearer.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(read(&bearer, "client_id=a&client_secret=b"), Err("invalid_client"));
    }

    #[test]
    fn an_empty_parameter_counts_as_absent() {
        let mut form = ClientForm::parse(&with_basic(b"a:b"), b"scope=&grant_type=x").ok().unwrap();
        assert_eq!(form.take("scope"), None);
        assert_eq!(form.take("grant_type").as_deref(), Some("x"));
    }

    proptest! {
        #[test]
        fn any_credentials_are_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..80), form in "[ -~]{0,80}") {
            let _ = read(&with_basic(&header), &form);
            let mut raw = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&header) {
                raw.insert(AUTHORIZATION, value);
            }
            let _ = read(&raw, &form);
        }
    }
}
