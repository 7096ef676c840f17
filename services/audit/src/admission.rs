//! What an entry must be like to be taken: services are trusted to say what happened, not to say it in any form.

use runwarden_kit::{Error, Result, slug};

use crate::record::{ACCEPT_RESTORE, Entry, PLATFORM};

/// How many entries one request may bring.
pub(crate) const MOST_ENTRIES: usize = 500;
/// The most bytes of a free text.
const MOST_TEXT: usize = 2048;
/// The most bytes of an id or a name of an action.
const MOST_NAME: usize = 128;

/// The log that an entry goes into, by the tenant it names.
///
/// # Errors
/// When the tenant's name cannot be one.
pub(crate) fn log_of(tenant: &str) -> Result<String> {
    if tenant.is_empty() {
        return Ok(PLATFORM.to_owned());
    }
    slug::check("/tenant", tenant)?;
    Ok(tenant.to_owned())
}

/// Checks an entry that a service hands over.
///
/// # Errors
/// `PERMISSION_DENIED` when the entry claims to be of another service; `VALIDATION_FAILED` naming the field.
pub(crate) fn check(entry: &Entry, from: &str) -> Result<()> {
    if entry.service != from {
        return Err(Error::denied(format!("The service {from} may not record in the name of another."))
            .with_field("/service", format!("is not {from}")));
    }
    let id = entry.entry_id.strip_prefix("rec_").unwrap_or_default();
    if id.is_empty()
        || entry.entry_id.len() > MOST_NAME
        || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    {
        return Err(Error::invalid("/entry_id", "must be rec_ and letters, digits, '_' or '-'"));
    }
    if entry.action == ACCEPT_RESTORE {
        return Err(Error::invalid("/action", "only an operator records this, beside the logs"));
    }
    if !is_action(&entry.action) {
        return Err(Error::invalid("/action", "must be noun.verb in lower-case letters, digits, '_' and '-'"));
    }
    if !is_word(&entry.object_type) {
        return Err(Error::invalid("/object_type", "must be a noun in lower-case letters, digits, '_' and '-'"));
    }
    let digest = |text: &str, digits: usize| text.is_empty() || (text.len() == digits && is_hex(text));
    for (pointer, text, digits) in [
        ("/policy_digest", &entry.policy_digest, 64),
        ("/payload_digest", &entry.payload_digest, 64),
        ("/trace_id", &entry.trace_id, 32),
    ] {
        if !digest(text, digits) {
            return Err(Error::invalid(pointer, format!("must be empty or {digits} lower-case hex digits")));
        }
    }
    let actor = &entry.actor;
    for (pointer, text) in [
        ("/actor/principal", &actor.principal),
        ("/actor/name", &actor.name),
        ("/actor/authenticated_by", &actor.authenticated_by),
        ("/actor/client_id", &actor.client_id),
        ("/actor/home_tenant", &actor.home_tenant),
        ("/object_id", &entry.object_id),
        ("/decision_id", &entry.decision_id),
        ("/source_address", &entry.source_address),
        ("/request_id", &entry.request_id),
    ] {
        if text.len() > MOST_TEXT {
            return Err(Error::invalid(pointer, format!("must not have more than {MOST_TEXT} bytes")));
        }
    }
    Ok(())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `noun.verb`; a noun may itself be dotted.
fn is_action(text: &str) -> bool {
    text.len() <= MOST_NAME && text.contains('.') && text.split('.').all(is_word)
}

fn is_word(text: &str) -> bool {
    text.len() <= MOST_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

#[cfg(test)]
mod tests {
    use runwarden_kit::ErrorReason;

    use super::*;
    use crate::record::examples;

    fn refused(change: impl FnOnce(&mut Entry)) -> String {
        let mut entry = examples::entry("rec_1");
        change(&mut entry);
        check(&entry, "executor").unwrap_err().fields()[0].pointer.clone()
    }

    #[test]
    fn a_proper_entry_is_taken() {
        check(&examples::entry("rec_0199f"), "executor").unwrap();
        assert_eq!(log_of("").unwrap(), PLATFORM);
        assert_eq!(log_of("acme").unwrap(), "acme");
    }

    #[test]
    fn a_service_speaks_for_itself_only() {
        let error = check(&examples::entry("rec_1"), "edge").unwrap_err();
        assert_eq!(error.reason(), ErrorReason::PermissionDenied);
    }

    #[test]
    fn nobody_can_name_the_log_of_the_platform_or_what_is_no_tenant() {
        for tenant in [PLATFORM, "Acme", "a/b", "..", "a b"] {
            assert!(log_of(tenant).is_err(), "{tenant}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for id in ["", "1", "rec_", "rec_a b", "rec_\n", &format!("rec_{}", "x".repeat(200))] {
            assert_eq!(refused(|entry| entry.entry_id = id.to_owned()), "/entry_id", "{id}");
        }
        for action in [ACCEPT_RESTORE, "", "job", "job.", ".submit", "Job.submit", "job submit", "1.2", "a.b*"] {
            assert_eq!(refused(|entry| entry.action = action.to_owned()), "/action", "{action}");
        }
        assert_eq!(refused(|entry| entry.object_type = String::new()), "/object_type");
        assert_eq!(refused(|entry| entry.trace_id = "zz".to_owned()), "/trace_id");
        assert_eq!(refused(|entry| entry.payload_digest = "AB".repeat(32)), "/payload_digest");
        assert_eq!(refused(|entry| entry.object_id = "x".repeat(3000)), "/object_id");
        assert_eq!(refused(|entry| entry.actor.name = "x".repeat(3000)), "/actor/name");
    }
}
