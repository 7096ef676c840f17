//! The priority of a job, as submitting and reading one show it.

use runwarden_proto::executor::v1 as proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

runwarden_kit::mirror! {
    /// Which of a tenant's waiting jobs goes first.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Priority = proto::JobPriority {
        /// After all others.
        Low,
        /// In the order of acceptance.
        Normal,
        /// Before all others.
        High,
    }
}

impl Priority {
    /// As a service sends it; where nothing was asked for it is normal.
    pub(super) fn of(priority: proto::JobPriority) -> Self {
        Self::try_from(priority).unwrap_or(Self::Normal)
    }

    /// As the contract has it; none leaves it to the service.
    pub(super) fn sent(this: Option<Self>) -> i32 {
        this.map(proto::JobPriority::from).unwrap_or_default().into()
    }
}
