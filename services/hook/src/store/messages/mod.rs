//! The durable way out: messages to receivers, and how far the jobs they tell of were followed.

#[cfg(test)]
mod conformance;
mod sqlite;

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

pub(crate) use sqlite::{MIGRATIONS, SqliteMessages};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It is to be sent.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It is not sent any more, unless somebody asks for it.
    Dead,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A message to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the order in which messages were made.
    pub number: i64,
    /// Its id, `msg_…`; the same over all attempts and replays.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The callback's id.
    pub callback: String,
    /// The job that it tells of.
    pub job: String,
    /// What happened, by name.
    pub event: String,
    /// What it says.
    pub body: String,
    /// When it was made.
    pub created_at: Moment,
    /// Where it stands.
    pub state: MessageState,
    /// How often it was sent since it was made or replayed.
    pub attempts: u32,
    /// When it is sent next, if it waits.
    pub due_at: Moment,
    /// When it was sent last; none before it was.
    pub tried_at: Option<Moment>,
    /// What the receiver answered then; 0 if it did not.
    pub status: u16,
    /// Why that was no success, in words; empty if it was.
    pub problem: String,
}

/// A message to make.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The callback's id.
    pub callback: String,
    /// The job.
    pub job: String,
    /// What happened.
    pub event: &'static str,
    /// What it says.
    pub body: String,
    /// Why it is not to be sent; empty if it is.
    pub dead: String,
}

/// A callback to which something is to be sent, and when the first of it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The callback's id.
    pub callback: String,
    /// Whose it is.
    pub tenant: String,
    /// When.
    pub due_at: Moment,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Tried {
    /// When.
    pub at: Moment,
    /// What the receiver answered; 0 if it did not.
    pub status: u16,
    /// Why that is no success; empty if it is.
    pub problem: String,
    /// When it is sent again; none if it is not.
    pub again_at: Option<Moment>,
}

/// Which messages of a callback.
#[derive(Clone, Debug)]
pub enum Which {
    /// This one, whatever became of it.
    One(String),
    /// The dead ones that were made from the first moment on and before the second.
    DeadBetween(Moment, Moment),
}

/// Keeps messages. A call that writes is one transaction.
#[async_trait]
pub trait Messages: Send + Sync + 'static {
    /// How far the jobs were followed; none at first.
    async fn cursor(&self) -> Result<Option<i64>>;

    /// Makes messages, and notes how far the jobs were followed, together. One that was made before stays as it is.
    async fn put(&self, messages: Vec<NewMessage>, cursor: i64, now: Moment) -> Result<()>;

    /// The callbacks to which something is to be sent. What that costs grows with them, not with the messages.
    async fn heads(&self) -> Result<Vec<Head>>;

    /// The first messages to a callback that are due, longest due first; at most so many.
    async fn due(&self, callback: &str, now: Moment, limit: usize) -> Result<Vec<Message>>;

    /// Notes what became of an attempt at a message that waits. Answers since when its receiver has accepted nothing,
    /// this attempt included; none if it accepted this one.
    async fn tried(&self, id: &str, tried: Tried) -> Result<Option<Moment>>;

    /// Makes a message due at another time, with nothing tried.
    async fn put_off(&self, id: &str, due_at: Moment) -> Result<()>;

    /// No message that waits for a callback is sent any more, for this reason. Answers how many they were.
    async fn bury(&self, callback: &str, why: &str) -> Result<u64>;

    /// Since when a callback's receiver has accepted nothing.
    async fn failing_since(&self, callback: &str) -> Result<Option<Moment>>;

    /// Its receiver counts as one that accepts again.
    async fn trust_again(&self, callback: &str) -> Result<()>;

    /// A message of a tenant's callback.
    async fn get(&self, tenant: &TenantId, callback: &str, id: &str) -> Result<Option<Message>>;

    /// Messages of a tenant's callback, newest first, in this state if one is named, before this number if one is; at
    /// most so many.
    async fn list(
        &self,
        tenant: &TenantId,
        callback: &str,
        state: Option<MessageState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Message>>;

    /// Messages of a tenant's callbacks that tell of a job, oldest first; at most so many.
    async fn of_job(&self, tenant: &TenantId, job: &str, limit: usize) -> Result<(Vec<Message>, usize)>;

    /// Sends messages of a tenant's callback anew, from the first attempt on. Answers how many.
    async fn replay(&self, tenant: &TenantId, callback: &str, which: Which, now: Moment) -> Result<u64>;

    /// Removes all messages of a callback.
    async fn remove(&self, callback: &str) -> Result<()>;

    /// Removes what was delivered, or died, before these moments; at most so many. Answers how many.
    async fn forget(&self, delivered: Moment, dead: Moment, limit: usize) -> Result<usize>;
}
