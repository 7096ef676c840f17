//! Connections that only read, used where the question is asked: to read a row that is cached takes microseconds, and to
//! hand the question to another thread and be woken by its answer takes longer.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connect::Opener;
use super::{ACQUIRE_TIMEOUT, READERS};
use crate::{Result, StoreError};

/// A few connections that only read. They see the last commit and never wait for the writer. Clones share them.
#[derive(Clone, Debug)]
pub struct Readers {
    opener: Opener,
    free: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(opener: Opener) -> Self {
        let places = usize::try_from(READERS).unwrap_or(1);
        Self { opener, free: Arc::default(), places: Arc::new(Semaphore::new(places)) }
    }

    /// A connection to read with, as soon as one is free.
    ///
    /// # Errors
    /// When none becomes free in time, or none can be opened.
    pub async fn get(&self) -> Result<Reader> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.places).acquire_owned())
                .await
                .map_err(|_| StoreError::Unavailable("no connection became free".into()))?
                .map_err(|_| StoreError::Unavailable("the database is closed".into()))?,
        };
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.opener.reader()?,
        };
        Ok(Reader { connection: Some(connection), free: Arc::clone(&self.free), _place: place })
    }

    /// Closes those that are not used, and opens no more.
    pub(super) fn close(&self) {
        self.places.close();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All of them, opened if they are not.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) async fn all(&self) -> Result<Vec<Reader>> {
        let mut all = Vec::new();
        for _ in 0..READERS {
            all.push(self.get().await?);
        }
        Ok(all)
    }
}

/// A connection that only reads. It goes back to the others when it is dropped.
#[derive(Debug)]
pub struct Reader {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// Closes it instead.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn close(mut self) {
        drop(self.connection.take());
    }
}

impl Deref for Reader {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only what is dropped, or closed, lacks it")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is in use")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Whoever read in a transaction and left it open would have the next reader see what was, not what is.
        if let Some(connection) = self.connection.take().filter(Connection::is_autocommit)
            && !self._place.semaphore().is_closed()
        {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
