//! Callers that cannot obtain a token and send their client's id and secret with each request instead. Nothing is
//! trusted that a token would not be: one is obtained for them, for a single permission, and kept for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use runwarden_kit::caller::Caller;
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, SecretString, context, json};
use runwarden_proto::auth::v1::IssueTokenRequest;
use serde_json::Value;

use super::oauth::basic_client;
use crate::app::App;
use crate::problem::{Problem, Result};

/// How long a token is kept. Until then no other one is issued, and recorded, for the same client.
const KEEP: Duration = Duration::from_secs(60);
/// How many are kept.
const MOST: usize = 1000;

/// Tokens of clients that send nothing but their id and secret, by a digest of both and the permission.
#[derive(Default)]
pub struct ClientTokens(Mutex<HashMap<String, (Instant, SecretString)>>);

impl ClientTokens {
    fn get(&self, key: &str) -> Option<SecretString> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(since, _)| since.elapsed() < KEEP).map(|(_, token)| token.clone())
    }

    fn keep(&self, key: String, token: SecretString) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| since.elapsed() < KEEP);
        if kept.len() < MOST {
            kept.insert(key, (Instant::now(), token));
        }
    }

    fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Whether a request tries to prove itself by HTTP Basic.
#[must_use]
pub fn is_basic(headers: &HeaderMap) -> bool {
    let scheme = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split(|byte| *byte == b' ').next());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
}

/// A token for the client that a request names, narrowed to a permission, and who that is.
///
/// # Errors
///
/// 401 if there is no such client or the secret is wrong, 403 if it does not hold the permission.
pub async fn token(app: &App, headers: &HeaderMap, permission: Permission) -> Result<(SecretString, Arc<Caller>)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (_, None) = (values.next(), values.next()) else { return Err(wrong()) };
    let (client_id, client_secret) = basic_client(headers).ok().flatten().ok_or_else(wrong)?;
    let named = [permission.name(), client_id.as_str(), client_secret.expose_secret()];
    let key = json::digest(&Value::from(named.map(Value::from).to_vec()));
    if let Some(token) = app.client_tokens.get(&key) {
        match app.trust.verify(token.expose_secret()).await {
            Ok(caller) => return Ok((token, caller)),
            // It was revoked, or it expired. So perhaps was its client; a new one tells.
            Err(_) => app.client_tokens.forget(&key),
        }
    }
    let request = IssueTokenRequest {
        client_id,
        client_secret: client_secret.expose_secret().to_owned(),
        scope: permission.name().to_owned(),
        source_address: context::current().source_address.clone(),
    };
    let issued = app.ports.tokens().issue_token(request).await.map_err(|status| refused(status, permission))?;
    let token = SecretString::from(issued.into_inner().access_token);
    let caller = app.trust.verify(token.expose_secret()).await.map_err(Problem::from)?;
    app.client_tokens.keep(key, token.clone());
    Ok((token, caller))
}

fn wrong() -> Problem {
    challenge(Problem::new(ErrorReason::Unauthenticated, "The client id and secret do not match an enabled client."))
}

fn challenge(problem: Problem) -> Problem {
    problem.with_header(WWW_AUTHENTICATE, "Basic realm=\"runwarden\", charset=\"UTF-8\"")
}

/// Why no token was issued, in the words of a call instead of OAuth's.
fn refused(status: tonic::Status, permission: Permission) -> Problem {
    let problem = Problem::from(status);
    match problem.reason() {
        ErrorReason::InvalidClient => wrong(),
        // The only thing asked for is a permission that it does not hold.
        ErrorReason::ValidationFailed => Error::denied(format!("This needs the permission {permission}.")).into(),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_basic_is_basic() {
        for (value, is) in
            [("Basic YTpi", true), ("basic YTpi", true), ("Bearer x", false), ("Basically", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            assert_eq!(is_basic(&headers), is, "{value}");
        }
        assert!(!is_basic(&HeaderMap::new()));
    }

    #[test]
    fn tokens_are_kept_for_those_who_sent_the_same_and_not_without_end() {
        let tokens = ClientTokens::default();
        tokens.keep("a".into(), SecretString::from("t".to_owned()));
        assert_eq!(tokens.get("a").map(|token| token.expose_secret().to_owned()).as_deref(), Some("t"));
        assert!(tokens.get("b").is_none());
        tokens.forget("a");
        assert!(tokens.get("a").is_none());
        for n in 0..MOST * 2 {
            tokens.keep(n.to_string(), SecretString::from(String::new()));
        }
        assert_eq!(tokens.0.lock().unwrap().len(), MOST);
    }
}
