//! The kinds of senders: one file each.

mod alerts;
mod bitbucket;
mod cloudevents;
mod generic;
mod github;
mod gitlab;
mod pagerduty;
mod run_task;
mod servicenow;
mod slack;
mod standard_webhooks;
mod stripe;

use std::fmt;

use serde_json::Value;

use crate::answer::{Answer, Outcome};
use crate::event::Said;
use crate::headers::Received;
use crate::problem::Problem;
use crate::proof::{AUTHORIZATION, By, Hmac, Proof};
use crate::receiver::setting;
use crate::refusal::Refusal;

/// How a kind reads what its senders send, once they have proven themselves.
pub(crate) trait Kind: fmt::Debug + Send + Sync {
    /// The methods of its deliveries.
    fn methods(&self) -> &[&'static str] {
        &["POST"]
    }

    /// Answers a question that comes before any proof, if this is one. It tells a stranger nothing that is not
    /// configured to be told.
    fn ask(&self, _received: &Received) -> Option<Result<Answer, Refusal>> {
        None
    }

    /// What a request says.
    fn read(&self, received: &Received) -> Result<Read, Refusal>;

    /// Names of headers (lower case) that describe the event; `x-github-*` stands for all that begin so.
    fn headers(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Names of headers of this request that say what happened, as a body does: a proof that signs must sign them too.
    fn attributes<'a>(&self, _received: &'a Received) -> Vec<&'a str> {
        Vec::new()
    }

    /// Where the id of an event is.
    fn id_place(&self) -> IdPlace<'_>;

    /// What its senders expect.
    fn answer(&self, _received: &Received, outcome: &Outcome<'_>) -> Answer {
        Answer::usual(outcome)
    }
}

/// Where the id of an event is: what a signature of the body covers is not the same as what a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdPlace<'a> {
    /// In the body, or made from it.
    Body,
    /// In a header (lower case).
    Header(&'a str),
    /// The sender has no ids.
    Nowhere,
}

/// What a request says.
#[derive(Debug)]
pub(crate) enum Read {
    /// The sender tries out its set-up.
    Handshake { what: &'static str, answer: Answer },
    /// Something happened; never empty.
    Said(Vec<Said>),
}

impl From<Said> for Read {
    fn from(said: Said) -> Self {
        Self::Said(vec![said])
    }
}

/// A kind, as it is chosen and configured.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    title: &'static str,
    /// The proof if the settings name none.
    pub(crate) proof: fn() -> Result<Option<Proof>, Problem>,
    /// The proofs that settings may name.
    pub(crate) by: &'static [By],
    /// Where a token is sent if the settings do not say.
    pub(crate) token_header: &'static str,
    /// Whether the sender makes the key, so that we cannot.
    pub(crate) sender_makes_key: bool,
    /// Reads the kind's own settings: an object without `proof` and `once_per_body`.
    pub(crate) parse: fn(Value) -> Result<Box<dyn Kind>, Problem>,
}

impl Definition {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|definition| definition.name == name)
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        DEFINITIONS.iter().map(|definition| definition.name)
    }

    pub(crate) fn ways(&self) -> String {
        self.by.iter().map(|by| by.name()).collect::<Vec<_>>().join(", ")
    }
}

/// A kind of sender, for lists and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// Its name in a hook's configuration, and of its page under `docs/hooks/` (with `-` for `_`).
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
}

/// All kinds.
pub fn kinds() -> impl Iterator<Item = KindInfo> {
    DEFINITIONS.iter().map(|definition| KindInfo { name: definition.name, title: definition.title })
}

const UNSIGNED: &[By] = &[By::Token, By::Basic, By::Address, By::Oauth];
const ANY: &[By] = &[By::Hmac, By::Standard, By::Token, By::Basic, By::Address, By::Oauth];

/// The most events that are taken from one request.
const MAX_EVENTS: usize = 256;
/// How large the events of one request may be together where each repeats what they share, in bytes of JSON.
const MAX_REPEATED: usize = 8 << 20;

impl Definition {
    /// A kind whose senders all prove themselves in the same way, with a key that either side may make.
    const fn new(
        name: &'static str,
        title: &'static str,
        proof: fn() -> Result<Option<Proof>, Problem>,
        parse: fn(Value) -> Result<Box<dyn Kind>, Problem>,
    ) -> Self {
        Self { name, title, proof, by: &[], token_header: AUTHORIZATION, sender_makes_key: false, parse }
    }

    /// These proofs may be configured instead.
    const fn or_by(self, by: &'static [By]) -> Self {
        Self { by, ..self }
    }

    /// Its senders make the key.
    const fn with_senders_key(self) -> Self {
        Self { sender_makes_key: true, ..self }
    }

    const fn with_token_in(self, token_header: &'static str) -> Self {
        Self { token_header, ..self }
    }
}

static DEFINITIONS: [Definition; 13] = [
    Definition::new(
        crate::run_task::KIND,
        "HCP Terraform and Terraform Enterprise run tasks",
        || signed(run_task::signature()),
        run_task::parse,
    ),
    Definition::new("github", "GitHub", || signed(Hmac::over_body(github::SIGNATURE, "sha256=")), github::parse),
    Definition::new("gitlab", "GitLab", || Ok(Some(Proof::Standard)), gitlab::parse)
        .or_by(&[By::Standard, By::Token])
        .with_token_in(gitlab::TOKEN),
    Definition::new(
        "bitbucket",
        "Bitbucket Cloud and Data Center",
        || signed(Hmac::over_body(bitbucket::SIGNATURE, "sha256=")),
        bitbucket::parse,
    ),
    Definition::new("alertmanager", "Prometheus Alertmanager", || Ok(None), alerts::alertmanager).or_by(UNSIGNED),
    Definition::new(
        "grafana",
        "Grafana alerting",
        || signed(Hmac::over_body(alerts::GRAFANA_SIGNATURE, "")),
        alerts::grafana,
    )
    .or_by(&[By::Hmac, By::Token, By::Basic, By::Address, By::Oauth]),
    Definition::new("pagerduty", "PagerDuty webhooks v3", || signed(pagerduty::signature()), pagerduty::parse)
        .with_senders_key(),
    Definition::new("servicenow", "ServiceNow", || Ok(None), servicenow::parse).or_by(ANY),
    Definition::new("slack", "Slack", || signed(slack::signature()?), slack::parse).with_senders_key(),
    Definition::new(
        "stripe",
        "Stripe, and senders that sign as it does",
        || signed(stripe::signature()?),
        stripe::parse,
    )
    .with_senders_key(),
    Definition::new("standard_webhooks", "Standard Webhooks", || Ok(Some(Proof::Standard)), standard_webhooks::parse),
    Definition::new("cloudevents", "CloudEvents", || Ok(None), cloudevents::parse).or_by(ANY),
    Definition::new("generic", "Any other sender", || Ok(None), generic::parse).or_by(ANY),
];

fn signed(hmac: Hmac) -> Result<Option<Proof>, Problem> {
    Ok(Some(Proof::Hmac(hmac)))
}

/// For kinds that have no settings of their own.
fn no_settings(settings: Value) -> Result<(), Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    setting("", settings).map(|Nothing {}| ())
}

/// A field's text; empty if it is not there.
fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A text that is there.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
