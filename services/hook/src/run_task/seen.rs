//! What is known of a task's job, and what the final result says of it.

use runwarden_webhooks::run_task::{Outcome, Report, Verdict};

use crate::inbox::delivery::{Delivery, DeliveryState};
use crate::ports::{JobView, Output};

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is not over; this is how it stands.
    Going {
        /// In a line.
        message: String,
        /// Whether anything was begun; none if that is not known.
        begun: Option<bool>,
    },
    /// It will never be more than this.
    Over {
        /// Whether Terraform may go on.
        passed: bool,
        /// Why.
        message: String,
        /// The job whose output has the details.
        job: Option<String>,
    },
}

impl Seen {
    /// Before there is a job: where the delivery stands.
    pub(crate) fn of_delivery(delivery: &Delivery) -> Self {
        let over = |passed, message| Self::Over { passed, message, job: None };
        let why = || delivery.reason_detail.clone().unwrap_or_else(|| "No reason is known.".to_owned());
        match delivery.state {
            DeliveryState::Received => Self::going("Waiting to be run.", Some(false)),
            DeliveryState::Mapped => Self::going("Waiting to be run.", None),
            DeliveryState::Filtered => {
                over(true, "Nothing is to be run here: the hook's filter does not want it.".to_owned())
            }
            DeliveryState::Refused => over(false, format!("Nothing was run: {}", why())),
            DeliveryState::GivenUp => over(false, format!("It is not known that anything was run: {}", why())),
            DeliveryState::Submitted => Self::going(job(delivery, "is accepted"), None),
        }
    }

    /// Once there is a job: where that stands.
    pub(crate) fn of_job(delivery: &Delivery, view: Option<&JobView>) -> Self {
        let Some(view) = view else { return Self::going(job(delivery, "is accepted"), None) };
        let (passed, what) = match view.state.as_str() {
            "succeeded" => (true, "succeeded"),
            "failed" => (false, "failed"),
            "canceled" => (false, "was cancelled"),
            "error" => (false, "could not be run"),
            "unknown" => {
                let message = job(delivery, "waits for an operator to find out whether it was launched");
                return Self::going(message, Some(true));
            }
            "new" => return Self::going(job(delivery, "waits for its turn"), Some(false)),
            "awaiting_approval" => return Self::going(job(delivery, "waits for approval"), Some(false)),
            state => return Self::going(job(delivery, &format!("is {state}")), Some(true)),
        };
        let message = job(delivery, what);
        let message = if view.detail.is_empty() { message } else { format!("{message} {}", view.detail) };
        Self::Over { passed, message, job: delivery.job.clone() }
    }

    fn going(message: impl Into<String>, begun: Option<bool>) -> Self {
        Self::Going { message: message.into(), begun }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Over { .. })
    }

    /// How it stands, in a line.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Going { message, .. } | Self::Over { message, .. } => message,
        }
    }
}

fn job(delivery: &Delivery, what: &str) -> String {
    format!("Job {} {what}.", delivery.job.as_deref().unwrap_or("?"))
}

/// The final result of what is over. `output` is what the run printed, if that is wanted and could be read.
pub(crate) fn verdict(seen: &Seen, url: Option<String>, output: Option<&Output>) -> Verdict {
    let Seen::Over { passed, message, .. } = seen else { return out_of_time(seen, url) };
    let mut message = message.clone();
    let outcomes: Vec<Outcome> = match output {
        Some(output) => {
            if !output.complete {
                message.push_str(" Events incomplete: what follows may lack hosts and tasks.");
            }
            Report::of(&output.text).outcomes()
        }
        None => Vec::new(),
    };
    Verdict { passed: *passed, message, url, outcomes }
}

/// The final result of what takes too long. Whatever was not begun by then is not begun any more: the executor was told
/// so with the job.
pub(crate) fn out_of_time(seen: &Seen, url: Option<String>) -> Verdict {
    let what_now = match seen {
        Seen::Going { begun: Some(true), .. } => " It goes on.",
        Seen::Going { begun: Some(false), .. } => " It is not begun any more.",
        Seen::Going { begun: None, .. } => " If it was not begun by now, it is not begun any more.",
        Seen::Over { .. } => "",
    };
    let message = format!("Terraform does not wait any longer. {}{what_now}", seen.message());
    Verdict { passed: false, message, url, outcomes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_task::worker::tests::delivery;

    fn view(state: &str) -> JobView {
        JobView { state: state.to_owned(), detail: "Why.".to_owned(), launched_at: None, finished_at: None }
    }

    #[test]
    fn only_a_job_that_succeeded_and_what_nobody_wanted_passes() {
        let submitted = Delivery { job: Some("job_1".into()), ..delivery(DeliveryState::Submitted) };
        for (state, passed) in [("succeeded", true), ("failed", false), ("canceled", false), ("error", false)] {
            let seen = Seen::of_job(&submitted, Some(&view(state)));
            let Seen::Over { passed: p, message, .. } = seen else { panic!("{state}") };
            assert_eq!(p, passed, "{state}");
            assert!(message.starts_with("Job job_1 ") && message.ends_with(". Why."), "{message}");
        }
        for state in ["new", "launching", "running", "unknown", "awaiting_approval", "something else"] {
            assert!(!Seen::of_job(&submitted, Some(&view(state))).is_over(), "{state}");
        }
        assert!(!Seen::of_job(&submitted, None).is_over(), "a job that cannot be seen now");
        for (state, passed) in
            [(DeliveryState::Filtered, true), (DeliveryState::Refused, false), (DeliveryState::GivenUp, false)]
        {
            let Seen::Over { passed: p, .. } = Seen::of_delivery(&delivery(state)) else { panic!("{state:?}") };
            assert_eq!(p, passed, "{state:?}");
        }
        for state in [DeliveryState::Received, DeliveryState::Mapped, DeliveryState::Submitted] {
            assert!(!Seen::of_delivery(&delivery(state)).is_over(), "{state:?}");
        }
    }

    #[test]
    fn output_that_is_not_whole_is_said_to_be_so() {
        let seen = Seen::Over { passed: false, message: "Job job_1 failed.".into(), job: None };
        let text = "TASK [x] **\nfatal: [web1]: FAILED! => {\"msg\": \"no\"}\n".to_owned();
        let part = verdict(&seen, None, Some(&Output { text: text.clone(), complete: false }));
        assert!(part.message.contains("Events incomplete"));
        assert_eq!(part.outcomes.len(), 1);
        let whole = verdict(&seen, None, Some(&Output { text, complete: true }));
        assert_eq!(whole.message, "Job job_1 failed.");
        assert!(!out_of_time(&Seen::going("Job job_1 is running.", Some(true)), None).passed);
    }
}
