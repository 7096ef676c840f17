//! The parameters in a path. What cannot be an id names nothing: 404, whatever it is. What cannot be a name is a name
//! that is misspelt: 422, with the rule.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use runwarden_kit::{Error, slug};
use utoipa::IntoParams;

use crate::problem::{Problem, Result};

/// A parameter's value; empty if its percent-escapes are not UTF-8, which is neither a name nor an id.
async fn param<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> String {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let found = params
        .ok()
        .and_then(|params| params.iter().find(|(given, _)| *given == name).map(|(_, value)| value.to_owned()));
    found.unwrap_or_default()
}

async fn name<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String> {
    let given = param(parts, state, "name").await;
    slug::check("/name", &given)?;
    Ok(given)
}

async fn id<S: Send + Sync>(parts: &mut Parts, state: &S, called: &str) -> Result<String> {
    let given = param(parts, state, called).await;
    if is_id(&given) { Ok(given) } else { Err(Problem::from(Error::not_found("thing"))) }
}

/// Whether a text can be an id: letters, digits, underscores and hyphens.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `{name}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ByName {
    /// Its name.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    pub name: String,
}

/// `{id}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ById {
    /// Its id.
    #[param(pattern = "^[A-Za-z0-9_-]{1,128}$", example = "job_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
}

/// `{name}` and `{id}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ByNameAndId {
    /// The name of the outer thing.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    pub name: String,
    /// The id of the inner thing.
    #[param(pattern = "^[A-Za-z0-9_-]{1,128}$", example = "bind_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
}

/// `{id}` and `{secret_id}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BySecret {
    /// The client's id.
    #[param(pattern = "^[A-Za-z0-9_-]{1,128}$", example = "client_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// The secret's id.
    #[param(pattern = "^[A-Za-z0-9_-]{1,128}$", example = "secret_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub secret_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ByName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Ok(Self { name: name(parts, state).await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ById {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Ok(Self { id: id(parts, state, "id").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ByNameAndId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Ok(Self { name: name(parts, state).await?, id: id(parts, state, "id").await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BySecret {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Ok(Self { id: id(parts, state, "id").await?, secret_id: id(parts, state, "secret_id").await? })
    }
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn an_id_holds_nothing_with_a_meaning_in_a_path() {
        assert!(is_id("job_01990f9a0c6f7c52b8f54ee30bd5d1a1"));
        for bad in ["", ".", "..", "a/b", "a\\b", "a%2Fb", "a b", "a\0", "é", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
