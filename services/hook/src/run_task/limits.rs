//! Until when a run task has its final result, and until when its job may be begun: one moment, which is written down when
//! the task is taken, whatever is set afterwards.

use std::time::Duration;

use runwarden_kit::clock::Moment;

/// From the last moment at which a job may be begun to the one at which Terraform is told that there was none. A launch
/// arrives at its controller up to ten seconds after it was begun; the rest is for clocks that differ.
const MARGIN: Duration = Duration::from_secs(15);
/// A shorter wait counts as this one, so that there is some time to begin the job in.
const SHORTEST_WAIT: Duration = Duration::from_secs(30);

/// Until when Terraform is to have a result of what arrived then. In whole seconds, as it is counted when results are sent.
pub(crate) fn answer_by(received_at: Moment, wait: Duration) -> Moment {
    Moment::from_micros(received_at.seconds().saturating_mul(1_000_000)).plus(wait.max(SHORTEST_WAIT))
}

/// Until when its job may be begun.
pub(crate) fn start_by(answer_by: Moment) -> Moment {
    answer_by.minus(MARGIN)
}

/// How many seconds that is after it was received.
pub(crate) fn wait(received_at: Moment, answer_by: Moment) -> u32 {
    u32::try_from(answer_by.seconds().saturating_sub(received_at.seconds())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use runwarden_webhooks::run_task::{Next, Sequence, Why};

    use super::*;

    #[test]
    fn no_job_is_begun_within_the_margin_before_terraform_is_told_or_later() {
        for micros in [0, 1, 499_999, 999_999] {
            for seconds in [1, 29, 60, 61, 57 * 60] {
                let received_at = Moment::from_micros(1_700_000_000_000_000 + micros);
                let by = answer_by(received_at, Duration::from_secs(seconds));
                let mut sequence = Sequence::new(received_at.seconds(), wait(received_at, by));
                sequence.updated(received_at.seconds(), runwarden_webhooks::run_task::Reply::Accepted);
                let told = (received_at.seconds()..).find(|now| {
                    if let Next::Update = sequence.next(*now, false) {
                        sequence.updated(*now, runwarden_webhooks::run_task::Reply::Accepted);
                    }
                    sequence.next(*now, false) == Next::Conclude(Why::OutOfTime)
                });
                let told = Moment::from_micros(told.unwrap() * 1_000_000);
                assert!(start_by(by).plus(MARGIN) <= told, "{micros} {seconds}");
                assert!(start_by(by) > received_at, "there is time to begin in");
            }
        }
    }
}
