//! The kinds of senders: one file each.

mod generic;
mod id_source;
pub mod run_task;
mod stripe;

use std::fmt;

use serde_json::Value;

use crate::answer::{Answer, Outcome};
use crate::event::Said;
use crate::headers::Received;
use crate::problem::Problem;
use crate::proof::{AUTHORIZATION, By, Proof};
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
    fn headers(&self) -> &[String];

    /// Where the id of an event is.
    fn id_place(&self) -> IdPlace<'_>;

    /// What its senders expect.
    fn answer(&self, outcome: &Outcome<'_>) -> Answer {
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

const ANY: &[By] = &[By::Hmac, By::Standard, By::Token, By::Basic, By::Address, By::Oauth];

static DEFINITIONS: [Definition; 3] = [
    Definition {
        name: "run_task",
        title: "HCP Terraform and Terraform Enterprise run tasks",
        proof: || Ok(Some(Proof::Hmac(run_task::signature()))),
        by: &[],
        token_header: AUTHORIZATION,
        sender_makes_key: false,
        parse: run_task::parse,
    },
    Definition {
        name: "stripe",
        title: "Stripe, and senders that sign as it does",
        proof: || stripe::signature().map(Proof::Hmac).map(Some),
        by: &[],
        token_header: AUTHORIZATION,
        sender_makes_key: true,
        parse: stripe::parse,
    },
    Definition {
        name: "generic",
        title: "Any other sender",
        proof: || Ok(None),
        by: ANY,
        token_header: AUTHORIZATION,
        sender_makes_key: false,
        parse: generic::parse,
    },
];

/// For kinds that have no settings of their own.
fn no_settings(settings: Value) -> Result<(), Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    setting("", settings).map(|Nothing {}| ())
}
