//! GitHub, and GitHub Enterprise Server.
//!
//! The signature covers the body; the delivery's id is in a header and is not signed.

use serde_json::Value;

use crate::answer::Answer;
use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings};
use crate::problem::Problem;
use crate::refusal::{Reason, Refusal};

const ID: &str = "x-github-delivery";
const EVENT: &str = "x-github-event";

pub(crate) const SIGNATURE: &str = "x-hub-signature-256";

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Github))
}

#[derive(Debug)]
struct Github;

impl Kind for Github {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let mut body = content::read(received, &[Content::Json, Content::Form])?;
        if content::of(received)? == Some(Content::Form) {
            let Some(payload) = body.get("payload").and_then(Value::as_str) else {
                return Err(Refusal::new(Reason::BodyMalformed, "The form has no field payload."));
            };
            body = content::json(payload.as_bytes())?;
        }
        let event = received.headers.one(EVENT)?.unwrap_or_default();
        if event == "ping" {
            return Ok(Read::Handshake { what: "ping", answer: Answer::empty(200) });
        }
        Said::new(received, received.headers.text(ID)?, event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        vec!["x-github-*"]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Header(ID)
    }
}
