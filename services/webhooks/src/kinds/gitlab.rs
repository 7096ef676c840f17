//! GitLab: signed as Standard Webhooks have it, or with a token by older releases.

use serde_json::Value;

use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read, no_settings};
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::standard;

/// The same in every retry, since 17.4; signed requests carry the same value as `webhook-id`.
const ID: &str = "idempotency-key";

pub(crate) const TOKEN: &str = "x-gitlab-token";

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    no_settings(settings)?;
    Ok(Box::new(Gitlab))
}

#[derive(Debug)]
struct Gitlab;

impl Kind for Gitlab {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = content::read(received, &[Content::Json])?;
        let event = received.headers.one("x-gitlab-event")?.unwrap_or_default();
        // Of the two, the one that may be signed.
        let id = match received.headers.text(standard::ID)? {
            Some(id) => Some(id),
            None => received.headers.text(ID)?,
        };
        Said::new(received, id, event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        vec![
            "x-gitlab-event",
            "x-gitlab-event-uuid",
            "x-gitlab-instance",
            "x-gitlab-webhook-uuid",
            ID,
            standard::ID,
            standard::TIMESTAMP,
        ]
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Header(standard::ID)
    }
}
