//! What the audit log says of each job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::jobs::text;
use serde_json::Value;

use crate::caller::Caller;
use crate::promises::{Broken, Promise};
use crate::witness::Told;

/// How long the last records may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// The records of jobs, by job.
#[derive(Default)]
pub(crate) struct Trail(BTreeMap<String, Vec<Value>>);

impl Trail {
    /// Reads them, once the end of each of these jobs is among them.
    pub(crate) async fn read(admins: &[Caller], told: &BTreeMap<String, Told>) -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut trail = Self::default();
            for admin in admins {
                trail.add(admin).await;
            }
            let whole = told.keys().all(|id| trail.count(id, "job.finish") > 0);
            if whole || Instant::now() > end {
                return trail;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn add(&mut self, admin: &Caller) {
        let mut token = String::new();
        loop {
            let path = format!("/api/v1/audit/records?action=job.*&page_size=200&page_token={token}");
            let Some(answer) = admin.ask(Method::GET, &path, None, None).await else { return };
            let page = answer.json();
            for record in page["items"].as_array().into_iter().flatten() {
                self.0.entry(text(record, "object_id").to_owned()).or_default().push(record.clone());
            }
            text(&page, "next_page_token").clone_into(&mut token);
            if token.is_empty() {
                return;
            }
        }
    }

    fn of<'a>(&'a self, id: &str, action: &'a str) -> impl Iterator<Item = &'a Value> {
        let records = self.0.get(id).map(Vec::as_slice).unwrap_or_default();
        records.iter().filter(move |record| text(record, "action") == action)
    }

    fn count(&self, id: &str, action: &str) -> usize {
        self.of(id, action).count()
    }

    /// The run that a job was bound to.
    pub(crate) fn run(&self, id: &str) -> Option<u64> {
        self.of(id, "job.bind").next()?.pointer("/details/result/run_id")?.as_u64()
    }

    /// How many launches were begun that the last one was not.
    pub(crate) fn repeats(&self) -> usize {
        self.0.keys().map(|id| self.count(id, "job.launch").saturating_sub(1)).sum()
    }

    /// Whether each job is on record as it was.
    pub(crate) fn check(&self, told: &BTreeMap<String, Told>, broken: &Broken) {
        for (id, told) in told {
            let Some(end) = &told.end else { continue };
            let launched = end.get("launched_at").is_some();
            let begun = self.count(id, "job.launch");
            for (action, times) in [("job.submit", 1), ("job.bind", usize::from(launched)), ("job.finish", 1)] {
                let found = self.of(id, action).filter(|record| is_final(record)).count();
                broken.unless(found == times, Promise::Record, || {
                    format!("{id}: {found} times {action}, not {times}: {:?}", self.actions(id))
                });
            }
            broken.unless(begun > 0 || !launched, Promise::Record, || format!("{id} was launched without its intent"));
            let finish = self.of(id, "job.finish").find(|record| is_final(record));
            let state = finish.map(|record| text(&record["details"], "state")).unwrap_or_default();
            broken.unless(state == text(end, "state"), Promise::Record, || {
                format!("{id} is on record as {state:?} and is {end}")
            });
        }
        let submitted =
            self.0.keys().filter(|id| self.of(id, "job.submit").any(|record| text(record, "outcome") == "success"));
        let accepted: BTreeSet<&String> = told.keys().collect();
        for id in submitted.filter(|id| !accepted.contains(id)) {
            broken.note(Promise::Record, format!("{id} is on record as submitted, and nobody was told of it"));
        }
    }

    fn actions(&self, id: &str) -> Vec<String> {
        let records = self.0.get(id).map(Vec::as_slice).unwrap_or_default();
        let mut actions: Vec<(u64, String)> = records
            .iter()
            .map(|record| {
                (
                    record["index"].as_u64().unwrap_or_default(),
                    format!("{} {}", text(record, "action"), record["details"]),
                )
            })
            .collect();
        actions.sort();
        actions.into_iter().map(|(_, action)| action).collect()
    }
}

/// That a job was left to a person is on record like an end, and is none.
fn is_final(record: &Value) -> bool {
    text(&record["details"], "state") != "unknown" || text(record, "action") != "job.finish"
}

/// Whether the log in this folder proves itself.
pub(crate) fn verifies(program: &Path, data: &Path) -> Result<(), String> {
    let verified = Command::new(program).args(["audit", "verify", "--data-dir"]).arg(data).output();
    let verified = verified.map_err(|error| error.to_string())?;
    if verified.status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{}: {}{}", verified.status, text(&verified.stdout), text(&verified.stderr)))
}
