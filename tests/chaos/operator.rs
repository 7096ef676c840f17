//! The person to whom jobs are left that no machine can know about: looks at the controller's ledger, and says.

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
use crate::kinds::SHARED;
use crate::levers::Levers;
use crate::promises::Promise;

/// How often to look for work.
const LOOK: Duration = Duration::from_millis(700);

/// An operator of all tenants.
pub(crate) struct Operator {
    /// An administrator of each tenant, on the admin listener.
    pub(crate) admins: Vec<Caller>,
    pub(crate) levers: Arc<Levers>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) dice: Dice,
    /// How many jobs were resolved, and how.
    pub(crate) resolved: Vec<&'static str>,
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
        let by_hand = self.levers.hands();
        broken.unless(text(&job, "template") == SHARED.name, Promise::Known, || {
            format!("nothing but Runwarden launches what became {job}")
        });
        broken.unless(!by_hand.runs.is_empty() || by_hand.lost > 0, Promise::Known, || {
            format!("nobody has launched anything by hand, so it could be known what became of {job}")
        });
        let Some(candidates) = self.candidates(admin, id).await else { return };
        let Some(bound) = self.bound(admin, id).await else { return };
        let launched = self.levers.launched(SHARED);
        let mine: Vec<u64> =
            launched.iter().filter(|run| !by_hand.runs.contains(run) && !bound.contains(run)).copied().collect();
        let body = match mine.as_slice() {
            [run] => {
                broken.unless(candidates.contains(run), Promise::Known, || {
                    format!("{id} became run {run}, which is not among those a person is shown: {candidates:?}")
                });
                self.cannot_take_from_others(admin, id, &bound).await;
                json!({"action": "bind", "run": run, "reason": "It is in the controller's ledger."})
            }
            [] if self.dice.chance(70) => json!({"action": "retry", "reason": "All of them were launched by hand."}),
            [] => json!({"action": "give_up", "reason": "Nobody needs it any more."}),
            _ if by_hand.lost > 0 => json!({"action": "give_up", "reason": "Nobody can tell them apart."}),
            _ => {
                broken.note(Promise::Once, format!("{mine:?} were launched by nobody but Runwarden, for {id}"));
                json!({"action": "give_up", "reason": "This must not be."})
            }
        };
        self.strike().await;
        self.say(admin, id, &body).await;
    }

    /// The runs that a person is told of.
    async fn candidates(&self, admin: &Caller, id: &str) -> Option<BTreeSet<u64>> {
        let attempts = attempts(admin, id).await?;
        let last = attempts.last()?;
        Some(last["candidates"].as_array()?.iter().filter_map(Value::as_u64).collect())
    }

    /// The runs that the other jobs of the shared template are bound to.
    async fn bound(&self, admin: &Caller, id: &str) -> Option<BTreeSet<u64>> {
        let mut bound = BTreeSet::new();
        for (other, told) in admin.witness.told() {
            if told.order.kind != SHARED || other == id {
                continue;
            }
            let admin = self.admins.get(told.order.tenant)?;
            bound.extend(attempts(admin, &other).await?.iter().filter_map(|attempt| attempt["run"].as_u64()));
        }
        bound.remove(&0);
        Some(bound)
    }

    /// What belongs to another job is refused, whoever says otherwise.
    async fn cannot_take_from_others(&self, admin: &Caller, id: &str, bound: &BTreeSet<u64>) {
        let Some(run) = bound.first() else { return };
        let body = json!({"action": "bind", "run": run, "reason": "A slip."});
        let path = format!("/api/v1/jobs/{id}/resolve");
        if let Some(answer) = admin.ask(Method::POST, &path, None, Some(&body)).await {
            admin.witness.broken.unless((400..500).contains(&answer.status), Promise::Once, || {
                format!("{id} was given run {run}, which is another job's: {} {}", answer.status, answer.text)
            });
        }
    }

    /// Now and then whoever takes the word of the operator falls over it.
    async fn strike(&mut self) {
        let Some(failpoint) = Failpoint::at_resolving(&mut self.dice) else { return };
        let launchers: Vec<String> = self.fleet.launchers().map(str::to_owned).collect();
        for process in &launchers {
            let next = failpoint.settings();
            self.fleet.restart(process, Restart { signal: Signal::Kill, down: Duration::ZERO, next });
        }
    }

    async fn say(&mut self, admin: &Caller, id: &str, body: &Value) {
        let action = match text(body, "action") {
            "bind" => "bind",
            "retry" => "retry",
            _ => "give_up",
        };
        admin.witness.resolves(id, action);
        let path = format!("/api/v1/jobs/{id}/resolve");
        let Some(answer) = admin.ask(Method::POST, &path, None, Some(body)).await else { return };
        let job = admin.read(id, 0).await.unwrap_or_default();
        // A second request may come to what the first has done.
        let done = (200..300).contains(&answer.status) || (answer.status == 409 && text(&job, "state") != "unknown");
        admin.witness.broken.unless(done, Promise::Known, || {
            format!("{id} could not be resolved with {body}: {} {}", answer.status, answer.text)
        });
        self.resolved.push(action);
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
