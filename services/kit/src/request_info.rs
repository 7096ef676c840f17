//! What a run may be told about the request it answers: one list, shared by who maps templates and who launches them.
//! Callers can neither set nor override it: names that begin with `runwarden_` are Runwarden's own.

/// The job's id.
pub const JOB_ID: &str = "runwarden_job_id";
/// Where the job is read.
pub const JOB_URL: &str = "runwarden_job_url";
/// The name of the service account that asked.
pub const REQUESTED_BY: &str = "runwarden_requested_by";
/// What the caller calls it; empty if it said nothing.
pub const REFERENCE: &str = "runwarden_reference";
/// The tenant.
pub const TENANT: &str = "runwarden_tenant";
/// The project.
pub const PROJECT: &str = "runwarden_project";

/// Every variable. All of them are sent, so that a playbook need not ask whether one is defined.
pub const VARIABLES: [&str; 6] = [JOB_ID, JOB_URL, REQUESTED_BY, REFERENCE, TENANT, PROJECT];

/// What AWX takes for "use the default", so that it can tell nobody anything.
pub const USE_DEFAULT: &str = "$encrypted$";

/// How long the answer to a survey's question for one of [`VARIABLES`] must at least be allowed to be.
#[must_use]
pub fn room_for(name: &str) -> u32 {
    // Links have the length of the public address besides.
    if name == JOB_URL { 512 } else { 200 }
}

/// Whether Ansible might take a text for a template. AWX marks variables of a launch as unsafe, and an installation may
/// be set not to (`ALLOW_JINJA_IN_EXTRA_VARS`): what comes from outside must not depend on that.
#[must_use]
pub fn may_be_template(text: &str) -> bool {
    ["{{", "}}", "{%", "%}", "{#", "#}"].iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch_field::{LaunchField, check_name};

    #[test]
    fn nobody_else_can_have_a_variable_of_these_names() {
        for name in VARIABLES {
            assert!(check_name(name, LaunchField::ExtraVars).is_err(), "{name}");
        }
    }

    #[test]
    fn what_jinja_reads_as_its_own_is_recognised() {
        for bad in ["{{ lookup('pipe', 'id') }}", "a{%if x%}", "{#", "x }}", "%}", "#}", "{{{{"] {
            assert!(may_be_template(bad), "{bad}");
        }
        for fine in ["", "CHG0012345", "{a}", "100 %", "#12", "{ {", "run-abc/plan{1}"] {
            assert!(!may_be_template(fine), "{fine}");
        }
    }
}
