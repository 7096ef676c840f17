//! What the steps of a workflow say about its job: that it waits for an approval, why it failed, and what became of each.

use std::collections::BTreeMap;

use runwarden_awx::{Client, RunKind, RunRef, Step, Steps, Waiting};
use runwarden_kit::clock::Moment;
use runwarden_kit::text::capitalized;
use serde_json::{Value, json};

use crate::job::{moment, reason};

/// The beginning of a job's progress while its workflow waits for an approval.
pub(super) const WAITING: &str = "waiting for approval of ";
/// How many waiting approvals are named.
const MOST_NAMED: usize = 5;
/// How many steps an outcome lists.
const MOST_TOLD: usize = 200;
/// How large that list may be, bytes.
const MOST_BYTES: usize = 64 * 1024;

/// The steps of a running workflow, or why they cannot be read.
pub(super) async fn waits_for(client: &Client, run: RunRef) -> Result<Option<String>, runwarden_awx::AwxError> {
    let found = client.steps(run).await?;
    let waiting: Vec<&Step> = found.steps.iter().filter(|step| step.is_waiting_approval()).take(MOST_NAMED).collect();
    let mut known: BTreeMap<i64, Waiting> = BTreeMap::new();
    let mut asked: Vec<i64> = waiting.iter().map(|step| step.workflow).collect();
    asked.dedup();
    for workflow in asked {
        match client.waiting(workflow).await {
            Ok(told) => known.extend(told),
            // Who waits is known all the same.
            Err(error) => tracing::debug!(workflow, %error, "since when an approval waits is not told"),
        }
    }
    let named: Vec<String> = waiting
        .iter()
        .map(|step| {
            let waiting = step.run.and_then(|id| known.get(&id));
            let since = waiting.and_then(|waiting| waiting.since).map(|at| format!(" since {}", time(moment(at))));
            let until = waiting.and_then(|waiting| waiting.expires).map(|at| format!(" until {}", time(moment(at))));
            format!("{}{}{}", named(step), since.unwrap_or_default(), until.unwrap_or_default())
        })
        .collect();
    Ok((!named.is_empty()).then(|| format!("{WAITING}{}", named.join("; "))))
}

fn time(at: Moment) -> String {
    at.rfc3339()
}

/// A step for people: its name, and what it runs or asks for if that is called otherwise.
fn named(step: &Step) -> String {
    if step.runs.is_empty() || step.runs == step.name {
        format!("step \"{}\"", step.path())
    } else {
        format!("step \"{}\" ({})", step.path(), step.runs)
    }
}

/// Why a workflow failed, by the steps with unhandled failures: a reason for programs and a text for people. `None` if
/// no step says so.
pub(super) fn cause(found: &Steps) -> Option<(&'static str, String)> {
    let failed = |step: &&Step| step.has_failed() && !step.handled;
    // A nested workflow's failure is explained by its own steps, if they could be read.
    let inner = |step: &Step| {
        step.kind == RunKind::Workflow.as_str()
            && found.steps.iter().any(|s| step.run == Some(s.workflow) && s.has_failed() && !s.handled)
    };
    let failed: Vec<&Step> = found.steps.iter().filter(failed).filter(|step| !inner(step)).collect();
    let why = |step: &Step| match (step.reason(), step.kind.as_str(), step.status.as_str()) {
        (Some("lost"), ..) => reason::LOST,
        (Some("denied"), ..) => reason::APPROVAL_DENIED,
        (Some("timed_out"), ..) => reason::APPROVAL_TIMED_OUT,
        (_, "job", "failed") => reason::PLAYBOOK_FAILED,
        _ => reason::STEP_FAILED,
    };
    // What claims least goes first: of a run that was lost nothing is known.
    let order = [
        reason::LOST,
        reason::PLAYBOOK_FAILED,
        reason::STEP_FAILED,
        reason::APPROVAL_DENIED,
        reason::APPROVAL_TIMED_OUT,
    ];
    let reason = order.into_iter().find(|one| failed.iter().any(|step| why(step) == *one))?;
    let words: Vec<String> = failed
        .iter()
        .take(MOST_NAMED)
        .map(|step| {
            let what = match why(step) {
                reason::LOST => "the controller lost the run of {}, whose playbook may still be running",
                reason::APPROVAL_DENIED => "the approval {} was denied on the controller",
                reason::APPROVAL_TIMED_OUT => "the approval {} was not given in time",
                reason::PLAYBOOK_FAILED => "the playbook of {} failed",
                _ => match step.status.as_str() {
                    "canceled" => "{} was cancelled on the controller",
                    "error" => "{} could not be run",
                    _ => "{} failed",
                },
            };
            what.replace("{}", &named(step))
        })
        .collect();
    let more = failed.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some((reason, capitalized(&format!("{}{more}.", words.join("; ")))))
}

/// Adds the steps to an outcome: at most 200, those that failed before all others, each in the workflow's order.
pub(super) fn tell(found: &Steps, outcome: &mut Value) {
    let all = || found.steps.iter().enumerate();
    let failed = all().filter(|(_, step)| step.has_failed());
    let in_order = failed.chain(all().filter(|(_, step)| !step.has_failed()));
    let mut left = MOST_BYTES;
    let chosen = in_order.take(MOST_TOLD).map_while(|(at, step)| {
        let told = told(step);
        left = left.checked_sub(told.to_string().len() + 1)?;
        Some((at, told))
    });
    let chosen: BTreeMap<usize, Value> = chosen.collect();
    let told: Vec<Value> = chosen.into_values().collect();
    let left_out = found.steps.len() - told.len();
    if let Some(outcome) = outcome.as_object_mut() {
        outcome.insert("steps".into(), told.into());
        if left_out > 0 || found.cut {
            outcome.insert("steps_left_out".into(), true.into());
        }
    }
}

