//! Paging: an opaque token that leads to the next page of one listing, and of no other.
//!
//! A token holds the last key of the page before, and a digest of it with everything that makes the listing what it is:
//! the collection, the tenant, the filters. One that was made for another listing, was cut off or was made up is
//! refused instead of giving a page that looks empty. The digest is not a signature, and need not be: rights and
//! filters are applied to every page again, so a forged token gives access to nothing more.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost_types::Timestamp;

use crate::error::{Error, Result};

/// Pages have this many items when the caller does not say.
pub const DEFAULT_SIZE: usize = 50;
/// And never more than this many.
pub const MAX_SIZE: usize = 200;
/// The longest token.
const MAX_LENGTH: usize = 2048;
/// How many bytes of the digest a token holds.
const CHECK: usize = 16;

/// What is wrong with a token that does not belong to the listing it was sent to.
pub const BAD_TOKEN: &str = "is not a page token of this list; with other filters, start from the first page";

/// Which page is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many items; 0 for the default.
    pub size: i32,
    /// From the page before; empty for the first.
    pub token: String,
}

impl PageRequest {
    /// How many items the page has at most.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a negative one.
    pub fn size(&self) -> Result<usize> {
        size(self.size)
    }
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Leads to the next page; empty on the last.
    pub next: String,
}

impl<T> Page<T> {
    /// The page with something else made of each item.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(make).collect(), next: self.next }
    }
}

/// Reads a page size: 0 is the default, more than the maximum is the maximum.
///
/// # Errors
/// `VALIDATION_FAILED` for a negative one.
pub fn size(requested: i32) -> Result<usize> {
    match usize::try_from(requested) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(n) => Ok(n.min(MAX_SIZE)),
        Err(_) => Err(Error::invalid("/page_size", "must not be negative")),
    }
}

/// Whether a text can be a token of any listing; empty is the first page.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.len() <= MAX_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn bad_token() -> Error {
    Error::invalid("/page_token", BAD_TOKEN)
}

/// A listing: a collection as one caller asked for it.
#[derive(Clone)]
pub struct Listing(digest::Context);

