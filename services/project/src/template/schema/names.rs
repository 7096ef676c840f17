//! What a parameter may be called.

use runwarden_kit::launch_field::LaunchField;

const LONGEST: usize = 100;
/// Variables that begin so are Runwarden's own: it finds its launches again by one.
const OWN: &str = "runwarden_";

/// Refuses names that AWX, Ansible or a reader would misread.
pub(in crate::template) fn check(name: &str, target: LaunchField) -> Result<(), String> {
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    if name.chars().count() > LONGEST {
        return Err(format!("has a name of more than {LONGEST} characters"));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has a name with spaces or control characters".to_owned());
    }
    if target == LaunchField::ExtraVars && name.starts_with(OWN) {
        return Err(format!("has a name that begins with `{OWN}`, which Runwarden keeps for itself"));
    }
    Ok(())
}
