//! Paging: an opaque token that leads to the next page of one listing, and of no other.
//!
//! A token holds the last key of the page before, and a digest of it with everything that makes the listing what it is:
//! the collection, the tenant, the filters. One that was made for another listing, was cut off or was made up is refused
//! instead of giving a page that looks empty. The digest is not a signature, and need not be: rights and filters are
//! applied to every page anew, so a token that somebody computes leads nowhere they could not go.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Result};

/// Pages have this many items when the caller does not say.
pub const DEFAULT_SIZE: usize = 50;
/// And never more than this many.
pub const MAX_SIZE: usize = 200;
/// The longest token.
const MAX_LENGTH: usize = 2048;
/// How many bytes of the digest a token holds.
const CHECK: usize = 16;

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

/// The refusal of a token that does not belong here.
#[must_use]
pub fn bad_token() -> Error {
    Error::invalid(
        "/page_token",
        "is not a token of an earlier page of this list; with other filters, start from the first page",
    )
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
