//! What one operation reads of a controller: so many bytes in all, and so much of it kept. Whatever a controller makes
//! of its answers, an operation ends, and takes no more memory than its budget.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::Value;

use super::AwxError;
use super::address::Path;
use super::http::{Fetched, Http, Query};
use super::list::{List, Row};
use super::memory::Kept;
use super::tree::{self, Picked, Wanted};

/// One operation under way.
pub(super) struct Reading<'h> {
    http: &'h Http,
    /// How many bytes it may still read.
    left: AtomicUsize,
    kept: Mutex<Kept>,
}

impl Http {
    /// Begins an operation.
    pub(super) fn reading(&self) -> Reading<'_> {
        let limits = self.limits();
        Reading {
            http: self,
            left: AtomicUsize::new(limits.operation_bytes),
            kept: Mutex::new(Kept::new(limits.memory.clone(), limits.kept_bytes)),
        }
    }
}

impl Reading<'_> {
    /// Whether as much as one answer can be may still be read.
    pub(super) fn has_room(&self) -> bool {
        self.left.load(Ordering::Relaxed) >= self.http.limits().answer_bytes
    }

    /// Reads a document of up to `limit` bytes; a larger one is not an error.
    pub(super) async fn fetch(&self, path: &Path, query: &Query, limit: usize) -> Result<Fetched, AwxError> {
        let limit = limit.min(self.left.load(Ordering::Relaxed));
        if limit == 0 {
            return Err(self.spent());
        }
        let (fetched, read) = self.http.fetch(path, query, limit).await?;
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(read))).ok();
        Ok(fetched)
    }

    /// Reads a JSON document and keeps it.
    pub(super) async fn get(&self, path: &Path, query: &Query) -> Result<Value, AwxError> {
        self.take(path, query, tree::read).await.map(|(value, _)| value)
    }

    /// The same, with the head of the answer.
    pub(super) async fn get_with_headers(&self, path: &Path, query: &Query) -> Result<(Value, HeaderMap), AwxError> {
        self.take(path, query, tree::read).await
    }

    /// Reads a JSON document that is a row, and keeps the parts that are needed.
    pub(super) async fn pick<W: Wanted>(&self, path: &Path, query: &Query) -> Result<(Value, HeaderMap), AwxError> {
        self.take(path, query, Picked::<W>::read).await
    }

    /// Reads a page of a list and keeps its rows.
    pub(super) async fn page<R: Row>(&self, path: &Path, query: &Query) -> Result<List<R>, AwxError> {
        self.take(path, query, List::read).await.map(|(list, _)| list)
    }

    /// Reads a document and keeps nothing of it: it is worked off before the next.
    pub(super) async fn look<T>(
        &self,
        path: &Path,
        query: &Query,
        read: impl FnOnce(&[u8], &mut usize) -> Result<T, AwxError>,
    ) -> Result<T, AwxError> {
        self.look_alone(path, query, false, read).await
    }

    /// As [`Self::look`]; what cannot be had in smaller parts may be larger than any other answer.
    pub(super) async fn look_alone<T>(
        &self,
        path: &Path,
        query: &Query,
        alone: bool,
        read: impl FnOnce(&[u8], &mut usize) -> Result<T, AwxError>,
    ) -> Result<T, AwxError> {
        let limits = self.http.limits();
        let limit = if alone { limits.run_bytes } else { limits.answer_bytes };
        match self.fetch(path, query, limit).await? {
            Fetched::Whole(body, _) => read(&body, &mut { limits.kept_bytes }),
            Fetched::TooLarge(_) => Err(AwxError::TooLarge { limit }),
        }
    }

    /// Ends the operation. What it kept counts until this is dropped.
    pub(super) fn into_kept(self) -> Kept {
        self.kept.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take<T>(
        &self,
        path: &Path,
        query: &Query,
        read: impl FnOnce(&[u8], &mut usize) -> Result<T, AwxError>,
    ) -> Result<(T, HeaderMap), AwxError> {
        let limit = self.http.limits().answer_bytes;
        match self.fetch(path, query, limit).await? {
            Fetched::Whole(body, headers) => {
                let mut kept = self.kept();
                let before = kept.left();
                let mut left = before;
                let value = read(&body, &mut left)?;
                kept.add(before - left)?;
                Ok((value, headers))
            }
            Fetched::TooLarge(_) => Err(AwxError::TooLarge { limit }),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spent(&self) -> AwxError {
        AwxError::TooLarge { limit: self.http.limits().operation_bytes }
    }
}
