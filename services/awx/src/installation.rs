//! Which controller it is, whatever address it is reached at.

use std::sync::atomic::Ordering;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::address::Path;
use super::http::Query;
use super::{AwxError, Client, Target, own, read};

/// API roots that lead to the controller as a whole.
const ROOTS: [&str; 3] = ["", "api/v2", "api/controller/v2"];

/// A controller's identity: the install uuid it reports, or its address if it reports none.
///
/// A uuid stays when the controller moves, is spelled differently or is restored from a backup; a controller that is
/// set up again at the same address has another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Installation {
    uuid: Option<Uuid>,
    address: String,
}

/// As it is kept. Earlier versions kept the address alone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Address(String),
    Known {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
        address: String,
    },
}

impl From<Stored> for Installation {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Address(text) => Self { uuid: None, address: normalised(&text, "") },
            Stored::Known { uuid, address } => {
                Self { uuid: uuid.and_then(|text| Uuid::parse_str(&text).ok()), address }
            }
        }
    }
}

impl From<Installation> for Stored {
    fn from(known: Installation) -> Self {
        Self::Known { uuid: known.uuid.map(|uuid| uuid.hyphenated().to_string()), address: known.address }
    }
}

impl Installation {
    /// What is at this address and calls itself so.
    #[must_use]
    pub fn new(uuid: Option<Uuid>, target: &Target) -> Self {
        Self { uuid: uuid.filter(|uuid| !uuid.is_nil()), address: normalised(&target.url, &target.api_root) }
    }

    /// Whether the two are one. Addresses decide only where one of them has no uuid.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.uuid, other.uuid) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => self.address == other.address,
        }
    }

    /// The shortest text that names it: its uuid, or its address.
    #[must_use]
    pub fn key(&self) -> String {
        self.uuid.map_or_else(|| self.address.clone(), |uuid| uuid.hyphenated().to_string())
    }

    /// The uuid it gives itself.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// The address it was last reached at, normalised.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// For people.
impl std::fmt::Display for Installation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)?;
        self.uuid.map_or(Ok(()), |uuid| write!(f, " (installation {})", uuid.hyphenated()))
    }
}

/// One text for all spellings of an address.
fn normalised(url: &str, api_root: &str) -> String {
    let Ok(parsed) = Url::parse(url.trim()) else { return url.trim().trim_end_matches('/').to_owned() };
    // Text that was kept by an earlier version has the root in it.
    let root = format!("{}/{}", parsed.path(), api_root);
    let segments: Vec<&str> = root.split('/').map(str::trim).filter(|segment| !segment.is_empty()).collect();
    let root = segments.join("/");
    let host = parsed.host_str().unwrap_or_default().trim_end_matches('.');
    let mut text = format!("{}://{host}", parsed.scheme());
    if let Some(port) = parsed.port() {
        text.push_str(&format!(":{port}"));
    }
    if !ROOTS.contains(&root.as_str()) {
        text.push_str(&format!("/{root}"));
    }
    text
}

/// How sure an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What it said before will do, unless it has been out of reach since.
    Once,
    /// It is asked now.
    Afresh,
}

impl Client {
    /// Which installation this is. One that gives no install uuid is known by its address.
    ///
    /// # Errors
    /// When it does not answer. Then nothing is known: an answer without a uuid is something else.
    pub async fn installation(&self, ask: Ask) -> Result<Installation, AwxError> {
        let known = self.known_installation();
        if ask == Ask::Once
            && self.http.is_undisturbed()
            && let Some(known) = known
        {
            return Ok(known);
        }
        self.http.count_anew();
        let found = self.find_installation(self.gave_uuid.load(Ordering::Acquire)).await;
        if let Ok(here) = &found {
            self.gave_uuid.store(here.uuid.is_some(), Ordering::Release);
        }
        // What was known does not outlive a question that it could not answer.
        self.know_installation(found.as_ref().ok());
        found
    }

    /// Asks. One that gave its uuid before still has it if a proxy blocks the question now.
    async fn find_installation(&self, gave_uuid: bool) -> Result<Installation, AwxError> {
        let uuid = match self.http.reading().get_with_headers(&Path::to("ping"), &Query::new()).await {
            Ok((ping, head)) if own::is_marked(&head) => Uuid::parse_str(&read::text(&ping, "install_uuid")).ok(),
            Ok(_) => {
                return Err(AwxError::bad("it lacks the header X-API-Product-Name, which AWX adds to every response"));
            }
            // It does not offer it, or a proxy blocks the question.
            Err(error) if error.is_refusal() => None,
            Err(AwxError::InFront { status: 403 }) if !gave_uuid => None,
            Err(error) => return Err(error),
        };
        Ok(Installation::new(uuid, &self.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, api_root: &str) -> Target {
        Target { url: url.into(), api_root: api_root.into(), ca_pem: String::new() }
    }

    fn at(url: &str, api_root: &str) -> Installation {
        Installation::new(None, &target(url, api_root))
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        let one = at("https://awx.example", "");
        for (url, root) in [
            ("https://AWX.example/", "/api/v2"),
            ("https://awx.example.", "/api/v2/"),
            ("https://awx.example:443", "/api/controller/v2"),
            (" https://awx.example ", "api/v2"),
        ] {
            assert!(at(url, root).is_same(&one), "{url}{root}");
        }
        for (url, root) in [
            ("https://awx.example:8443", ""),
            ("http://awx.example", ""),
            ("https://awx2.example", ""),
            ("https://awx.example", "/second/api/v2"),
        ] {
            assert!(!at(url, root).is_same(&one), "{url}{root}");
        }
    }

    #[test]
    fn a_uuid_tells_more_than_an_address() {
        let (one, two) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let (name, number) = (target("https://awx.example", ""), target("https://192.0.2.7", ""));
        assert!(Installation::new(one, &name).is_same(&Installation::new(one, &number)));
        assert!(!Installation::new(one, &name).is_same(&Installation::new(two, &name)));
        // A controller that says nothing, or what every controller says that was never set up, is known by its address.
        for nothing in [None, Some(Uuid::nil())] {
            assert!(Installation::new(nothing, &name).is_same(&Installation::new(one, &name)));
            assert!(!Installation::new(nothing, &name).is_same(&Installation::new(one, &number)));
        }
    }

    #[test]
    fn what_an_earlier_version_kept_is_still_known() {
        let now = Installation::new(Some(Uuid::from_u128(1)), &target("https://awx.example", "/api/v2"));
        for text in ["https://awx.example", "https://awx.example/api/v2", "https://awx.example:443/api/controller/v2"] {
            let kept: Installation = serde_json::from_value(text.into()).unwrap();
            assert!(kept.is_same(&now), "{text}");
        }
        let kept = serde_json::to_value(&now).unwrap();
        assert_eq!(serde_json::from_value::<Installation>(kept).unwrap(), now);
    }
}
