//! One event that a sender delivered.

use std::collections::BTreeMap;

use runwarden_kit::audit::Entry;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::hook::v1 as wire;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

runwarden_kit::mirror! {
    /// Where a delivery stands. It never goes back.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DeliveryState = wire::DeliveryState {
        /// It is durable and waits to be worked on.
        Received,
        /// The filter did not want it.
        Filtered,
        /// What it asks for is durable; a job may have been made of it.
        Mapped,
        /// It became a job.
        Submitted,
        /// It was refused for good.
        Refused,
        /// It was tried for too long.
        GivenUp,
    }
}

/// What is reserved for a delivery that waits, in bytes: for parameters of an ordinary size, and for its steps. The same
/// number is in migration 0005.
const RESERVED: i64 = 8192;
/// How often one step may be noted that is tried again and again.
const MAX_STEPS: usize = 64;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Went {
    /// As it should.
    Ok,
    /// The answer is no.
    No,
    /// It could not be taken, and will not be.
    Failed,
    /// It could not be taken now.
    Later,
}

impl Went {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::No => "no",
            Self::Failed => "failed",
            Self::Later => "later",
        }
    }
}

/// Something that was done with a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    pub name: String,
    /// When.
    pub at: Moment,
    /// How it went.
    pub result: Went,
    /// More about it, for people.
    pub detail: String,
}

/// What a delivery asks for: from the moment it is durable, this and nothing else is submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The template.
    pub template: String,
    /// The client of the service account that asks.
    pub client_id: String,
    /// The parameters; of write-only ones that they are there. None when it is done with.
    pub parameters: Map<String, Value>,
    /// The write-only ones, sealed for the delivery, base64; none if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// What the sender calls it; empty if the mapping does not say.
    pub reference: String,
    /// Since when.
    pub since: Moment,
    /// The job is not begun after this: whoever waits for it has stopped to. None if nobody does.
    #[serde(default)]
    pub start_by: Option<Moment>,
}

/// One event that a sender delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id, `dlv_…`.
    pub id: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// The hook's id.
    pub hook_id: String,
    /// The hook's name.
    pub hook: String,
    /// The hook's project.
    pub project: String,
    /// The sender's own id of it.
    pub sender_id: Option<String>,
    /// What a repeat carries too; none if nothing is a repeat of it.
    pub mark: Option<String>,
    /// SHA-256 of what must be equal in a repeat, hex.
    pub digest: String,
    /// What happened, in the sender's words.
    pub event: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// What was done with it.
    pub steps: Vec<Step>,
    /// What it asks for, once that is known.
    pub asked: Option<Asked>,
    /// The job that it became.
    pub job: Option<String>,
    /// Why it was refused or given up: the reason of the error.
    pub reason: Option<String>,
    /// Why, in words.
    pub reason_detail: Option<String>,
    /// When it arrived.
    pub received_at: Moment,
    /// Of a run task: until when Terraform has its final result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Moment>,
    /// When it was done with.
    pub finished_at: Option<Moment>,
    /// When it is worked on next; none when it is done with.
    pub due_at: Option<Moment>,
    /// How often it was tried since something last went as it should.
    pub tries: u32,
    /// When it was tried first.
    pub tried_since: Option<Moment>,
    /// How often the sender sent it again.
    pub repeats: i64,
    /// When the last repeat came.
    pub repeated_at: Option<Moment>,
    /// The delivery that it repeats on request.
    pub redelivery_of: Option<String>,
    /// The address it came from.
    pub source_address: String,
    /// The request it came with.
    pub request_id: String,
    /// The trace of that.
    pub trace_id: String,
    /// Grows with every change but repeats.
    pub version: i64,
}

/// What a delivery contains.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// What filter and mapping see, a JSON object.
    pub event: String,
    /// What nobody may see of it, sealed, by name.
    pub sealed: BTreeMap<String, Vec<u8>>,
}

impl Content {
    /// How much it is, in bytes.
    #[must_use]
    pub fn size(&self) -> i64 {
        let sealed: usize = self.sealed.iter().map(|(name, value)| name.len() + value.len()).sum();
        i64::try_from(self.event.len() + sealed).unwrap_or(i64::MAX)
    }
}

/// A delivery to be kept, with everything that must become durable with it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The delivery.
    pub delivery: Delivery,
    /// What it contains.
    pub content: Content,
    /// The audit entries.
    pub entries: Vec<Entry>,
}

/// Counts what is written to it.
#[derive(Default)]
struct Counter(i64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Delivery {
    /// How much is kept of it beside what it contains, in bytes. As long as it waits that is at least what it may grow to
    /// until it is done with, so that it always can be.
    #[must_use]
    pub fn size(&self) -> i64 {
        let mut counter = Counter::default();
        // What cannot be written as JSON is not kept either.
        let _kept = serde_json::to_writer(&mut counter, self);
        if self.due_at.is_some() { counter.0.max(RESERVED) } else { counter.0 }
    }

    /// Drops the parameters that it asked for: they are needed until it is done with, and its job has them.
    pub(crate) fn drop_parameters(&mut self) {
        if let Some(asked) = &mut self.asked {
            (asked.parameters, asked.sealed) = (Map::new(), None);
        }
    }

    /// Notes a step. One that is tried again and again is noted once, as it went last.
    pub fn step(&mut self, name: &str, at: Moment, result: Went, detail: impl Into<String>) {
        // What was put off before other steps went on is over, too, once it went otherwise.
        self.steps.retain(|earlier| earlier.name != name || earlier.result != Went::Later);
        if self.steps.len() < MAX_STEPS {
            self.steps.push(Step { name: name.to_owned(), at, result, detail: detail.into() });
        }
    }

    /// It is done with.
    pub fn finish(&mut self, state: DeliveryState, at: Moment) {
        self.drop_parameters();
        self.state = state;
        self.finished_at = Some(at);
        self.due_at = None;
    }

    /// It was sent again.
    pub(crate) fn note_repeat(&mut self, at: Moment) {
        self.repeats = self.repeats.saturating_add(1);
        self.repeated_at = Some(at);
    }

    /// Keeps what was counted while somebody worked on it.
    pub(crate) fn take_repeats_of(&mut self, kept: &Self) {
        self.repeats = kept.repeats;
        self.repeated_at = kept.repeated_at;
    }
}
