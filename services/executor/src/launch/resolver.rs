//! A person says what became of a launch that no machine can know about. It is checked as far as it can be, put on
//! record with its reason, and taken for true.

use runwarden_awx::{Ask, BY_LAUNCH, Installation, Marker, RunRow};
use runwarden_kit::access::{Authorized, right};
use runwarden_kit::audit::Outbox;
use runwarden_kit::{Error, ErrorReason, Result, text};

use crate::failpoint::At;
use crate::job::Attempt;
use crate::job::{Job, Run, moment};
use crate::launch::patience::Patience;
use crate::launch::protocol::{self, Resolution};
use crate::records;
use crate::shared::Shared;
use crate::store::Effects;

/// What a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It became the run with this id.
    Bind(i64),
    /// It was not launched.
    Retry,
    /// It cannot be found out.
    GiveUp,
}

/// Takes what persons say.
pub struct Resolver {
    /// What everybody works with.
    pub shared: Shared,
    /// The same store's audit entries.
    pub outbox: Outbox,
    /// How long absence proves nothing.
    pub patience: Patience,
}

impl Resolver {
    /// Takes what a person says about a job they may decide about.
    ///
    /// # Errors
    /// `CONFLICT` if the job does not wait for a decision; `VALIDATION_FAILED` for an invalid reason or run;
    /// `UNAVAILABLE` or `CONTROLLER_UNREACHABLE` when the run cannot be looked at.
    pub async fn resolve(&self, job: &Authorized<Job, right::JobsResolve>, said: Said, reason: &str) -> Result<Job> {
        let reason = read_reason(reason)?;
        let attempt = self.shared.store.last_attempt(&job.id).await?.filter(|attempt| attempt.is_open());
        let attempt = match attempt {
            Some(attempt) if protocol::may_be_resolved(job, &attempt, &self.patience, self.shared.clock.now()) => {
                attempt
            }
            Some(_) | None => return Err(not_unknown(job)),
        };
        self.outbox.check_room(&job.tenant).await?;
        let resolution = match said {
            Said::Bind(run) => Resolution::Bind(self.run(job, &attempt, run).await?),
            Said::Retry => Resolution::Retry,
            Said::GiveUp => Resolution::GiveUp,
        };
        self.write(job, &attempt, resolution, reason).await
    }

    /// The run an operator names, as the controller reports it.
    async fn run(&self, job: &Job, attempt: &Attempt, id: i64) -> Result<Run> {
        let wrong = |detail: String| Error::invalid("/run", detail);
        if id < 1 {
            return Err(wrong("must be the id of a run on the controller".into()));
        }
        let controller = self.shared.templates.controller(&job.tenant, &job.controller).await?;
        let Some(controller) = controller else { return Err(nowhere(attempt, None)) };
        let client = self.shared.controllers.client(&controller, &format!("resolve {}", job.id)).await?;
        let key = (controller.tenant.clone(), controller.name.clone());
        let here = client.installation(Ask::Afresh).await;
        self.shared.breaker.note(&key, &here);
        let here = here.map_err(Error::from)?;
        if !here.is_same(&attempt.installation) {
            return Err(nowhere(attempt, Some(&here)));
        }
        let found = client.find(id).await;
        self.shared.breaker.note(&key, &found);
        let Some(row) = found.map_err(Error::from)? else {
            return Err(wrong("the controller has no such run, or hides it from Runwarden's account".into()));
        };
        unfit(attempt, &self.patience, &row).map_or(Ok(()), |why| Err(wrong(why)))?;
        Ok(Run::of(&row, &attempt.installation))
    }

    async fn write(&self, job: &Job, attempt: &Attempt, resolution: Resolution, reason: String) -> Result<Job> {
        let now = self.shared.clock.now();
        let number = attempt.number;
        // Built here, where the caller is known; the change runs inside the store.
        let entry = records::resolve(now, job, number, &resolution, &reason);
        let run = match &resolution {
            Resolution::Bind(run) => Some(run),
            Resolution::Retry | Resolution::GiveUp => None,
        };
        let change = |job: &mut Job, last: Option<Attempt>, held: bool| {
            if held {
                return Err(Error::invalid("/run", "belongs to another job"));
            }
            let Some(mut attempt) = last.filter(|attempt| attempt.number == number) else {
                return Err(not_unknown(job));
            };
            if !protocol::resolved(job, &mut attempt, resolution.clone(), &reason, &self.patience, now)? {
                return Err(not_unknown(job));
            }
            let learned = records::attempt(now, job, &attempt);
            let effects = Effects::announced().with_entry(entry.clone()).learned(attempt, learned);
            Ok(Some(if job.state.is_end() { effects.finished(records::finish(now, job)) } else { effects }))
        };
        let between = (At::ResolveBefore, At::ResolveAfter);
        let after = self.shared.change_between(between, &job.id, now, run, &change).await?;
        after.map(|after| after.job).ok_or_else(|| Error::not_found("job"))
    }
}

