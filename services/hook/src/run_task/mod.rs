//! Terraform run tasks after they were accepted: what becomes of the job is reported until Terraform has exactly one
//! final result.
//!
//! A delivery of a run task comes with a row in `run_tasks`, made in the same transaction, that stays due until there is
//! nothing left to say. What to send and when is [`Sequence`](runwarden_webhooks::run_task::Sequence)'s decision; here it
//! is written down before it is done, and done.
//!
//! - [`terraform`]: the requests to Terraform.
//! - [`plan`]: the plan, for a mapping that wants it.
//! - [`seen`]: what is known of the job, and what the final result says of it.
//! - [`worker`]: brings the two together.
//! - [`limits`]: until when a job may be begun, and until when Terraform has a result.
//! - [`woken`]: tasks to look at before they are due, because a job ended.

pub(crate) mod limits;
pub(crate) mod plan;
pub(crate) mod seen;
pub(crate) mod terraform;
pub(crate) mod woken;
pub(crate) mod worker;
