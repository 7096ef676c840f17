//! How much a function may make of its arguments.

use anyhow::{Result, ensure};

/// The longest text, in bytes.
pub(super) const MAX_TEXT: usize = 4 * 1024 * 1024;
/// The most elements.
pub(super) const MAX_ITEMS: usize = 100_000;

/// Refuses what is longer than [`MAX_TEXT`].
pub(super) fn within(bytes: usize) -> Result<()> {
    ensure!(bytes <= MAX_TEXT, "the result is longer than {MAX_TEXT} bytes");
    Ok(())
}

/// Refuses more than [`MAX_ITEMS`].
pub(super) fn few(items: usize) -> Result<()> {
    ensure!(items <= MAX_ITEMS, "the result has more than {MAX_ITEMS} elements");
    Ok(())
}
