//! Why a job ended or waits, as a stable code for programs.

/// The playbook said no.
pub const PLAYBOOK_FAILED: &str = "playbook_failed";
/// The controller lost the run; the playbook may still be running.
pub const LOST: &str = "lost";
/// A workflow failed because a person denied an approval that it waited for.
pub const APPROVAL_DENIED: &str = "approval_denied";
/// A workflow failed because an approval was not given in time.
pub const APPROVAL_TIMED_OUT: &str = "approval_timed_out";
/// A workflow failed because a step could not be run or was stopped; no playbook failed.
pub const STEP_FAILED: &str = "step_failed";
/// The controller could not run it.
pub const RUN_ERROR: &str = "run_error";
/// Its cancellation was requested through Runwarden.
pub const CANCELED_BY_CALLER: &str = "canceled_by_caller";
/// It was cancelled on the controller.
pub const CANCELED_ON_CONTROLLER: &str = "canceled_on_controller";
/// It took longer than its template allows.
pub const DURATION_EXCEEDED: &str = "duration_exceeded";
/// The controller dropped something that was asked for; the run was cancelled.
pub const FIELDS_IGNORED: &str = "fields_ignored";
/// The controller refused the launch.
pub const CONTROLLER_REFUSED: &str = "controller_refused";
/// The template was removed before the launch.
pub const TEMPLATE_REMOVED: &str = "template_removed";
/// The template was changed before the launch.
pub const TEMPLATE_CHANGED: &str = "template_changed";
/// The controller's template is no longer what was mapped.
pub const TEMPLATE_DRIFTED: &str = "template_drifted";
/// The controller's template would not accept what was requested.
pub const TEMPLATE_UNSUITABLE: &str = "template_unsuitable";
/// The tenant was disabled before the launch.
pub const TENANT_DISABLED: &str = "tenant_disabled";
/// The client that submitted it could not ask for it any more when its turn came.
pub const AUTHORITY_REVOKED: &str = "authority_revoked";
/// Policies did not allow it any more when its turn came.
pub const POLICY_DENIED: &str = "policy_denied";
/// More than one run could be this job's.
pub const AMBIGUOUS: &str = "ambiguous";
/// There is no controller left to ask about the launch.
pub const UNTRACEABLE: &str = "untraceable";
/// It did not start in time.
pub const EXPIRED: &str = "expired";
/// An operator gave up on finding out what became of the launch.
pub const GIVEN_UP: &str = "given_up";
