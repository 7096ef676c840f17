//! The steps of a rotation at which a process may die. Tests make it die at each.

use crate::vault::Result;

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The new key's file is durable.
    KeyWritten,
    /// The marker names the new key.
    Announced,
    /// One tenant key was wrapped anew.
    Rewrapped,
    /// All were.
    AllRewrapped,
    /// The marker says so.
    Completed,
    /// One older key's file is gone.
    OldRemoved,
}

/// Where a rotation dies, in tests; nothing at all elsewhere.
#[derive(Default)]
pub(super) struct Steps {
    #[cfg(test)]
    die_at: std::sync::Mutex<Option<Step>>,
}

impl Steps {
    /// Called after each step.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only tests make it fail")]
    pub(super) fn reached(&self, _step: Step) -> Result<()> {
        Ok(())
    }

    /// Called after each step.
    #[cfg(test)]
    pub(super) fn reached(&self, step: Step) -> Result<()> {
        if *self.die_at.lock().unwrap() == Some(step) {
            return Err(crate::vault::VaultError::Invalid("the test killed it here"));
        }
        Ok(())
    }

    /// Makes the rotation die when it has done this.
    #[cfg(test)]
    pub(super) fn die_at(&self, step: Option<Step>) {
        *self.die_at.lock().unwrap() = step;
    }
}
