//! Ids: a readable prefix and a UUIDv7, so that they sort by time of birth.

/// A new id such as `job_019ab3…`.
#[must_use]
pub fn new(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

/// Whether a text has the form of an id with this prefix: checked before it reaches a store or a log.
#[must_use]
pub fn is_valid(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_valid_and_sort_by_birth() {
        let (a, b) = (super::new("job"), super::new("job"));
        assert!(super::is_valid("job", &a) && a < b);
        assert!(!super::is_valid("job", "job_../../etc"));
        assert!(!super::is_valid("rec", &a));
    }
}
