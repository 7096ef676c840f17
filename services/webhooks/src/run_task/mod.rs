//! What follows on a run task's request: results, until exactly one is final.
//!
//! - [`Sequence`]: what is to be sent next, and when.
//! - [`Verdict`]: what a result says, within the limits of Terraform's schema.
//! - [`Report`]: what a run's output says of its hosts and of the tasks that failed.

mod report;
mod sequence;
mod verdict;

pub use report::{Failure, Host, Report};
pub use sequence::{End, Next, Reply, Sequence, Why};
pub use verdict::{CONTENT_TYPE, Label, Level, Outcome, Verdict, running};

/// The name of the request's token among [`Event::secrets`](crate::Event::secrets): the bearer token for results and for
/// the plan.
pub const ACCESS_TOKEN: &str = "access_token";
/// Where results go, as a pointer into [`Event::document`](crate::Event::document).
pub const CALLBACK_URL: &str = "/body/task_result_callback_url";
/// Whether this is a plan: one JSON object, no key twice, nested as deep as events may be. Its numbers may have more
/// digits than we keep, so that a plan is passed on as it was written.
#[must_use]
pub fn is_plan(bytes: &[u8]) -> bool {
    matches!(crate::json::parse(bytes), Ok(serde_json::Value::Object(_)))
}

/// Where the plan is read, as a pointer into the document. Not there before a plan.
pub const PLAN_URL: &str = "/body/plan_json_api_url";
/// Whether Terraform understands detailed outcomes, as a pointer into the document.
pub const OUTCOMES: &str = "/body/capabilities/outcomes";
/// The kind, as hooks name it.
pub const KIND: &str = "run_task";
/// The setting of a hook whose filter and mapping want the plan, as `input.plan`.
pub const WANTS_PLAN: &str = "plan";
/// The setting `terraform` of a hook that sends results wherever a signed request says.
pub const ANY_HOST: &str = "any";
