//! Stripe, and senders that sign as it does: `t=…,v1=…` over the time and the body.

use serde_json::Value;

use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings, some, text};
use crate::problem::Problem;
use crate::proof::{Hmac, Template, Timestamp, TimestampFrom};
use crate::refusal::Refusal;

/// `t=` is up to five minutes old: Stripe signs each try anew.
const TOLERANCE: u32 = 300;

pub(crate) fn signature() -> Result<Hmac, Problem> {
    Ok(Hmac {
        separator: Some(','),
        signed: Template::parse("{timestamp}.{body}")?,
        timestamp: Some(Timestamp { from: TimestampFrom::Field("t"), tolerance: TOLERANCE, millis: false }),
        ..Hmac::over_body("stripe-signature", "v1=")
    })
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Stripe))
}

#[derive(Debug)]
struct Stripe;

impl Kind for Stripe {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = content::read(received, &[Content::Json])?;
        let (id, event) = (text(&body, "/id").to_owned(), text(&body, "/type").to_owned());
        // A repeat counts the endpoints that still wait for it (`pending_webhooks`): not a difference.
        let data = body.get("data").map(Value::to_string);
        let said = Said::new(received, some(id), &event, body)?;
        Ok(match data {
            Some(data) => said.compared_by(&[event.as_bytes(), data.as_bytes()]),
            None => said,
        }
        .into())
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }
}
