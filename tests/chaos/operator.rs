//! The person who decides about ambiguous launches: looks at the controller's ledger, and says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use runwarden_harness::fleet::Restart;
use runwarden_harness::jobs::text;
use runwarden_harness::{Fleet, Signal};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::dice::Dice;
use crate::failpoints::Failpoint;
use crate::kinds::{Kind, Shown};
use crate::levers::{Launch, Levers};
use crate::promises::Promise;
use crate::witness::Told;

/// How often to look for work.
const LOOK: Duration = Duration::from_millis(700);

/// An operator of all tenants.
pub(crate) struct Operator {
    /// An administrator of each tenant, on the admin listener.
    pub(crate) admins: Vec<Caller>,
    pub(crate) levers: Arc<Levers>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) dice: Dice,
    pub(crate) resolved: Resolved,
}

/// How many jobs were resolved, and how.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    bound: usize,
    retried: usize,
    given_up: usize,
    /// How often nobody at all could tell what was launched for a job.
    pub(crate) blind: usize,
}

impl Operator {
    /// Resolves what is unknown until there is nothing to be done any more.
    pub(crate) async fn work(mut self, over: Arc<tokio::sync::Notify>) -> Self {
        loop {
            for at in 0..self.admins.len() {
                let admin = self.admins[at].clone();
                let list = admin.ask(Method::GET, "/api/v1/jobs?state=unknown&page_size=200", None, None).await;
                let jobs = list.map(|list| list.json()["items"].as_array().cloned().unwrap_or_default());
                for job in jobs.unwrap_or_default() {
                    self.resolve(&admin, text(&job, "id")).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = over.notified() => return self,
            }
        }
    }

    async fn resolve(&mut self, admin: &Caller, id: &str) {
        let witness = admin.witness.clone();
        let Some(job) = admin.read(id, 0).await else { return };
        if text(&job, "state") != "unknown" {
            return;
        }
        let broken = &witness.broken;
        let Some(told) = witness.told().remove(id) else { return };
        let Some(candidates) = self.candidates(admin, id).await else { return };
        let Some(mine) = self.truth(admin, id, &told).await else { return };
        let body = match mine.as_slice() {
            [run] => {
                broken.unless(candidates.contains(run), Promise::Known, || {
                    format!("{id} became run {run}, which is not among those a person is shown: {candidates:?}")
                });
                self.cannot_take_from_others(admin, id, &told).await;
                json!({"action": "bind", "run": run, "reason": "It is in the controller's ledger."})
            }
            [] if self.dice.chance(70) => json!({"action": "retry", "reason": "It is not in the controller's ledger."}),
            [] => json!({"action": "give_up", "reason": "Nobody needs it any more."}),
            _ => {
                self.resolved.blind += 1;
                broken.unless(self.levers.hands().lost > 0, Promise::Once, || {
                    format!("{mine:?} were launched by nobody but Runwarden, for {id}")
                });
                json!({"action": "give_up", "reason": "Nobody can tell them apart."})
            }
        };
        self.strike();
        self.say(admin, id, &body).await;
    }

    /// The runs that a job became, as only the ledger can tell: one, or none.
    async fn truth(&self, admin: &Caller, id: &str, told: &Told) -> Option<Vec<u64>> {
        let launches = self.levers.launches().into_iter().filter(|launch| launch.kind.id() == told.order.kind.id());
        if told.order.kind.shown != Shown::Nowhere {
            let mine = launches.filter(|launch| launch.number == Some(told.order.number));
            return Some(mine.map(|launch| launch.run).collect());
        }
        // Neither one of those that others are bound to, nor one that was launched by hand.
        let (bound, hands) = (self.bound(admin, id, told.order.kind).await?, self.levers.hands());
        let mine = launches.map(|launch| launch.run).filter(|run| !bound.contains(run) && !hands.runs.contains(run));
        Some(mine.collect())
    }

    /// The runs that a person is shown.
    async fn candidates(&self, admin: &Caller, id: &str) -> Option<BTreeSet<u64>> {
        let attempts = attempts(admin, id).await?;
        let last = attempts.last()?;
        Some(last["candidates"].as_array()?.iter().filter_map(Value::as_u64).collect())
    }

    /// The runs that the other jobs of a template are bound to.
    async fn bound(&self, admin: &Caller, id: &str, kind: &Kind) -> Option<BTreeSet<u64>> {
        let mut bound = BTreeSet::new();
        for (other, told) in admin.witness.told() {
            if told.order.kind != kind || other == id {
                continue;
            }
            let admin = self.admins.get(told.order.tenant)?;
            bound.extend(attempts(admin, &other).await?.iter().filter_map(|attempt| attempt["run"].as_u64()));
        }
        bound.remove(&0);
        Some(bound)
    }

    /// What belongs to another job is refused, whoever says otherwise.
    async fn cannot_take_from_others(&self, admin: &Caller, id: &str, told: &Told) {
        let launches = self.levers.launches();
        let another = |launch: &&Launch| {
            let other = |number: u32| number != told.order.number && admin.witness.is_launched(number);
            launch.kind.id() == told.order.kind.id() && launch.number.is_some_and(other)
        };
        let Some(run) = launches.iter().rev().find(another).map(|launch| launch.run) else { return };
        let body = json!({"action": "bind", "run": run, "reason": "A slip."});
        let path = format!("/api/v1/jobs/{id}/resolve");
        if let Some(answer) = admin.ask(Method::POST, &path, None, Some(&body)).await {
            admin.witness.broken.unless((400..500).contains(&answer.status), Promise::Once, || {
                format!("{id} was given run {run}, which is another job's: {} {}", answer.status, answer.text)
            });
        }
    }

    /// Now and then whoever takes the word of the operator falls over it.
    fn strike(&mut self) {
        let Some(failpoint) = Failpoint::at_resolving(&mut self.dice) else { return };
        let launchers: Vec<String> = self.fleet.launchers().map(str::to_owned).collect();
        for process in &launchers {
            let next = failpoint.settings();
            self.fleet.restart(process, Restart { signal: Signal::Kill, ripe: None, down: Duration::ZERO, next });
        }
    }

    async fn say(&mut self, admin: &Caller, id: &str, body: &Value) {
        let action = text(body, "action");
        admin.witness.resolves(id, action);
        let path = format!("/api/v1/jobs/{id}/resolve");
        let Some(answer) = admin.ask(Method::POST, &path, None, Some(body)).await else { return };
        if text(&answer.json(), "code").starts_with("CONTROLLER_") {
            // The run cannot be looked at now; the job is still unknown, and there will be another look.
            return;
        }
        let job = admin.read(id, 0).await.unwrap_or_default();
        // A second request may come to what the first has done.
        let done = (200..300).contains(&answer.status) || (answer.status == 409 && text(&job, "state") != "unknown");
        admin.witness.broken.unless(done, Promise::Known, || {
            format!("{id} could not be resolved with {body}: {} {}", answer.status, answer.text)
        });
        match action {
            "bind" => self.resolved.bound += 1,
            "retry" => self.resolved.retried += 1,
            _ => self.resolved.given_up += 1,
        }
    }
}

async fn attempts(admin: &Caller, id: &str) -> Option<Vec<Value>> {
    let answer = admin.ask(Method::GET, &format!("/api/v1/jobs/{id}/attempts"), None, None).await?;
    let attempts = answer.json()["items"].as_array().cloned();
    admin.witness.broken.unless(attempts.is_some(), Promise::Known, || {
        format!("the attempts of {id} cannot be read: {} {}", answer.status, answer.text)
    });
    attempts
}
