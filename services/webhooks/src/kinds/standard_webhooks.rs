//! Senders that follow Standard Webhooks.

use serde_json::Value;

use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings, text};
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::standard;

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(StandardWebhooks))
}

#[derive(Debug)]
struct StandardWebhooks;

impl Kind for StandardWebhooks {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = content::read(received, &[Content::Json])?;
        let event = text(&body, "/type").to_owned();
        Said::new(received, received.headers.text(standard::ID)?, &event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        vec![standard::ID, standard::TIMESTAMP]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Header(standard::ID)
    }
}
