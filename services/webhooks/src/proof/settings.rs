//! The `proof` of a hook's settings.

use serde::Deserialize;

use crate::problem::Problem;
use crate::proof::template::is_header_name;
use crate::proof::{Algorithm, Encoding, Hmac, Place, Proof, Shared, Template, Timestamp, TimestampFrom};

/// The most service accounts that may share a hook.
const MAX_CALLERS: usize = 16;
/// How far a timestamp may be off if nothing is said, in seconds.
const TOLERANCE: u32 = 300;
/// How far it may be off at most.
const MAX_TOLERANCE: u32 = 3600;

/// The ways of proving, as settings name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Hmac,
    Standard,
    Token,
    Basic,
    Address,
    Oauth,
}

impl By {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Standard => "standard",
            Self::Token => "token",
            Self::Basic => "basic",
            Self::Address => "address",
            Self::Oauth => "oauth",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(crate) enum ProofSettings {
    Hmac(HmacSettings),
    Standard(Nothing),
    Token(TokenSettings),
    Basic(BasicSettings),
    Address(AddressSettings),
    Oauth(OauthSettings),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HmacSettings {
    header: String,
    #[serde(default = "sha256")]
    algorithm: Algorithm,
    #[serde(default = "hex")]
    encoding: Encoding,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    separator: Option<char>,
    #[serde(default = "body")]
    signed: String,
    #[serde(default)]
    timestamp: Option<TimestampSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimestampSettings {
    header: String,
    #[serde(default = "tolerance")]
    tolerance_seconds: u32,
    #[serde(default)]
    milliseconds: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSettings {
    #[serde(default)]
    header: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicSettings {
    username: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressSettings {
    #[serde(default = "token")]
    parameter: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OauthSettings {
    callers: Vec<String>,
}

fn sha256() -> Algorithm {
    Algorithm::Sha256
}

fn hex() -> Encoding {
    Encoding::Hex
}

fn body() -> String {
    "{body}".to_owned()
}

fn token() -> String {
    "token".to_owned()
}

const fn tolerance() -> u32 {
    TOLERANCE
}

impl ProofSettings {
    pub(crate) fn by(&self) -> By {
        match self {
            Self::Hmac(_) => By::Hmac,
            Self::Standard(_) => By::Standard,
            Self::Token(_) => By::Token,
            Self::Basic(_) => By::Basic,
            Self::Address(_) => By::Address,
            Self::Oauth(_) => By::Oauth,
        }
    }

    /// The proof that they describe; a token is in `token_header` if they do not say where.
    pub(crate) fn into_proof(self, token_header: &str) -> Result<Proof, Problem> {
        Ok(match self {
            Self::Hmac(settings) => Proof::Hmac(settings.into_hmac()?),
            Self::Standard(Nothing {}) => Proof::Standard,
            Self::Token(settings) => {
                let name = settings.header.as_deref().unwrap_or(token_header);
                Proof::Shared(Shared(Place::Header(header("proof.header", name)?)))
            }
            Self::Basic(BasicSettings { username }) => {
                let usable =
                    (1..=128).contains(&username.len()) && !username.chars().any(|c| c == ':' || c.is_control());
                if !usable {
                    return Err(Problem::new("proof.username", "A user name has 1 to 128 characters and no colon."));
                }
                Proof::Shared(Shared(Place::Basic(username)))
            }
            Self::Address(AddressSettings { parameter }) => {
                if !is_header_name(&parameter) {
                    return Err(Problem::new("proof.parameter", "Use letters, digits, `-` and `_`, at most 64."));
                }
                Proof::Shared(Shared(Place::Address(parameter)))
            }
            Self::Oauth(OauthSettings { callers }) => {
                if !(1..=MAX_CALLERS).contains(&callers.len()) || callers.iter().any(String::is_empty) {
                    let detail = format!("Name 1 to {MAX_CALLERS} service accounts that may send to this hook.");
                    return Err(Problem::new("proof.callers", detail));
                }
                Proof::Callers(callers)
            }
        })
    }
}

impl HmacSettings {
    fn into_hmac(self) -> Result<Hmac, Problem> {
        let signed = Template::parse(&self.signed)?;
        let timestamp = self.timestamp.map(TimestampSettings::into_timestamp).transpose()?;
        match (signed.has_timestamp(), timestamp.is_some()) {
            (true, false) => {
                return Err(Problem::new("proof.timestamp", "Say in which header the signed {timestamp} is."));
            }
            (false, true) => {
                let detail = "Put {timestamp} into what is signed: a timestamp that is not signed proves nothing.";
                return Err(Problem::new("proof.signed", detail));
            }
            (true, true) | (false, false) => {}
        }
        if self.prefix.len() > 32 {
            return Err(Problem::new("proof.prefix", "A prefix has at most 32 characters."));
        }
        if self.separator.is_some_and(|c| c.is_ascii_alphanumeric() || "+/=\0".contains(c)) {
            return Err(Problem::new("proof.separator", "A signature may contain this character itself."));
        }
        Ok(Hmac {
            algorithm: self.algorithm,
            encoding: self.encoding,
            header: header("proof.header", &self.header)?,
            prefix: self.prefix,
            separator: self.separator,
            signed,
            timestamp,
        })
    }
}

impl TimestampSettings {
    fn into_timestamp(self) -> Result<Timestamp, Problem> {
        if !(1..=MAX_TOLERANCE).contains(&self.tolerance_seconds) {
            let detail = format!("A tolerance is from 1 to {MAX_TOLERANCE} seconds.");
            return Err(Problem::new("proof.timestamp.tolerance_seconds", detail));
        }
        Ok(Timestamp {
            from: TimestampFrom::Header(header("proof.timestamp.header", &self.header)?),
            tolerance: self.tolerance_seconds,
            millis: self.milliseconds,
        })
    }
}

/// A header's name in lower case.
pub(crate) fn header(field: &str, name: &str) -> Result<String, Problem> {
    if is_header_name(name) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(Problem::new(field, "It is not the name of a header: letters, digits, `-` and `_`, at most 64."))
    }
}
