//! What a verified request says happened.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::headers::Received;
use crate::proof::ProvedBy;
use crate::refusal::{Reason, Refusal};

/// The version of [`Event::document`]. A change that a filter could notice makes a new one.
pub const DOCUMENT_VERSION: u32 = 1;

/// The longest id or event name, in bytes.
const MAX_NAME: usize = 256;

/// A request whose sender has proven itself.
#[derive(Debug)]
pub struct Verified {
    /// How.
    pub by: ProvedBy,
    /// What it says happened: one event, but for a batch. Never empty.
    pub events: Vec<Event>,
}

/// One thing that happened at the sender, and what it is deduplicated by.
#[derive(Debug)]
pub struct Event {
    /// The sender's own id of it. `None` if this sender has none: then each request is an event of its own.
    pub id: Option<String>,
    /// What happened, in the sender's words (`push`, `post_plan`); empty if it does not say.
    pub event: String,
    /// SHA-256 of what must be equal in a repeat with the same id. If it differs, the two are in conflict.
    pub content: [u8; 32],
    /// What filter and mapping see as `input`:
    ///
    /// ```text
    /// { "version": 1, "kind": "github", "id": "…" | null, "event": "push", "received_at": 1700000000,
    ///   "caller": "…" (only if an access token was the proof), "headers": { "x-github-event": "push" }, "body": … }
    /// ```
    ///
    /// `headers` has lower-case names and only what [`Receiver::kept_headers`](crate::Receiver::kept_headers) lets
    /// through. `body` is the body as JSON: a form is an object of strings, a text a string.
    pub document: Value,
    /// What the event holds that nobody may see, by its name in the body. Seal it before it is stored.
    pub secrets: BTreeMap<&'static str, SecretString>,
}

/// What a kind reads from a body: the parts of an [`Event`] that are its own.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) content: [u8; 32],
    pub(crate) body: Value,
    pub(crate) secrets: BTreeMap<&'static str, SecretString>,
}

impl Said {
    /// What most senders send: one event a body, with an id that its repeats carry too.
    pub(crate) fn new(received: &Received, id: Option<String>, event: &str, body: Value) -> Result<Self, Refusal> {
        let id = id.map(|id| checked_id(&id)).transpose()?;
        Ok(Self { id, event: name(event), content: sha256(&[&received.body]), body, secrets: BTreeMap::new() })
    }

    /// Compares repeats by these parts instead of by the whole body.
    pub(crate) fn compared_by(mut self, parts: &[&[u8]]) -> Self {
        self.content = sha256(parts);
        self
    }

    pub(crate) fn into_event(
        self,
        kind: &str,
        received: &Received,
        caller: Option<&str>,
        headers: &BTreeMap<String, String>,
    ) -> Event {
        let mut document = Map::from_iter([
            ("version".to_owned(), DOCUMENT_VERSION.into()),
            ("kind".to_owned(), kind.into()),
            ("id".to_owned(), self.id.clone().map_or(Value::Null, Value::String)),
            ("event".to_owned(), self.event.clone().into()),
            ("received_at".to_owned(), received.at.into()),
            ("headers".to_owned(), json!(headers)),
            ("body".to_owned(), self.body),
        ]);
        if let Some(caller) = caller {
            document.insert("caller".to_owned(), caller.into());
        }
        Event {
            id: self.id,
            event: self.event,
            content: self.content,
            document: Value::Object(document),
            secrets: self.secrets,
        }
    }
}

/// An id as it may be stored: visible ASCII, of a bounded length.
pub(crate) fn checked_id(id: &str) -> Result<String, Refusal> {
    if id.is_empty() {
        return Err(Refusal::new(Reason::IdMissing, "The delivery has no id."));
    }
    if id.len() > MAX_NAME || !id.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err(Refusal::new(
            Reason::IdMalformed,
            "The delivery's id is longer than 256 characters, or has characters other than visible ASCII.",
        ));
    }
    Ok(id.to_owned())
}

/// An id made of several parts of unknown length and characters: a digest of them.
pub(crate) fn derived_id(parts: &[&[u8]]) -> String {
    hex::encode(sha256(parts))
}

/// SHA-256 over parts, each with its length before it, so that no two lists of parts are the same text.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// What an event is called: visible, and short enough to be shown in a list.
fn name(event: &str) -> String {
    event.chars().filter(|c| !c.is_control()).take(MAX_NAME / 4).collect()
}
