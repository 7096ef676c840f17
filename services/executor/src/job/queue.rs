//! The queue a job waits in.

use runwarden_kit::tenant::TenantId;

/// Jobs that wait for the same: those of one template on one controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    /// The tenant.
    pub tenant: TenantId,
    /// The controller, by Runwarden's name.
    pub controller: String,
    /// The template, by Runwarden's name.
    pub template: String,
}

impl Queue {
    /// The controller's key.
    #[must_use]
    pub fn controller_key(&self) -> (TenantId, String) {
        (self.tenant.clone(), self.controller.clone())
    }
}
