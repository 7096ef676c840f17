//! CloudEvents 1.0 over HTTP: binary, structured and batched, and the question whether they may be sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::content::{self, Content};
use crate::event::{Said, derived_id};
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, MAX_EVENTS, Read, text};
use crate::problem::Problem;
use crate::receiver::setting;
use crate::refusal::{Reason, Refusal};

/// The most origins that a hook may name, and the longest name of one.
const MAX_ORIGINS: usize = 64;
const MAX_ORIGIN: usize = 253;
/// The most attributes of an event in headers.
const MAX_ATTRIBUTES: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudEvents {
    /// Who is answered yes, if it asks whether it may send here.
    #[serde(default)]
    origins: Vec<String>,
    /// How many requests a minute they are told to send at most.
    #[serde(default = "rate")]
    rate_per_minute: u32,
}

const fn rate() -> u32 {
    600
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let kind: CloudEvents = setting("", settings)?;
    let usable = |origin: &String| {
        (1..=MAX_ORIGIN).contains(&origin.len()) && origin.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
    };
    if kind.origins.len() > MAX_ORIGINS || !kind.origins.iter().all(usable) {
        let detail =
            format!("Name at most {MAX_ORIGINS} origins as senders write them, such as `eventgrid.azure.net`.");
        return Err(Problem::new("origins", detail));
    }
    if kind.rate_per_minute == 0 {
        return Err(Problem::new("rate_per_minute", "It is at least 1."));
    }
    Ok(Box::new(kind))
}

impl Kind for CloudEvents {
    /// `OPTIONS` with `WebHook-Request-Origin`. An address to confirm to later (`WebHook-Request-Callback`) is never
    /// called: it would let a stranger choose what we call.
    fn ask(&self, received: &Received) -> Option<Result<Answer, Refusal>> {
        (received.method == "OPTIONS").then(|| {
            let origin = received.headers.one("webhook-request-origin")?;
            let allowed = self.origins.iter().find(|allowed| Some(allowed.as_str()) == origin);
            let allowed = allowed.ok_or_else(|| {
                Refusal::new(Reason::OriginNotAllowed, "This origin is not among those that the hook names.")
            })?;
            Ok(Answer::empty(200)
                .with("allow", "POST")
                .with("webhook-allowed-origin", allowed)
                .with("webhook-allowed-rate", self.rate_per_minute.to_string()))
        })
    }

    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let kind = received.headers.one("content-type")?.unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/cloudevents+json" => {
                said(received, content::read(received, &[Content::Json])?).map(Read::from)
            }
            "application/cloudevents-batch+json" => {
                let Value::Array(events) = content::read(received, &[Content::Json])? else {
                    return Err(malformed("The body is not a batch: it is not a list."));
                };
                if events.is_empty() {
                    return Ok(Read::Handshake { what: "empty_batch", answer: Answer::empty(204) });
                }
                if events.len() > MAX_EVENTS {
                    return Err(Refusal::new(
                        Reason::TooManyEvents,
                        "The batch has more events than are taken at once.",
                    ));
                }
                events.into_iter().map(|event| said(received, event)).collect::<Result<_, _>>().map(Read::Said)
            }
            _ if kind.starts_with("application/cloudevents") => {
                Err(Refusal::new(Reason::ContentType, "Of structured events, only those in JSON are read."))
            }
            _ => said(received, binary(received)?).map(Read::from),
        }
    }

    fn headers(&self) -> Vec<&str> {
        vec!["ce-*"]
    }

    fn attributes<'a>(&self, received: &'a Received) -> Vec<&'a str> {
        received.headers.texts().map(|(name, _)| name).filter(|name| name.starts_with("ce-")).collect()
    }

    /// Also that of a binary event: under a proof that signs, it is taken only if its attributes are signed.
    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::BodyMalformed, detail)
}

/// An event in its structured form.
fn said(received: &Received, event: Value) -> Result<Said, Refusal> {
    if text(&event, "/specversion") != "1.0" {
        return Err(malformed("It is not an event of CloudEvents 1.0."));
    }
    let (source, id, kind) = (text(&event, "/source"), text(&event, "/id"), text(&event, "/type").to_owned());
    if source.is_empty() || id.is_empty() || kind.is_empty() {
        return Err(malformed("The event lacks its id, source or type."));
    }
    let id = identity(source, id);
    let content = event.to_string();
    Ok(Said::new(received, Some(id), &kind, event)?.compared_by(&[content.as_bytes()]))
}

/// Source and id together are unique. They are kept readable where nothing can be confused.
fn identity(source: &str, id: &str) -> String {
    let plain = |text: &str| text.len() <= 120 && text.bytes().all(|b| b.is_ascii_graphic());
    if plain(source) && plain(id) { format!("{source} {id}") } else { derived_id(&[source.as_bytes(), id.as_bytes()]) }
}

/// An event in headers, as its structured form.
fn binary(received: &Received) -> Result<Value, Refusal> {
    let mut event = Map::new();
    for (name, _) in received.headers.texts() {
        let Some(attribute) = name.strip_prefix("ce-") else { continue };
        if event.len() >= MAX_ATTRIBUTES || attribute.is_empty() {
            return Err(malformed("The event has more attributes than are read, or one without a name."));
        }
        let value = received.headers.one(name)?.and_then(percent_decoded);
        let value = value.ok_or_else(|| malformed("An attribute of the event cannot be decoded."))?;
        event.insert(attribute.to_owned(), value.into());
    }
    if let Some(kind) = received.headers.text("content-type")? {
        event.insert("datacontenttype".to_owned(), kind.into());
    }
    if !received.body.is_empty() {
        let (name, data) = match content::of(received)? {
            Some(Content::Json) => ("data", content::json(&received.body)?),
            Some(Content::Text | Content::Form) => ("data", content::read(received, &[Content::Text, Content::Form])?),
            None => ("data_base64", STANDARD.encode(&received.body).into()),
        };
        event.insert(name.to_owned(), data);
    }
    Ok(Value::Object(event))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).ok()?;
            out.extend(decoded);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
