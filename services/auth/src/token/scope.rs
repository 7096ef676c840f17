//! The OAuth `scope` parameter: a space-separated list of permissions (RFC 6749 section 3.3).

use std::collections::BTreeSet;

/// Longer than every permission there is, all in one request.
const MAX_LENGTH: usize = 4096;

/// Why a requested scope cannot be granted. All of them are `invalid_scope` to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidScope {
    /// It does not follow the grammar.
    #[error("The scope must be permissions separated by single spaces.")]
    Malformed,
    /// It is longer than anything sensible.
    #[error("The scope is longer than {MAX_LENGTH} characters.")]
    TooLong,
    /// It names a permission that does not exist, or that the client does not hold: the error does not say which.
    #[error("The client does not hold `{0}`.")]
    NotHeld(String),
}

/// A scope as requested: the permissions to narrow a token to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestedScope(Option<BTreeSet<String>>);

impl RequestedScope {
    /// Reads the parameter. Empty asks for everything the client holds.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidScope> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        if text.len() > MAX_LENGTH {
            return Err(InvalidScope::TooLong);
        }
        let mut tokens = BTreeSet::new();
        for token in text.split(' ') {
            // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
            let fits = !token.is_empty() && token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E));
            if !fits {
                return Err(InvalidScope::Malformed);
            }
            tokens.insert(token.to_owned());
        }
        Ok(Self(Some(tokens)))
    }

    /// The permissions asked for; `None` for all.
    pub(crate) fn permissions(&self) -> Option<&BTreeSet<String>> {
        self.0.as_ref()
    }
}

/// The `scope` of a token: its permissions in order, each once.
pub(crate) fn join<'a>(permissions: impl IntoIterator<Item = &'a str>) -> String {
    let ordered: BTreeSet<&str> = permissions.into_iter().collect();
    ordered.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_scope_asks_for_everything() {
        assert_eq!(RequestedScope::parse("").unwrap().permissions(), None);
    }

    #[test]
    fn a_scope_is_a_set() {
        let scope = RequestedScope::parse("jobs.submit jobs.read jobs.submit").unwrap();
        assert_eq!(scope.permissions().unwrap().len(), 2);
    }

    #[test]
    fn bad_grammar_is_refused() {
        for text in [" ", "a ", " a", "a  b", "a\tb", "a\"", "a\\b", "ä", "a\0", "a\nb"] {
            assert_eq!(RequestedScope::parse(text), Err(InvalidScope::Malformed), "{text:?}");
        }
        assert_eq!(RequestedScope::parse(&"a".repeat(MAX_LENGTH + 1)), Err(InvalidScope::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_what_is_accepted_reads_back(text in "\\PC{0,60}") {
            if let Ok(scope) = RequestedScope::parse(&text)
                && let Some(set) = scope.permissions()
            {
                let joined = join(set.iter().map(String::as_str));
                proptest::prop_assert_eq!(RequestedScope::parse(&joined).unwrap(), scope);
            }
        }
    }
}
