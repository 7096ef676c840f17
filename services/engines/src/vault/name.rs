//! The name of a secret within its tenant.

use std::fmt;

/// `[a-z0-9/_.-]`, at most 200 characters, in segments that are neither empty nor `.` nor `..`: safe as a key, as a
/// path in any other engine, and in a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The longest name.
    pub const MAX_LEN: usize = 200;

    /// Takes a name, or says what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        if name.is_empty() || name.len() > Self::MAX_LEN {
            return Err("must be 1 to 200 characters long");
        }
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/_.-".contains(&b);
        if !name.bytes().all(allowed) {
            return Err("may contain only a-z, 0-9, '/', '_', '.' and '-'");
        }
        if name.split('/').any(str::is_empty) {
            return Err("must not begin or end with '/', or contain '//'");
        }
        if name.contains("..") || name.split('/').any(|segment| segment == ".") {
            return Err("must not contain '..' or a segment '.'");
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SecretName;

    #[test]
    fn names_are_paths_of_plain_segments() {
        for good in ["a", "controllers/awx-prod", "a.b_c-d/0", ".hidden", &"a".repeat(200)] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a..b",
            ".",
            "./a",
            "a/.",
            "A",
            "ä",
            "a b",
            "a\0",
            "a\n",
            "a%2f",
            &"a".repeat(201),
        ] {
            assert!(SecretName::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_tenant(name in ".{0,220}") {
            if let Ok(parsed) = SecretName::parse(&name) {
                prop_assert_eq!(parsed.as_str(), name.as_str());
                prop_assert!(!name.contains("..") && !name.starts_with('/') && name.is_ascii());
            }
        }

        #[test]
        fn names_of_the_right_letters_are_judged_without_panicking(name in "[a-z0-9/_.-]{0,210}") {
            let _judged = SecretName::parse(&name);
        }
    }
}
