//! A hook's settings, ready to receive.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::answer::{Answer, Outcome};
use crate::event::{Event, Verified, derived_id};
use crate::headers::Received;
use crate::key::{KeyForm, KeyFrom, MadeBy};
use crate::kinds::{Definition, IdPlace, Kind, Read};
use crate::problem::Problem;
use crate::proof::{Proof, ProofSettings, ProvedBy, Weakness};
use crate::refusal::{Reason, Refusal};
use crate::{MAX_BODY, standard};

/// The most headers that are kept, and the longest value of one, in bytes.
const MAX_KEPT: usize = 32;
const MAX_VALUE: usize = 1024;

/// Headers that say what was sent and by which program, whatever the kind.
const ALWAYS_KEPT: [&str; 2] = ["content-type", "user-agent"];

/// A configured hook: its kind, and how its sender proves itself.
#[derive(Debug)]
pub struct Receiver {
    definition: &'static Definition,
    kind: Box<dyn Kind>,
    proof: Proof,
    /// Whether the delivery's id is made from its body instead of being the sender's.
    once_per_body: bool,
    /// Whether a short key is taken.
    allow_weak_key: bool,
}

/// A request whose sender has proven itself.
#[derive(Debug)]
pub enum Arrived {
    /// The sender tries out its set-up, or asks whether it may send: answer it, launch nothing.
    Handshake {
        /// What it is, for the record (`ping`, `verification`).
        what: &'static str,
        /// What it expects.
        answer: Answer,
    },
    /// Something happened.
    Events(Verified),
}

