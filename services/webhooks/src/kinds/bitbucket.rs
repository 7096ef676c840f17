//! Bitbucket Cloud and Bitbucket Data Center.

use serde_json::Value;

use crate::answer::Answer;
use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings};
use crate::problem::Problem;
use crate::refusal::Refusal;

/// Cloud's id, the same in every attempt.
const CLOUD_ID: &str = "x-request-uuid";
/// Data Center's.
const ID: &str = "x-request-id";

/// SHA-256 in spite of its name.
pub(crate) const SIGNATURE: &str = "x-hub-signature";

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Bitbucket))
}

#[derive(Debug)]
struct Bitbucket;

impl Kind for Bitbucket {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let event = received.headers.one("x-event-key")?.unwrap_or_default();
        if event == "diagnostics:ping" {
            return Ok(Read::Handshake { what: "ping", answer: Answer::empty(200) });
        }
        let body = content::read(received, &[Content::Json])?;
        let id = match received.headers.text(CLOUD_ID)? {
            Some(id) => Some(id),
            None => received.headers.text(ID)?,
        };
        Said::new(received, id, event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        vec!["x-event-key", "x-event-time", "x-hook-uuid", "x-attempt-number", CLOUD_ID, ID]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Header(CLOUD_ID)
    }
}
