//! Any other sender: how it proves itself, where its ids and events are, all of it configured.

use serde::Deserialize;
use serde_json::Value;

use crate::content::{self, Content};
use crate::event::Said;
use crate::headers::Received;
use crate::id_source::{EventSource, IdSource};
use crate::kinds::{IdPlace, Kind, Read};
use crate::problem::Problem;
use crate::proof::header;
use crate::receiver::setting;
use crate::refusal::Refusal;

/// The most headers that a filter may see.
const MAX_HEADERS: usize = 16;

/// Names that hold secrets wherever they occur: never kept, whatever is configured.
const NEVER: [&str; 8] = ["authorization", "cookie", "token", "secret", "signature", "password", "api-key", "apikey"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generic {
    id: IdSource,
    #[serde(default)]
    event: Option<EventSource>,
    /// Headers that filter and mapping may see.
    #[serde(default)]
    headers: Vec<String>,
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let mut generic: Generic = setting("", settings)?;
    generic.id.check()?;
    if let Some(event) = &mut generic.event {
        event.check()?;
    }
    if generic.headers.len() > MAX_HEADERS {
        return Err(Problem::new("headers", format!("At most {MAX_HEADERS} headers are kept.")));
    }
    for name in &mut generic.headers {
        *name = header("headers", name)?;
        if NEVER.iter().any(|secret| name.contains(secret)) {
            return Err(Problem::new("headers", format!("{name} may hold a secret and is never kept.")));
        }
    }
    Ok(Box::new(generic))
}

impl Kind for Generic {
    fn methods(&self) -> &[&'static str] {
        &["POST", "PUT"]
    }

    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let body = if received.body.is_empty() {
            Value::Null
        } else {
            content::read(received, &[Content::Json, Content::Form, Content::Text])?
        };
        let id = self.id.of(received, &body)?;
        let event = self.event.as_ref().map(|event| event.of(received, &body)).transpose()?.unwrap_or_default();
        Said::new(received, id, &event, body).map(Read::from)
    }

    fn headers(&self) -> Vec<&str> {
        self.headers.iter().map(String::as_str).collect()
    }

    fn id_place(&self) -> IdPlace<'_> {
        self.id.place()
    }
}