impl Receiver {
    /// Reads a hook's settings: what its page under `docs/hooks/` describes. Common to all kinds are `proof`,
    /// `once_per_body` and `allow_weak_key`.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn parse(kind: &str, settings: &Map<String, Value>) -> Result<Self, Problem> {
        let definition = Definition::named(kind).ok_or_else(|| {
            let known: Vec<_> = Definition::names().collect();
            Problem::new("kind", format!("There is no such kind of hook. There are: {}.", known.join(", ")))
        })?;
        let mut own = settings.clone();
        let proof = match own.remove("proof") {
            None => (definition.proof)()?.ok_or_else(|| {
                Problem::new("proof", format!("Say how the sender proves itself: {}.", definition.ways()))
            })?,
            Some(value) => {
                let proof: ProofSettings = setting("proof", value)?;
                if !definition.by.contains(&proof.by()) {
                    let detail = format!("A hook of kind {kind} takes `by`: {}.", definition.ways());
                    return Err(Problem::new("proof.by", detail));
                }
                proof.into_proof(definition.token_header)?
            }
        };
        let once_per_body = match own.remove("once_per_body") {
            None => false,
            Some(value) => setting("once_per_body", value)?,
        };
        let allow_weak_key = match own.remove("allow_weak_key") {
            None => false,
            Some(value) => setting("allow_weak_key", value)?,
        };
        if allow_weak_key && !matches!(proof, Proof::Hmac(_)) {
            let detail = "Only a key that signs may be short. A token or a password is sent with each request, and a key of \
                          Standard Webhooks is never made up.";
            return Err(Problem::new("allow_weak_key", detail));
        }
        let kind = (definition.parse)(Value::Object(own))?;
        let receiver = Self { definition, kind, proof, once_per_body, allow_weak_key };
        receiver.check_headers()?;
        Ok(receiver)
    }

    /// A header that holds the key is not also one to be kept.
    fn check_headers(&self) -> Result<(), Problem> {
        let secret = self.proof.headers();
        let holds = |kept: &&&str| secret.iter().any(|secret| keeps(kept, secret));
        match self.kind.headers().iter().find(holds) {
            Some(header) => Err(Problem::new("headers", format!("{header} holds the proof and is not kept."))),
            None => Ok(()),
        }
    }

    /// The key that the hook needs; `None` if it needs none.
    pub fn key(&self) -> Option<KeyForm> {
        let form = KeyForm { may_be_weak: self.allow_weak_key, ..self.proof.key()? };
        Some(if self.definition.sender_makes_key { KeyForm { made_by: MadeBy::Sender, ..form } } else { form })
    }

    /// Whether a short key is taken.
    pub fn allows_weak_key(&self) -> bool {
        self.allow_weak_key
    }

    /// Whether a key will do that somebody gives the hook.
    ///
    /// # Errors
    /// What is wrong with it; never what it is.
    pub fn check_key(&self, key: &SecretString) -> Result<(), Problem> {
        self.check_key_from(key, KeyFrom::Person)
    }

    /// Whether a key will do that comes from there.
    ///
    /// # Errors
    /// What is wrong with it; never what it is.
    pub fn check_key_from(&self, key: &SecretString, from: KeyFrom) -> Result<(), Problem> {
        match self.key() {
            Some(form) => form.check(key, from),
            None => Err(Problem::new("key", "A hook whose sender has an access token needs no key.")),
        }
    }

    /// Makes a key of 32 random bytes, if the hook needs one that the sender does not make. `None` too if the system
    /// provides no random bytes.
    pub fn generate_key(&self) -> Option<SecretString> {
        match self.key()? {
            KeyForm { made_by: MadeBy::Sender, .. } => None,
            KeyForm { standard: true, .. } => standard::SigningKey::generate_symmetric(),
            KeyForm { standard: false, .. } => {
                let mut bytes = Zeroizing::new([0_u8; 32]);
                rand::fill(bytes.as_mut_slice()).ok()?;
                Some(SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
            }
        }
    }

    /// What this hook's proof does not prevent.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let id = if self.once_per_body { IdPlace::Body } else { self.kind.id_place() };
        let mut found = self.proof.weaknesses(id);
        if id == IdPlace::Nowhere {
            found.push(Weakness::NoIds);
        }
        if self.allow_weak_key {
            found.push(Weakness::WeakKey);
        }
        found
    }

    /// Verifies a request and reads it. `keys` are the hook's keys that are valid now.
    ///
    /// # Errors
    /// Why it is refused. Nothing that it says may then have any effect.
    pub fn receive(&self, received: &Received, keys: &[SecretString]) -> Result<Arrived, Refusal> {
        if let Some(answer) = self.kind.ask(received) {
            return answer.map(|answer| Arrived::Handshake { what: "question", answer });
        }
        if !self.kind.methods().contains(&received.method.as_str()) {
            return Err(Refusal::new(Reason::Method, "This kind of hook does not take this method."));
        }
        if received.body.len() > MAX_BODY {
            return Err(Refusal::new(Reason::BodyTooLarge, "The body is larger than 1 MiB."));
        }
        let by = self.proof.check(received, keys)?;
        if !self.kind.attributes(received).iter().all(|header| self.proof.covers(header)) {
            let detail =
                "It says in headers what happened, and the signature does not cover them: send structured events.";
            return Err(Refusal::new(Reason::AttributesUnsigned, detail));
        }
        let said = match self.kind.read(received)? {
            Read::Handshake { what, answer } => return Ok(Arrived::Handshake { what, answer }),
            Read::Said(said) => said,
        };
        let caller = if let ProvedBy::Caller { id } = &by { Some(id.as_str()) } else { None };
        let headers = self.kept_headers(received);
        let mut events: Vec<Event> = Vec::with_capacity(said.len());
        for mut said in said {
            if self.once_per_body {
                said.id = Some(derived_id(&[&said.content]));
            }
            // Without the id that its retries carry too, a retry would run again.
            if said.id.is_none() && self.kind.id_place() != IdPlace::Nowhere {
                return Err(Refusal::new(Reason::IdMissing, "The sender's id of the delivery is missing."));
            }
            events.push(said.into_event(self.definition.name, received, caller, &headers));
        }
        Ok(Arrived::Events(Verified { by, events }))
    }

    /// What the sender of this request expects to be answered.
    pub fn answer(&self, received: &Received, outcome: &Outcome<'_>) -> Answer {
        self.kind.answer(received, outcome)
    }

    /// The headers that may be stored and shown, in lower case: those that this kind's senders describe an event with.
    /// All others are dropped, whatever they are called, for they may hold a secret.
    pub fn kept_headers(&self, received: &Received) -> BTreeMap<String, String> {
        let secret = self.proof.headers();
        let kept =
            |name: &str| ALWAYS_KEPT.contains(&name) || self.kind.headers().iter().any(|header| keeps(header, name));
        received
            .headers
            .texts()
            .filter(|(name, value)| value.len() <= MAX_VALUE && !secret.contains(name) && kept(name))
            .take(MAX_KEPT)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition.name)
    }
}

/// Whether a header that is kept, or all that begin as it says before `*`, is the one of this name.
fn keeps(kept: &str, name: &str) -> bool {
    kept.strip_suffix('*').map_or(kept == name, |prefix| name.starts_with(prefix))
}

/// Reads one setting.
pub(crate) fn setting<T: serde::de::DeserializeOwned>(field: &str, value: Value) -> Result<T, Problem> {
    // What serde says names fields and types of ours, and the value that was configured; settings hold no secrets.
    serde_json::from_value(value).map_err(|e| Problem::new(field, format!("It cannot be read: {e}.")))
}