impl Listing {
    /// A listing of a collection, such as `jobs`, in a tenant; the platform's if there is none.
    #[must_use]
    pub fn of(collection: &str, tenant: Option<&str>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"runwarden page 1");
        Self(context).filter("collection", collection).filter("tenant", tenant.unwrap_or_default())
    }

    /// Narrowed by a filter. The order in which filters are named matters, as does each that is empty.
    #[must_use]
    pub fn filter(mut self, name: &str, value: &str) -> Self {
        for part in [name, value] {
            self.0.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.update(part.as_bytes());
        }
        self
    }

    /// Narrowed by a moment.
    #[must_use]
    pub fn filter_time(self, name: &str, time: Option<&Timestamp>) -> Self {
        self.filter(name, &time.map(|time| format!("{}.{:09}", time.seconds, time.nanos)).unwrap_or_default())
    }

    fn check(&self, key: &str) -> digest::Digest {
        self.clone().filter("key", key).0.finish()
    }

    /// The token that leads to what comes after a key.
    #[must_use]
    pub fn token(&self, last_key: &str) -> String {
        let check = self.check(last_key);
        let bytes: Vec<u8> = check.as_ref().iter().take(CHECK).copied().chain(last_key.bytes()).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a page has of the items from its first on, of which there is one more than its size if there is a next page.
    /// `key` is what the next page begins after.
    pub fn cut<T>(&self, mut items: Vec<T>, size: usize, key: impl FnOnce(&T) -> String) -> Page<T> {
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| self.token(&key(last))).unwrap_or_default();
        Page { items, next }
    }

    /// Where the page begins that a token leads to, as `read` makes it of the key; `None` for the first page.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a token of another listing, and for one whose key `read` does not accept.
    pub fn start<T>(&self, token: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        self.after(token)?.map(|key| read(&key).ok_or_else(bad_token)).transpose()
    }

    /// The key that a token leads beyond; an empty token means the first page.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for one that was not made by [`Listing::token`] of the same listing.
    pub fn after(&self, token: &str) -> Result<Option<String>> {
        if token.is_empty() {
            return Ok(None);
        }
        if token.len() > MAX_LENGTH {
            return Err(bad_token());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
        let (check, key) = bytes.split_at_checked(CHECK).ok_or_else(bad_token)?;
        let key = std::str::from_utf8(key).map_err(|_| bad_token())?;
        if self.check(key).as_ref().get(..CHECK) == Some(check) { Ok(Some(key.to_owned())) } else { Err(bad_token()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_listing_only() {
        let mine = Listing::of("jobs", Some("acme")).filter("template", "deploy");
        let token = mine.token("job_1");
        assert!(is_token(&token));
        assert_eq!(mine.after(&token).unwrap().as_deref(), Some("job_1"));
        for other in [
            Listing::of("clients", Some("acme")).filter("template", "deploy"),
            Listing::of("jobs", Some("umbrella")).filter("template", "deploy"),
            Listing::of("jobs", None).filter("template", "deploy"),
            Listing::of("jobs", Some("acme")).filter("template", "other"),
            Listing::of("jobs", Some("acme")).filter("project", "deploy"),
            Listing::of("jobs", Some("acme")).filter("template", "deploy").filter("project", ""),
            Listing::of("jobs", Some("acme")),
            // Where one part ends and the next begins cannot be shifted.
            Listing::of("job", Some("sacme")).filter("template", "deploy"),
        ] {
            assert_eq!(other.after(&token).unwrap_err().fields()[0].pointer, "/page_token");
        }
    }

    #[test]
    fn a_page_is_cut_where_the_next_begins() {
        let listing = Listing::of("jobs", Some("acme"));
        let cut = |items: &[&'static str]| listing.cut(items.to_vec(), 2, |item| (*item).to_owned());
        assert_eq!(cut(&["a", "b", "c"]), Page { items: vec!["a", "b"], next: listing.token("b") });
        assert_eq!(cut(&["a", "b"]), Page { items: vec!["a", "b"], next: String::new() });
        assert_eq!(cut(&[]), Page { items: vec![], next: String::new() });
    }

    #[test]
    fn a_key_that_its_service_does_not_know_is_refused_in_the_same_words() {
        let listing = Listing::of("records", Some("acme"));
        let start = |token: &str| listing.start(token, |key| key.parse::<u64>().ok());
        assert_eq!(start("").unwrap(), None);
        assert_eq!(start(&listing.token("7")).unwrap(), Some(7));
        for bad in [listing.token("seven"), Listing::of("records", None).token("7")] {
            assert_eq!(start(&bad).unwrap_err().fields()[0].detail, BAD_TOKEN);
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_nothing_is_the_first_page() {
        let listing = Listing::of("jobs", Some("acme"));
        assert_eq!(listing.after("").unwrap(), None);
        // The last is what tokens once were: the bare key.
        for bad in [
            "x",
            "%",
            "am9iXzE",
            &"A".repeat(64),
            &"A".repeat(4000),
            "am9iXzAxOTkwZjlhMGM2ZjdjNTJiOGY1NGVlMzBiZDVkMWEx",
        ] {
            assert!(listing.after(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_key_survives_the_token(key in ".*", tenant in ".*") {
            let listing = Listing::of("jobs", Some(&tenant));
            prop_assert_eq!(listing.after(&listing.token(&key)).ok().flatten(), Some(key));
        }

        #[test]
        fn no_token_panics_and_none_is_guessed(token in ".{1,80}") {
            prop_assert!(Listing::of("jobs", None).after(&token).is_err());
        }

        #[test]
        fn no_changed_token_is_taken(key in ".{0,40}", at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
            let listing = Listing::of("jobs", None);
            let token = listing.token(&key);
            let mut changed = token.clone();
            let at = at.index(token.len());
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != token);
            prop_assert!(listing.after(&changed).is_err());
        }
    }
}
