//! What lists show of a job, kept as text: a client that watches thousands of runs asks for the same rows all the time.

use std::sync::Mutex;

use crate::app::lock;

/// A job's row as it was written last. A copy of a job starts without.
#[derive(Debug, Default)]
pub(crate) struct Row(Mutex<Option<Written>>);

#[derive(Debug)]
struct Written {
    /// The root that its addresses start with.
    root: String,
    text: String,
}

impl Clone for Row {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Row {
    /// The row as it was written, if it was for this root.
    pub(crate) fn written(&self, root: &str) -> Option<String> {
        lock(&self.0).as_ref().filter(|written| written.root == root).map(|written| written.text.clone())
    }

    pub(crate) fn keep(&self, root: &str, text: &str) {
        *lock(&self.0) = Some(Written { root: root.to_owned(), text: text.to_owned() });
    }

    pub(crate) fn forget(&self) {
        *lock(&self.0) = None;
    }
}
