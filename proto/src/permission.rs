//! The names of permissions, and what they allow, as the contracts have them.

use crate::common;

include!(concat!(env!("OUT_DIR"), "/permissions.rs"));

/// No permission has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPermission;

impl std::fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no permission of this name")
    }
}

impl std::error::Error for UnknownPermission {}

impl std::str::FromStr for common::v1::Permission {
    type Err = UnknownPermission;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|permission| permission.name() == name).copied().ok_or(UnknownPermission)
    }
}

impl std::fmt::Display for common::v1::Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use crate::common::v1::Permission;

    #[test]
    fn a_permission_is_found_by_its_name_only() {
        for permission in Permission::ALL {
            assert_eq!(permission.name().parse(), Ok(*permission));
            assert!(permission.description().ends_with('.'), "{permission}: {}", permission.description());
        }
        assert_eq!(Permission::JobsSubmit.name(), "jobs.submit");
        for none in ["", "jobs", "JOBS.SUBMIT", "jobs_submit", "jobs.submit "] {
            assert!(none.parse::<Permission>().is_err(), "{none:?}");
        }
    }
}
