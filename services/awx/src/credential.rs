use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use runwarden_kit::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::TargetProblem;

/// How Runwarden proves itself to a controller. Never printed, wiped when dropped.
#[derive(Clone)]
pub enum Credential {
    /// An OAuth 2 token.
    Bearer(SecretString),
    /// A user name with a password.
    Basic {
        /// The user.
        username: String,
        /// Its password.
        password: SecretString,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    token: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
}

impl Credential {
    /// A token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(SecretString::from(token.into()))
    }

    /// A user name with a password.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { username: username.into(), password: SecretString::from(password.into()) }
    }

    /// Reads the form in which the secret service keeps it: `{"token"}` or `{"username","password"}`. The error
    /// never quotes what it read.
    pub fn from_stored(json: &[u8]) -> Result<Self, TargetProblem> {
        let wrong = || TargetProblem::new("/credential", "must be either a token, or a username with a password");
        let stored: Stored = serde_json::from_slice(json).map_err(|_| wrong())?;
        match (stored.token, stored.username, stored.password) {
            (Some(token), None, None) => Ok(Self::Bearer(token)),
            (None, Some(username), Some(password)) => Ok(Self::Basic { username, password }),
            _ => Err(wrong()),
        }
    }

    pub(super) fn header(&self) -> Result<HeaderValue, TargetProblem> {
        let text = match self {
            Self::Bearer(token) => Zeroizing::new(format!("Bearer {}", token.expose_secret())),
            Self::Basic { username, password } => {
                if username.contains(':') {
                    return Err(TargetProblem::new("/credential", "the username must not contain a colon"));
                }
                let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
            }
        };
        let mut header = HeaderValue::from_str(&text)
            .map_err(|_| TargetProblem::new("/credential", "contains characters that cannot be sent in a header"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Credential::Bearer(..)",
            Self::Basic { .. } => "Credential::Basic(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_never_printed() {
        let token = Credential::bearer("hunter2");
        assert_eq!(format!("{token:?}"), "Credential::Bearer(..)");
        assert_eq!(format!("{:?}", token.header().unwrap()), "Sensitive");
        let basic = Credential::basic("svc", "hunter2");
        assert!(!format!("{basic:?}").contains("hunter2"));
    }

    #[test]
    fn stored_forms_are_read_and_others_refused_without_quoting_them() {
        let read = Credential::from_stored(br#"{"username":"svc","password":"pw"}"#).unwrap();
        assert_eq!(read.header().unwrap().to_str().unwrap(), "Basic c3ZjOnB3");
        let read = Credential::from_stored(br#"{"token":"t0k"}"#).unwrap();
        assert_eq!(read.header().unwrap().to_str().unwrap(), "Bearer t0k");
        for bad in [
            r#"{"token":"s3cr3t","username":"u"}"#,
            r#"{"username":"s3cr3t"}"#,
            r#"{"tokn":"s3cr3t"}"#,
            r#"s3cr3t"#,
            r#"{}"#,
        ] {
            let error = Credential::from_stored(bad.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}{error}").contains("s3cr3t"), "{bad}");
        }
    }

    #[test]
    fn a_credential_cannot_smuggle_headers() {
        assert!(Credential::bearer("a\r\nX-Evil: 1").header().is_err());
        assert!(Credential::basic("a:b", "c").header().is_err());
    }
}
