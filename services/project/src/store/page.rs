//! Pages of what a caller may see: rows it may not see take no place and leave no trace.

use runwarden_kit::page::{self, Listing};
use runwarden_kit::{Result, slug};
use serde::de::DeserializeOwned;

use super::{Catalog, decode};

/// How many rows are read at once.
const READ_AT_ONCE: usize = 200;

/// Which page is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many items; 0 for the default.
    pub size: i32,
    /// From the page before; empty for the first.
    pub token: String,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Leads to the next page; empty on the last.
    pub next: String,
}

impl Catalog {
    /// Reads a page of the values directly under a prefix that `seen` lets through. `listing` is what page tokens are
    /// good for.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        listing: &Listing,
        prefix: &str,
        request: &PageRequest,
        seen: impl Fn(&T) -> bool + Send,
    ) -> Result<Page<T>> {
        let size = page::size(request.size)?;
        let mut after = match listing.after(&request.token)? {
            None => None,
            Some(name) if slug::is_slug(&name) => Some(format!("{prefix}{name}")),
            Some(_) => return Err(page::bad_token()),
        };
        let mut items = Vec::new();
        let mut last = String::new();
        loop {
            let rows = self.store.list(prefix, after.as_deref(), READ_AT_ONCE).await?;
            let all = rows.len() < READ_AT_ONCE;
            for row in rows {
                let value = decode(&row.value)?;
                if seen(&value) {
                    if items.len() == size {
                        // There is one more, so there is a next page; it begins after the last item of this one.
                        let name = last.strip_prefix(prefix).unwrap_or_default();
                        return Ok(Page { items, next: listing.token(name) });
                    }
                    items.push(value);
                    last.clone_from(&row.key);
                }
                after = Some(row.key);
            }
            if all {
                return Ok(Page { items, next: String::new() });
            }
        }
    }
}
