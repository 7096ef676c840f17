//! Alertmanager, and Grafana, whose notifications have the same shape.
//!
//! Neither has ids. A notification is known by its group, its state, and the alerts in it, each with the time at which it
//! began: so the same state, sent again after `repeat_interval`, is a repeat and runs nothing, while an alert that fires
//! anew is a new event.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::content::{self, Content};
use crate::event::{Said, derived_id};
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, MAX_EVENTS, MAX_REPEATED, Read, some, text};
use crate::problem::Problem;
use crate::receiver::setting;
use crate::refusal::{Reason, Refusal};

/// Grafana's header, as long as nobody configures another there.
pub(crate) const GRAFANA_SIGNATURE: &str = "x-grafana-alerting-signature";

/// What one event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    /// The notification, with all alerts of its group.
    #[default]
    Group,
    /// Each alert in it.
    Alert,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    per: Per,
}

#[derive(Debug)]
struct Alerts {
    per: Per,
    methods: &'static [&'static str],
}

pub(crate) fn alertmanager(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let Settings { per } = setting("", settings)?;
    Ok(Box::new(Alerts { per, methods: &["POST"] }))
}

pub(crate) fn grafana(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let Settings { per } = setting("", settings)?;
    Ok(Box::new(Alerts { per, methods: &["POST", "PUT"] }))
}

impl Kind for Alerts {
    fn methods(&self) -> &[&'static str] {
        self.methods
    }

    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        let Value::Object(mut group) = content::read(received, &[Content::Json])? else {
            return Err(malformed());
        };
        let Some(Value::Array(alerts)) = group.remove("alerts") else { return Err(malformed()) };
        if alerts.is_empty() || !alerts.iter().all(Value::is_object) {
            return Err(malformed());
        }
        match self.per {
            Per::Group => whole(received, group, alerts),
            Per::Alert if alerts.len() > MAX_EVENTS => {
                Err(Refusal::new(Reason::TooManyEvents, "The notification has more alerts than are taken one by one."))
            }
            Per::Alert => one_by_one(received, group, alerts),
        }
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }
}

fn malformed() -> Refusal {
    Refusal::new(Reason::BodyMalformed, "The body is not a notification: it has no list of alerts.")
}

fn whole(received: &Received, mut group: Map<String, Value>, alerts: Vec<Value>) -> Result<Read, Refusal> {
    let mut parts: Vec<_> = alerts.iter().map(identity).collect();
    // The order within a group means nothing.
    parts.sort_unstable();
    group.insert("alerts".to_owned(), Value::Array(alerts));
    let body = Value::Object(group);
    let status = text(&body, "/status").to_owned();
    // Two organisations of a Grafana may have the same group, and alerts that were left out are only counted.
    let (org, truncated) = (written(body.get("orgId")), written(body.get("truncatedAlerts")));
    let mut all = vec![text(&body, "/groupKey").as_bytes(), status.as_bytes(), org.as_bytes(), truncated.as_bytes()];
    all.extend(parts.iter().map(|part| part.as_slice()));
    let id = derived_id(&all);
    one(received, id, &status, body).map(Read::from)
}

fn one_by_one(received: &Received, group: Map<String, Value>, alerts: Vec<Value>) -> Result<Read, Refusal> {
    // Each event repeats the rest of the notification, which may be nearly 1 MiB.
    let group = Value::Object(group);
    if group.to_string().len().saturating_mul(alerts.len()) > MAX_REPEATED {
        let detail = "What the alerts of this notification share is too large to be repeated for each of them.";
        return Err(Refusal::new(Reason::TooManyEvents, detail));
    }
    let Value::Object(group) = group else { return Err(malformed()) };
    alerts.into_iter().map(|alert| single(received, &group, alert)).collect::<Result<_, _>>().map(Read::Said)
}

fn single(received: &Received, group: &Map<String, Value>, alert: Value) -> Result<Said, Refusal> {
    let id = derived_id(&[&identity(&alert), written(group.get("orgId")).as_bytes()]);
    let status = text(&alert, "/status").to_owned();
    let mut body = group.clone();
    body.insert("alert".to_owned(), alert);
    one(received, id, &status, Value::Object(body))
}

/// What is equal in a repeat is just what the id is made of: texts and values of an alert change while it fires.
fn one(received: &Received, id: String, status: &str, body: Value) -> Result<Said, Refusal> {
    let content = id.clone();
    Ok(Said::new(received, some(id), status, body)?.compared_by(&[content.as_bytes()]))
}

/// A value as JSON; empty if it is not there.
fn written(value: Option<&Value>) -> String {
    value.map(Value::to_string).unwrap_or_default()
}

/// Which alert it is, in which state, since when.
fn identity(alert: &Value) -> [u8; 32] {
    let labels = alert.get("labels").map(Value::to_string).unwrap_or_default();
    // Grafana's and Alertmanager's fingerprint is one of the labels; old releases have none.
    let which = Some(text(alert, "/fingerprint")).filter(|print| !print.is_empty()).unwrap_or(&labels);
    crate::event::sha256(&[which.as_bytes(), text(alert, "/status").as_bytes(), text(alert, "/startsAt").as_bytes()])
}
