//! What really happened, by the controller's ledger, against what was reported.

use std::collections::BTreeMap;

use runwarden_harness::jobs::text;
use serde_json::Value;

use crate::faults::Fault;
use crate::kinds::{Course, SHARED};
use crate::levers::{Launch, Levers};
use crate::plan::{Act, Plan};
use crate::promises::{Broken, Promise};
use crate::trail::Trail;
use crate::witness::Told;

/// Compares.
pub(crate) struct Truth<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) levers: &'a Levers,
    pub(crate) told: &'a BTreeMap<String, Told>,
    pub(crate) trail: &'a Trail,
    pub(crate) broken: &'a Broken,
    /// How often nobody at all could tell what was launched for a job.
    pub(crate) blind: usize,
}

impl Truth<'_> {
    pub(crate) fn check(&self) {
        let launches = self.levers.launches();
        self.broken.unless(launches.len() == self.levers.controller.launched(), Promise::Nothing, || {
            format!("templates were launched that nobody asked for: {}", self.levers.ledger())
        });
        let mut by_job: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut nobodys = Vec::new();
        for launch in &launches {
            match self.whose(launch) {
                Some(id) => by_job.entry(id).or_default().push(launch.run),
                None => nobodys.push(launch),
            }
        }
        self.check_nobodys(&nobodys);
        for (id, told) in self.told {
            self.check_end(id, told);
            self.check_launches(id, told, by_job.get(id.as_str()).map(Vec::as_slice).unwrap_or_default());
        }
    }

    /// Whose launch it was: by the number that shows in it; where none does, by the run that a job was bound to.
    fn whose(&self, launch: &Launch) -> Option<&str> {
        let mut jobs = self.told.iter();
        let found = match launch.number {
            Some(number) => jobs.find(|(_, told)| told.order.number == number),
            None => jobs
                .find(|(id, told)| told.order.kind.id() == launch.kind.id() && self.trail.run(id) == Some(launch.run)),
        };
        found.map(|(id, _)| id.as_str())
    }

    fn check_nobodys(&self, launches: &[&Launch]) {
        let hands = self.levers.hands();
        // Of what was launched by hand without an answer nobody knows the run.
        let mut allowed = hands.lost + self.blind;
        for launch in launches {
            if launch.kind == SHARED && hands.runs.contains(&launch.run) {
                continue;
            }
            if launch.kind == SHARED && allowed > 0 {
                allowed -= 1;
                continue;
            }
            self.broken.note(
                Promise::Nothing,
                format!(
                    "run {} of {} was launched for no job (number {:?})",
                    launch.run, launch.kind.name, launch.number
                ),
            );
        }
    }

    fn check_launches(&self, id: &str, told: &Told, runs: &[u64]) {
        let Some(end) = &told.end else { return };
        let launched = end.get("launched_at").is_some();
        match (launched, runs) {
            (true, [run]) => {
                let bound = self.trail.run(id);
                self.broken.unless(bound == Some(*run), Promise::Once, || {
                    format!("{id} (job {}) became run {run} and is bound to {bound:?}", told.order.number)
                });
            }
            (false, []) => {}
            (true, _) => self.broken.note(
                Promise::Once,
                format!("job {} was launched {} times: runs {runs:?}: {end}", told.order.number, runs.len()),
            ),
            (false, _) => self.broken.note(
                Promise::Nothing,
                format!("job {} ended without a launch and was launched: runs {runs:?}: {end}", told.order.number),
            ),
        }
    }

    /// Whether it ended in a way that something in the round explains.
    fn check_end(&self, id: &str, told: &Told) {
        let Some(end) = &told.end else {
            self.broken
                .note(Promise::Ended, format!("{id} (job {}) has not ended: {}", told.order.number, told.accepted));
            return;
        };
        let launched = end.get("launched_at").is_some();
        let order = &told.order;
        let explained = match (text(end, "state"), text(end, "reason")) {
            ("succeeded", "") => launched && order.kind.course == Course::Succeeds,
            ("failed", "playbook_failed") => launched && order.kind.course == Course::Fails,
            ("failed", "lost") => launched && self.happened(|act| matches!(act, Act::Reap | Act::Delete)),
            ("failed", "given_up") => !launched && told.given_up,
            ("canceled", "canceled_by_caller") => order.cancel.is_some(),
            ("canceled", "duration_exceeded") => launched && order.kind.course == Course::TakesTooLong,
            ("error", "expired") => !launched && order.start_by.is_some(),
            ("error", "controller_unauthorized") => {
                !launched
                    && (self.happened(|act| matches!(act, Act::Lock(_)))
                        || self.struck(|fault| fault.name() == "unauthorized"))
            }
            ("error", "fields_ignored") => {
                launched && self.struck(|fault| fault.name() == "drop_marker" && fault.launches_of == Some(order.kind))
            }
            _ => false,
        };
        self.broken.unless(explained, Promise::Ended, || format!("nothing explains this end of {order}: {end}"));
        let doubtful = order.kind == SHARED && self.happened(|act| matches!(act, Act::ByHand { .. }))
            || self.struck(|fault| fault.hides_a_run() && fault.launches_of == Some(order.kind));
        self.broken.unless(!told.was_unknown || doubtful, Promise::Known, || {
            format!("{order} was left to a person, and could be known: {end}")
        });
    }

    fn happened(&self, what: impl Fn(&Act) -> bool) -> bool {
        self.plan.blows.iter().any(|blow| what(&blow.act))
    }

    fn struck(&self, what: impl Fn(&Fault) -> bool) -> bool {
        self.happened(|act| matches!(act, Act::Fault(fault) if what(fault)))
    }
}

/// Whether following a job anew tells exactly what whoever followed it from the beginning has.
pub(crate) fn same_story(id: &str, told: &Told, again: &[runwarden_harness::Event], broken: &Broken) {
    let again: Vec<_> = again.iter().filter(|event| event.id.is_some()).collect();
    let numbers = again.iter().zip(1..).all(|(event, number)| event.id == Some(number));
    broken.unless(numbers, Promise::Events, || {
        let numbers: Vec<_> = again.iter().filter_map(|event| event.id).collect();
        format!("the events of {id} are numbered {numbers:?}")
    });
    let both = told.events.iter().zip(&again);
    for (heard, now) in both {
        broken.unless(heard == *now, Promise::Events, || format!("{id}: {heard:?} was told and now it is {now:?}"));
    }
    if told.order.followed.is_some() {
        broken.unless(told.events.len() == again.len(), Promise::Events, || {
            format!("{id}: {} events came to whoever followed it, of {}", told.events.len(), again.len())
        });
    }
    let ends = again.iter().rev().find(|event| event.name == "state").map(|event| text(&event.data, "state"));
    let end = told.end.as_ref().map(|end| text(end, "state"));
    broken.unless(ends == end, Promise::Events, || format!("the events of {id} end with {ends:?}, and it is {end:?}"));
}

/// What of a list of jobs nobody was told of.
pub(crate) fn strangers(listed: &[Value], told: &BTreeMap<String, Told>, broken: &Broken) {
    for job in listed.iter().filter(|job| !told.contains_key(text(job, "id"))) {
        broken.note(Promise::Answers, format!("nobody was told of {job}: a key made two jobs"));
    }
}
