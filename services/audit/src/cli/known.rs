//! What others know of the logs: what a copy that was put back cannot take back.

use std::collections::BTreeSet;
use std::path::Path;

use super::{CliError, read_text};
use crate::seen::SeenHead;

/// What others know of the logs, and who could not be asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The tenants that exist, if somebody who knows could be asked.
    pub tenants: Option<BTreeSet<String>>,
    /// The tenants of which entries wait to be handed over: a new one's log begins with them.
    pub waiting: BTreeSet<String>,
    /// What services saw of the logs.
    pub seen: Vec<SeenHead>,
    /// Whose word that is: services, or files.
    pub asked: Vec<String>,
    /// Whom nobody could ask, and why.
    pub unasked: Vec<String>,
}

/// Reads what services saw, one JSON line each, as `runwarden audit seen` writes it.
///
/// # Errors
/// When the file cannot be read or says something else.
pub fn read_seen(path: &Path) -> Result<Vec<SeenHead>, CliError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|source| CliError::Seen { path: path.to_owned(), line: at + 1, source })
        })
        .collect()
}
