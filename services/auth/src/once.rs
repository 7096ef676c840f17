//! Creating once: a repeat with the same idempotency key gets the first answer, secret and all.

use runwarden_engines::config::Change;
use runwarden_engines::idempotency::Ticket;
use runwarden_kit::Result;

/// The right to create something, with the way its answer is kept for repeats.
pub(crate) struct Once<'a, T> {
    ticket: Ticket,
    encode: &'a (dyn Fn(&T) -> Vec<u8> + Send + Sync),
}

impl<'a, T> Once<'a, T> {
    pub(crate) fn new(ticket: Ticket, encode: &'a (dyn Fn(&T) -> Vec<u8> + Send + Sync)) -> Self {
        Self { ticket, encode }
    }

    /// Makes the answer durable together with the change it reports.
    pub(crate) fn keep(&self, change: &mut Change, made: &T) -> Result<()> {
        self.ticket.keep(change, &(self.encode)(made))?;
        Ok(())
    }

    /// Refuses when the commit failed because another process answered this very key first.
    pub(crate) fn check_lost(&self, refused: &str) -> Result<()> {
        Ok(self.ticket.check_lost(refused)?)
    }
}
