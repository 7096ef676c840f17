//! A database whose changes are committed in groups, and which is read where the question is asked.

use super::connect::Opener;
use super::readers::Readers;
use super::writer::Writer;

/// The two doors of a database beside the pools of [`Database`](super::Database): neither has a thread to hand each
/// statement to. Clones share both.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// What changes it.
    pub writer: Writer,
    /// What reads it.
    pub readers: Readers,
}

impl Grouped {
    /// Nothing is opened before it is needed.
    pub(super) fn on(opener: &Opener) -> Self {
        Self { writer: Writer::start(opener.clone()), readers: Readers::new(opener.clone()) }
    }

    /// Closes it, when all that was asked for is done.
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}
