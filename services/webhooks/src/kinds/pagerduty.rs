//! PagerDuty's webhooks, version 3.

use serde_json::Value;

use crate::answer::Answer;
use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings, some, text};
use crate::problem::Problem;
use crate::proof::Hmac;
use crate::refusal::Refusal;

/// Several signatures while a secret is rotated: any one will do.
pub(crate) fn signature() -> Hmac {
    Hmac { separator: Some(','), ..Hmac::over_body("x-pagerduty-signature", "v1=") }
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Pagerduty))
}

#[derive(Debug)]
struct Pagerduty;

impl Kind for Pagerduty {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = content::read(received, &[Content::Json])?;
        let event = text(&body, "/event/event_type").to_owned();
        if event == "pagey.ping" {
            return Ok(Read::Handshake { what: "ping", answer: Answer::empty(200) });
        }
        let id = some(text(&body, "/event/id").to_owned());
        Said::new(received, id, &event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        vec!["x-webhook-subscription"]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }
}