fn told(step: &Step) -> Value {
    let mut told = json!({
        "name": step.name, "type": step.kind, "status": step.status, "run": step.run, "handled": step.handled,
    });
    if let Some(told) = told.as_object_mut() {
        if let Some(reason) = step.reason() {
            told.insert("reason".into(), reason.into());
        }
        if !step.within.is_empty() {
            told.insert("within".into(), step.within.join(" / ").into());
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use runwarden_awx::APPROVAL;

    use super::*;

    fn step(name: &str, kind: &str, status: &str) -> Step {
        Step {
            node: 1,
            name: name.into(),
            within: Vec::new(),
            workflow: 100,
            kind: kind.into(),
            status: status.into(),
            runs: name.into(),
            run: Some(7),
            handled: false,
            timed_out: false,
            lost: false,
        }
    }

    fn because(steps: Vec<Step>) -> Option<(&'static str, String)> {
        cause(&Steps { steps, cut: false })
    }

    #[test]
    fn the_step_that_nobody_handled_says_why_its_workflow_failed() {
        let denied = step("Release manager says yes", APPROVAL, "failed");
        let late = Step { timed_out: true, ..denied.clone() };
        let failed = step("deploy", "job", "failed");
        let lost = Step { lost: true, ..failed.clone() };
        let words = |text: &str| text.to_owned();
        for (steps, expected) in [
            (
                vec![step("build", "job", "successful"), denied.clone()],
                (
                    reason::APPROVAL_DENIED,
                    words("The approval step \"Release manager says yes\" was denied on the controller."),
                ),
            ),
            (
                vec![late.clone()],
                (
                    reason::APPROVAL_TIMED_OUT,
                    words("The approval step \"Release manager says yes\" was not given in time."),
                ),
            ),
            (vec![failed.clone()], (reason::PLAYBOOK_FAILED, words("The playbook of step \"deploy\" failed."))),
            (
                vec![Step { handled: true, ..failed.clone() }, denied],
                (
                    reason::APPROVAL_DENIED,
                    words("The approval step \"Release manager says yes\" was denied on the controller."),
                ),
            ),
            (
                vec![step("fetch", "project_update", "error")],
                (reason::STEP_FAILED, words("Step \"fetch\" could not be run.")),
            ),
            (
                vec![late, lost],
                (
                    reason::LOST,
                    words(
                        "The approval step \"Release manager says yes\" was not given in time; the controller lost the run \
                         of step \"deploy\", whose playbook may still be running.",
                    ),
                ),
            ),
        ] {
            assert_eq!(because(steps.clone()), Some(expected), "{steps:?}");
        }
        assert_eq!(because(vec![step("build", "job", "successful"), Step { handled: true, ..failed }]), None);
    }

    #[test]
    fn a_workflow_inside_is_told_of_by_its_own_steps() {
        let outer = Step { run: Some(200), ..step("outer", "workflow_job", "failed") };
        let inner = Step { workflow: 200, within: vec!["outer".into()], ..step("inner", "job", "failed") };
        let handled = Step { handled: true, ..inner.clone() };
        assert_eq!(because(vec![outer.clone(), handled]).unwrap().0, reason::STEP_FAILED, "it failed by itself");
        let told = because(vec![outer.clone(), inner]).unwrap();
        assert_eq!(told, (reason::PLAYBOOK_FAILED, "The playbook of step \"outer / inner\" failed.".to_owned()));
        assert_eq!(because(vec![outer]).unwrap().0, reason::STEP_FAILED, "its steps could not be read");
    }

    #[test]
    fn an_outcome_tells_of_a_bounded_number_of_steps_and_of_all_that_failed() {
        let mut steps: Vec<Step> = (0..500).map(|n| step(&format!("s{n}"), "job", "successful")).collect();
        steps[400].status = "failed".into();
        steps[400].handled = true;
        let mut outcome = json!({"status": "successful"});
        tell(&Steps { steps, cut: false }, &mut outcome);
        let told = outcome["steps"].as_array().unwrap();
        assert_eq!((told.len(), &outcome["steps_left_out"]), (200, &json!(true)));
        assert_eq!(
            told.last().unwrap(),
            &json!({"name": "s400", "type": "job", "status": "failed", "run": 7, "handled": true})
        );
        let long =
            |n: usize| Step { within: vec!["x".repeat(200); 4], ..step(&n.to_string().repeat(50), "job", "failed") };
        let mut large = json!({});
        tell(&Steps { steps: (0..200).map(long).collect(), cut: false }, &mut large);
        assert!(large.to_string().len() < MOST_BYTES + 100 && large["steps_left_out"] == true);
        let mut small = json!({});
        let inner = Step { within: vec!["outer".into()], ..step("ok?", APPROVAL, "failed") };
        tell(&Steps { steps: vec![inner], cut: false }, &mut small);
        assert_eq!(
            small,
            json!({"steps": [{"name": "ok?", "type": APPROVAL, "status": "failed", "run": 7, "handled": false,
                "reason": "denied", "within": "outer"}]})
        );
    }
}