/// Why a run cannot be what an attempt became; none if it can.
fn unfit(attempt: &Attempt, patience: &Patience, row: &RunRow) -> Option<String> {
    let (template, account) = (attempt.controller_template, attempt.account);
    if row.unified_job_template != Some(template) {
        return Some(format!("is not a run of template {template}, which the launch went to"));
    }
    if let Some(by) = row.launched_by.filter(|by| *by != account) {
        return Some(format!("was launched by account {by}; the launch was made by account {account}"));
    }
    if !row.launch_type.is_empty() && row.launch_type != BY_LAUNCH {
        return Some(format!("was not launched through the API, but by {}", row.launch_type));
    }
    let is_mine = Marker::of(&attempt.marker).is_some_and(|marker| marker.is_in(row, attempt.placement()));
    if Marker::any_in(row) && !is_mine {
        return Some("carries the marker of another launch".into());
    }
    match row.created.map(moment) {
        // Its own marker says more than any clock.
        Some(_) if is_mine => None,
        None => Some("cannot be identified: the controller does not say when it was created".into()),
        Some(made) if made < patience.earliest(attempt) => Some("was created before the launch was sent".into()),
        Some(made) if made > patience.latest(attempt) => {
            Some("was created after the last moment the launch could still take effect".into())
        }
        Some(_) => None,
    }
}

/// The run cannot be looked at: it is not where the controller's name leads any more.
fn nowhere(attempt: &Attempt, here: Option<&Installation>) -> Error {
    let to = &attempt.installation;
    let now =
        here.map_or_else(|| "its controller was removed".to_owned(), |here| format!("its controller is now {here}"));
    Error::new(ErrorReason::Conflict, format!("The launch went to {to}, and {now}."))
}

fn read_reason(given: &str) -> Result<String> {
    text::reason(given).map(str::to_owned).map_err(|detail| Error::invalid("/reason", detail))
}

fn not_unknown(job: &Job) -> Error {
    Error::new(
        ErrorReason::Conflict,
        format!(
            "Only a job that is `unknown`, or whose lost launch is past its waiting time, can be resolved; this one {}.",
            job.state.in_words()
        ),
    )
}

#[cfg(test)]
mod tests {
    use runwarden_kit::clock::Moment;
    use serde_json::json;

    use super::*;
    use crate::job::AttemptState;
    use crate::test_doubles::installation;

    #[test]
    fn only_a_run_that_the_attempt_can_have_become_is_bound() {
        let id = format!("{}-1", "a".repeat(32));
        let attempt = Attempt {
            job_id: "job_1".into(),
            number: 1,
            installation: installation(1),
            controller_template: 9,
            account: 4,
            marker: format!("rw_{id}"),
            placement: "extra_var".into(),
            sent_at: Moment::from_micros(1_769_857_200_000_000),
            controller_time: None,
            named: None,
            marker_took: None,
            told: crate::job::Told::default(),
            state: AttemptState::Ambiguous { candidates: Vec::new() },
        };
        let own = json!({
            "id": 7, "type": "job", "unified_job_template": 9, "launch_type": "manual", "created": "2026-01-31T11:00:01Z",
            "launched_by": {"type": "user", "id": 4}, "extra_vars": "{}",
        });
        let told = |change: serde_json::Value| {
            let mut row = own.clone();
            row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            unfit(&attempt, &Patience::default(), &runwarden_awx::examples::row(&row).unwrap())
        };
        let marked = |marker: &str| json!({"extra_vars": json!({"runwarden_attempt": marker}).to_string()});
        assert_eq!(told(json!({})), None, "it may have lost its marker");
        assert_eq!(told(marked(&attempt.marker)), None);
        let mut by_a_wrong_clock = marked(&attempt.marker);
        by_a_wrong_clock["created"] = json!("2026-01-31T11:10:00Z");
        assert_eq!(told(by_a_wrong_clock), None, "its marker says more than a clock");
        let other = format!("rw_{}-1", "b".repeat(32));
        for (change, why) in [
            (json!({"unified_job_template": 10}), "is not a run of template 9"),
            (json!({"launched_by": {"type": "user", "id": 5}}), "was launched by account 5"),
            (json!({"launch_type": "scheduled"}), "but by scheduled"),
            (marked(&other), "carries the marker of another launch"),
            (json!({"created": null}), "does not say when it was created"),
            (json!({"created": "2026-01-31T10:50:00Z"}), "was created before the launch"),
            (json!({"created": "2026-01-31T11:10:00Z"}), "the launch could still take effect"),
        ] {
            let told = told(change.clone()).unwrap_or_default();
            assert!(told.contains(why), "{change}: {told}");
        }
    }
}
