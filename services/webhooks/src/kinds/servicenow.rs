//! ServiceNow: a business rule or a flow that calls us. It sends what its script says.

use serde::Deserialize;
use serde_json::Value;

use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::id_source::{EventSource, IdSource};
use crate::kinds::{IdPlace, Kind, Read};
use crate::problem::Problem;
use crate::receiver::setting;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Servicenow {
    #[serde(default = "record_and_change")]
    id: IdSource,
    #[serde(default = "event")]
    event: EventSource,
}

/// The record, and which of its changes: what scripts customarily send.
fn record_and_change() -> IdSource {
    IdSource::Fields(vec!["/sys_id".to_owned(), "/sys_mod_count".to_owned()])
}

fn event() -> EventSource {
    EventSource::Field("/event".to_owned())
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let mut servicenow: Servicenow = setting("", settings)?;
    servicenow.id.check()?;
    servicenow.event.check()?;
    Ok(Box::new(servicenow))
}

impl Kind for Servicenow {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = content::read(received, &[Content::Json])?;
        let (id, event) = (self.id.of(received, &body)?, self.event.of(received, &body)?);
        Said::new(received, id, &event, body).map(Read::from)
    }

    fn id_place(&self) -> IdPlace<'_> {
        self.id.place()
    }
}
