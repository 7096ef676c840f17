//! The priority of a job, as submitting and reading one show it.

use runwarden_proto::executor::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of a tenant's waiting jobs goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others.
    Low,
    /// In the order of acceptance.
    Normal,
    /// Before all others.
    High,
}

impl From<proto::JobPriority> for Priority {
    fn from(priority: proto::JobPriority) -> Self {
        match priority {
            proto::JobPriority::Low => Self::Low,
            proto::JobPriority::Normal | proto::JobPriority::Unspecified => Self::Normal,
            proto::JobPriority::High => Self::High,
        }
    }
}

impl Priority {
    /// As the contract has it; none leaves it to the service.
    pub(super) fn sent(this: Option<Self>) -> i32 {
        match this {
            None => proto::JobPriority::Unspecified.into(),
            Some(Self::Low) => proto::JobPriority::Low.into(),
            Some(Self::Normal) => proto::JobPriority::Normal.into(),
            Some(Self::High) => proto::JobPriority::High.into(),
        }
    }
}
