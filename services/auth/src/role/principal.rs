//! A principal: who holds roles. Today each is a service account with one OAuth client.

use serde::{Deserialize, Serialize};

use crate::role::binding::Binding;
use runwarden_kit::tenant::TenantId;

/// A principal as it is kept, with everything it holds: one record, so that what it may do never changes by halves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Principal {
    /// `sa_…`
    pub(crate) principal: String,
    /// The client it proves itself with.
    pub(crate) client_id: String,
    /// Its tenant; `None` for a platform principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
    /// What it holds, in the order it was given.
    #[serde(default)]
    pub(crate) bindings: Vec<Binding>,
}

impl Principal {
    /// Whether it holds this role at exactly this place.
    pub(crate) fn has(&self, role: &str, project: Option<&str>) -> bool {
        self.bindings.iter().any(|binding| binding.role == role && binding.project.as_deref() == project)
    }

    /// One with these roles, each at a project or everywhere.
    #[cfg(test)]
    pub(crate) fn example(tenant: Option<&str>, bindings: &[(&str, Option<&str>)]) -> Self {
        Self {
            principal: "sa_1".into(),
            client_id: "client_1".into(),
            tenant: tenant.map(TenantId::trusted),
            bindings: bindings
                .iter()
                .map(|(role, project)| Binding {
                    binding_id: format!("bind_{role}"),
                    role: (*role).to_owned(),
                    project: project.map(str::to_owned),
                    created_at: runwarden_kit::clock::Moment::from_micros(0),
                })
                .collect(),
        }
    }
}
