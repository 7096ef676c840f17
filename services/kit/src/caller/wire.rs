//! Grants as services exchange them.

use runwarden_proto::common::v1 as wire;

use super::{Grant, GrantScope};
use crate::tenant::TenantId;

impl From<wire::Grant> for Grant {
    fn from(grant: wire::Grant) -> Self {
        let named = |name: String| Some(name).filter(|name| !name.is_empty());
        Self {
            role: grant.role,
            scope: GrantScope {
                tenant: named(grant.tenant).as_deref().map(TenantId::trusted),
                project: named(grant.project),
            },
            permissions: grant.permissions.into_iter().collect(),
        }
    }
}

impl From<Grant> for wire::Grant {
    fn from(grant: Grant) -> Self {
        Self {
            role: grant.role,
            tenant: grant.scope.tenant.map(String::from).unwrap_or_default(),
            project: grant.scope.project.unwrap_or_default(),
            permissions: grant.permissions.into_iter().collect(),
        }
    }
}
