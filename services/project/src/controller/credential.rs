//! How Runwarden proves itself to a controller. It goes in, is sealed, and never comes out.

use runwarden_kit::{Error, ExposeSecret, Result, SecretString};
use serde_json::json;
use zeroize::Zeroizing;

const LONGEST: usize = 4096;

/// A checked credential.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An OAuth 2 token.
    Token(SecretString),
    /// A user with a password.
    Login {
        /// The user's name.
        username: String,
        /// The user's password.
        password: SecretString,
    },
}

impl Credential {
    /// Takes exactly one of a token, or a user name with a password.
    pub fn new(token: String, username: String, password: String) -> Result<Self> {
        let (token, password) = (SecretString::from(token), SecretString::from(password));
        let given = |secret: &SecretString| !secret.expose_secret().is_empty();
        match (given(&token), !username.is_empty(), given(&password)) {
            (true, false, false) => {
                let text = token.expose_secret();
                check("/credential/token", text)?;
                // It becomes a header as it is.
                if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Error::invalid("/credential/token", "must be visible ASCII characters"));
                }
                Ok(Self::Token(token))
            }
            (false, true, true) => {
                check("/credential/username", &username)?;
                check("/credential/password", password.expose_secret())?;
                if username.contains(':') {
                    return Err(Error::invalid("/credential/username", "must not contain a colon"));
                }
                Ok(Self::Login { username, password })
            }
            _ => Err(Error::invalid("/credential", "must be either a token, or a username with a password")),
        }
    }

    /// The form in which it is sealed and in which the executor reads it.
    pub(crate) fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let json = match self {
            Self::Token(token) => json!({ "token": token.expose_secret() }),
            Self::Login { username, password } => json!({ "username": username, "password": password.expose_secret() }),
        };
        Zeroizing::new(json.to_string().into_bytes())
    }

    /// What may be recorded of it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Login { .. } => "username and password",
        }
    }
}

fn check(pointer: &str, text: &str) -> Result<()> {
    if text.len() > LONGEST {
        return Err(Error::invalid(pointer, format!("is longer than {LONGEST} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(pointer, "must not have control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(token: &str, username: &str, password: &str) -> Result<Credential> {
        Credential::new(token.to_owned(), username.to_owned(), password.to_owned())
    }

    #[test]
    fn a_credential_is_a_token_or_a_login_and_never_half_of_each() {
        assert!(matches!(new("t", "", ""), Ok(Credential::Token(_))));
        assert!(matches!(new("", "u", "p"), Ok(Credential::Login { .. })));
        for (token, username, password) in
            [("", "", ""), ("t", "u", ""), ("t", "", "p"), ("t", "u", "p"), ("", "u", ""), ("", "", "p")]
        {
            assert_eq!(new(token, username, password).unwrap_err().fields()[0].pointer, "/credential");
        }
    }

    #[test]
    fn what_would_break_out_of_a_header_is_refused() {
        for (token, username, password) in
            [("a\r\nX: y", "", ""), ("a b", "", ""), ("é", "", ""), ("", "a:b", "p"), ("", "a", "p\0")]
        {
            new(token, username, password).unwrap_err();
        }
        new(&"t".repeat(LONGEST + 1), "", "").unwrap_err();
    }

    #[test]
    fn a_credential_does_not_show_when_printed_or_refused() {
        let credential = new("", "user", "hunter2").unwrap();
        assert!(!format!("{credential:?}").contains("hunter2"));
        let refused = new("hunter2\n", "", "").unwrap_err();
        assert!(!format!("{refused:?}").contains("hunter2"));
    }

    #[test]
    fn the_sealed_form_is_what_the_executor_reads() {
        assert_eq!(new("t\"x", "", "").unwrap().to_stored().as_slice(), br#"{"token":"t\"x"}"#);
        let login: serde_json::Value = serde_json::from_slice(&new("", "u", "p").unwrap().to_stored()).unwrap();
        assert_eq!(login, json!({ "username": "u", "password": "p" }));
    }
}
