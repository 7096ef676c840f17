//! The caller token in a request.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use runwarden_kit::{ErrorReason, SecretString};

use crate::problem::{Problem, Result};

/// The bearer token of a request: exactly one `Authorization` header, of this one scheme. A token in the query or in a
/// form is never looked at, since those end up in logs.
///
/// # Errors
///
/// 401 if there is none, with an error code in the challenge if there is something else.
pub fn token(headers: &HeaderMap) -> Result<SecretString> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return Err(Problem::new(
            ErrorReason::Unauthenticated,
            "This call needs an access token: send Authorization: Bearer with a token from POST /api/v1/auth/token.",
        ));
    };
    let token = first.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        let token = token.trim();
        let sane = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        (scheme.eq_ignore_ascii_case("bearer") && sane).then(|| token.to_owned())
    });
    token
        .filter(|_| values.next().is_none())
        .map(SecretString::from)
        .ok_or_else(|| invalid("The Authorization header must be sent once, as Bearer followed by an access token."))
}

/// A 401 for a token that is not valid here.
#[must_use]
pub fn invalid(detail: &str) -> Problem {
    Problem::new(ErrorReason::Unauthenticated, detail).with_header(
        http::header::WWW_AUTHENTICATE,
        r#"Bearer realm="runwarden", error="invalid_token", error_description="the access token is not valid here""#,
    )
}

#[cfg(test)]
mod tests {
    use super::token;
    use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
    use http::{HeaderMap, HeaderValue};
    use runwarden_kit::ExposeSecret as _;

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn only_bearer_counts() {
        assert_eq!(token(&with("Bearer a.b.c")).unwrap().expose_secret(), "a.b.c");
        assert_eq!(token(&with("bearer  a.b.c ")).unwrap().expose_secret(), "a.b.c");
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "a.b.c"] {
            assert!(token(&with(bad)).is_err(), "{bad}");
        }
        let mut twice = with("Bearer a");
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(token(&twice).is_err());
    }

    #[test]
    fn the_challenge_names_an_error_only_when_something_was_presented() {
        let nothing = token(&HeaderMap::new()).unwrap_err().render("r");
        assert_eq!(nothing.headers()[WWW_AUTHENTICATE], "Bearer realm=\"runwarden\"");
        let wrong = token(&with("Basic YTpi")).unwrap_err().render("r");
        assert!(wrong.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
    }
}
