//! Which jobs go first.

use runwarden_proto::executor::v1 as wire;
use serde::{Deserialize, Serialize};

runwarden_kit::mirror! {
    /// Which of a tenant's waiting jobs goes first. It never gives a tenant more than its share.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Priority = wire::JobPriority {
        /// After all others.
        Low,
        /// In the order of acceptance.
        #[default]
        Normal,
        /// Before all others.
        High,
    }
}

impl Priority {
    /// For ordering: higher goes first.
    #[must_use]
    pub const fn rank(self) -> i64 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
        }
    }
}

/// What is added to the rank of a job that was begun and is to be launched again.
pub const BEGUN: i64 = 10;
/// What is added to the rank of a job with a launch in flight: others may have to wait for its result.
pub const OUT: i64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_priorities_rank_higher() {
        assert!(Priority::High.rank() > Priority::Normal.rank() && Priority::Normal.rank() > Priority::Low.rank());
    }
}
