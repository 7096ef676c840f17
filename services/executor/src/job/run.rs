//! The run a job became, and how it is identified.

use std::time::Duration;

use runwarden_kit::clock::Moment;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use runwarden_awx::{Installation, RunKind, RunRef, RunSummary};

/// How much later than its binding a run can claim to have been created, by a wrong clock: where only that identifies
/// it from others.
const CLOCKS_APART: Duration = Duration::from_secs(3600);

/// The run a job became. An id alone identifies nothing: ids are reused after a restore, or when a controller is set up
/// again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which installation it is on.
    pub installation: Installation,
    /// `job` or `workflow_job`.
    pub kind: String,
    /// Its id there.
    pub id: i64,
    /// The template it came from, by id; none if its controller did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<i64>,
    /// When it was made, by its controller's clock; none if it did not say, or was bound by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
}

impl Run {
    /// As its controller reports it.
    #[must_use]
    pub fn of(row: &RunSummary, installation: &Installation) -> Self {
        Self {
            installation: installation.clone(),
            kind: row.run.kind.as_str().into(),
            id: row.run.id,
            template: row.unified_job_template,
            created: row.created.map(moment),
        }
    }

    /// As the client names it.
    #[must_use]
    pub fn to_ref(&self) -> RunRef {
        RunRef { kind: RunKind::parse(&self.kind).unwrap_or(RunKind::Job), id: self.id }
    }

    /// Whether another is this one. Where it is not known when this one was made, it was not after it was bound.
    #[must_use]
    pub fn is(&self, other: &Self, bound_at: Option<Moment>) -> bool {
        self.id == other.id && self.kind == other.kind && self.installation.is_same(&other.installation) && {
            // A deleted template is not reported any more.
            let one_template = self.template.zip(other.template).is_none_or(|(one, two)| one == two);
            one_template
                && match (self.created, other.created, bound_at) {
                    (Some(one), Some(two), _) => one == two,
                    (None, Some(made), Some(bound)) => made <= bound.plus(CLOCKS_APART),
                    (_, None, _) | (None, Some(_), None) => true,
                }
        }
    }

    /// Whether what a controller shows under its id is this run, whatever the controller is.
    #[must_use]
    pub fn is_shown_by(&self, row: &RunSummary, bound_at: Option<Moment>) -> bool {
        self.is(&Self::of(row, &self.installation), bound_at)
    }
}

/// A run that is bound to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The run.
    pub run: Run,
    /// When it was bound.
    pub at: Option<Moment>,
}

impl Bound {
    /// Whether it is this run.
    #[must_use]
    pub fn is(&self, run: &Run) -> bool {
        self.run.is(run, self.at)
    }
}

/// A controller's time, as ours are written.
#[must_use]
pub fn moment(time: OffsetDateTime) -> Moment {
    let micros = time.unix_timestamp_nanos().div_euclid(1000);
    Moment::from_micros(i64::try_from(micros).unwrap_or(0))
}

/// A time of ours, as a controller's are written.
#[must_use]
pub fn time_of(moment: Moment) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment.micros()) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use runwarden_awx::Target;
    use uuid::Uuid;

    use super::*;

    fn installation(uuid: u128) -> Installation {
        let target = Target { url: "https://awx".into(), api_root: String::new(), ca_pem: String::new() };
        Installation::new(Some(Uuid::from_u128(uuid)), &target)
    }

    fn run(created: Option<i64>) -> Run {
        let created = created.map(|second| Moment::from_micros(second * 1_000_000));
        Run { installation: installation(1), kind: "job".into(), id: 7, template: Some(9), created }
    }

    #[test]
    fn an_id_that_comes_again_is_another_run() {
        let one = run(Some(100));
        assert!(one.is(&one, None));
        for other in [
            run(Some(101)),
            Run { id: 8, ..one.clone() },
            Run { kind: "workflow_job".into(), ..one.clone() },
            Run { template: Some(10), ..one.clone() },
            Run { installation: installation(2), ..one.clone() },
        ] {
            assert!(!one.is(&other, None), "{other:?}");
        }
        assert!(one.is(&Run { template: None, ..one.clone() }, None), "its template was deleted there");
    }

    #[test]
    fn a_run_of_an_earlier_version_was_made_before_it_was_bound() {
        let bound_at = Some(Moment::from_micros(200_000_000));
        assert!(run(None).is(&run(Some(100)), bound_at));
        assert!(run(None).is(&run(Some(201)), bound_at), "clocks differ");
        assert!(!run(None).is(&run(Some(200 + 3601)), bound_at), "its id came again");
        let earlier: Run = serde_json::from_str(r#"{"installation":"https://awx","kind":"job","id":7}"#).unwrap();
        assert!(earlier.is(&run(Some(100)), bound_at));
    }
}
