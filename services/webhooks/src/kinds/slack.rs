//! Slack: events, slash commands and interactions.
//!
//! What lets anybody post in a channel (`response_url`) and the old verification token are taken out of the body.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Outcome};
use crate::content::{self, Content};
use crate::event::Said;
use crate::form;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings, some, text};
use crate::problem::Problem;
use crate::proof::{Hmac, Template, Timestamp, TimestampFrom};
use crate::refusal::{Reason, Refusal};

/// The name of the address for later answers among [`Event::secrets`](crate::Event::secrets).
const RESPONSE_URL: &str = "response_url";

pub(crate) fn signature() -> Result<Hmac, Problem> {
    Ok(Hmac {
        signed: Template::parse("v0:{timestamp}:{body}")?,
        timestamp: Some(Timestamp {
            from: TimestampFrom::Header("x-slack-request-timestamp".to_owned()),
            tolerance: 300,
            millis: false,
        }),
        ..Hmac::over_body("x-slack-signature", "v0=")
    })
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Slack))
}

#[derive(Debug)]
struct Slack;

impl Kind for Slack {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        match content::read(received, &[Content::Json, Content::Form])? {
            Value::Object(body) if content::of(received)? == Some(Content::Form) => match body.get("payload") {
                Some(payload) => interaction(received, payload.as_str().unwrap_or_default()),
                None => command(received, body),
            },
            Value::Object(body) => event(received, body),
            _ => Err(malformed()),
        }
    }

    fn headers(&self) -> Vec<&str> {
        vec!["x-slack-retry-num", "x-slack-retry-reason"]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }

    /// Whoever typed a command reads the answer, and only with status 200. To a button nothing may be answered: a body
    /// would replace the message. Events are retried unless the answer says otherwise.
    fn answer(&self, received: &Received, outcome: &Outcome<'_>) -> Answer {
        let say = |text: &str| {
            let told = is_command(received);
            if told {
                Answer::json(200, &json!({"response_type": "ephemeral", "text": text}))
            } else {
                Answer::empty(200)
            }
        };
        match outcome {
            Outcome::Accepted { delivery } => say(&format!("Accepted as {delivery}.")),
            Outcome::Filtered { delivery } => say(&format!("Received as {delivery}; nothing is run for it.")),
            Outcome::Repeat { delivery, job: None } => say(&format!("Already accepted as {delivery}.")),
            Outcome::Repeat { job: Some(job), .. } => say(&format!("Already accepted: job {job}.")),
            Outcome::Busy { .. } if is_command(received) => say("It was not accepted: try again in a moment."),
            Outcome::Busy { .. } => Answer::usual(outcome),
            Outcome::Conflict { .. } | Outcome::Refused(_) => Answer::usual(outcome).with("x-slack-no-retry", "1"),
        }
    }
}

fn is_command(received: &Received) -> bool {
    form::parse(&received.body).is_ok_and(|form| form.contains_key("command"))
}

fn malformed() -> Refusal {
    Refusal::new(Reason::BodyMalformed, "The body is not what Slack sends.")
}

fn command(received: &Received, body: Map<String, Value>) -> Result<Read, Refusal> {
    if body.get("ssl_check").and_then(Value::as_str) == Some("1") {
        return Ok(Read::Handshake { what: "ssl_check", answer: Answer::empty(200) });
    }
    let body = Value::Object(body);
    let name = text(&body, "/command").to_owned();
    if name.is_empty() {
        return Err(malformed());
    }
    let id = some(text(&body, "/trigger_id").to_owned());
    without_secrets(Said::new(received, id, &name, body)?)
}

fn interaction(received: &Received, payload: &str) -> Result<Read, Refusal> {
    let body = content::json(payload.as_bytes())?;
    let kind = text(&body, "/type").to_owned();
    let id = some(text(&body, "/trigger_id").to_owned());
    without_secrets(Said::new(received, id, &kind, body)?)
}

fn event(received: &Received, body: Map<String, Value>) -> Result<Read, Refusal> {
    let body = Value::Object(body);
    match text(&body, "/type") {
        "url_verification" => {
            let challenge = text(&body, "/challenge");
            if challenge.is_empty() || challenge.len() > 512 {
                return Err(malformed());
            }
            let answer = Answer::json(200, &json!({"challenge": challenge}));
            Ok(Read::Handshake { what: "url_verification", answer })
        }
        "event_callback" => {
            let (id, event) = (some(text(&body, "/event_id").to_owned()), text(&body, "/event/type").to_owned());
            without_secrets(Said::new(received, id, &event, body)?)
        }
        // Slack tells that it leaves out events.
        "app_rate_limited" => Ok(Read::Handshake { what: "app_rate_limited", answer: Answer::empty(200) }),
        _ => Err(malformed()),
    }
}

fn without_secrets(mut said: Said) -> Result<Read, Refusal> {
    let mut secrets = BTreeMap::new();
    if let Value::Object(body) = &mut said.body {
        body.remove("token");
        // A list of more such addresses, in submitted forms.
        body.remove("response_urls");
        if let Some(Value::String(url)) = body.remove(RESPONSE_URL) {
            secrets.insert(RESPONSE_URL, SecretString::from(url));
        }
    }
    Ok(Said { secrets, ..said }.into())
}
