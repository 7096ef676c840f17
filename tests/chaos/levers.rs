//! The controller from behind: its levers, and somebody who uses Runwarden's account there by hand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::{Api, Controller};
use runwarden_sandbox::LedgerEntry;
use serde_json::{Value, json};

use crate::kinds::{KINDS, Kind, SHARED};
use crate::witness::Witness;

/// How long to wait for a launch to be struck by its fault before giving up on disturbing it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody launched by hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hands {
    /// The runs it became.
    pub(crate) runs: BTreeSet<u64>,
    /// Launches whose answer was lost, so that nobody knows their run.
    pub(crate) lost: usize,
}

/// Levers.
pub(crate) struct Levers {
    pub(crate) controller: Controller,
    control: Api,
    account: Api,
    hands: Arc<Mutex<Hands>>,
}

impl Levers {
    pub(crate) fn of(controller: Controller) -> Self {
        let sandbox = controller.sandbox();
        let control = Api::with_token(&sandbox.url(), &sandbox.control_token());
        let account = Api::with_token(&sandbox.url(), &sandbox.token());
        Self { controller, control, account, hands: Arc::default() }
    }

    /// What was launched by hand so far.
    pub(crate) fn hands(&self) -> Hands {
        self.hands.lock().unwrap().clone()
    }

    /// The controller is well again.
    pub(crate) async fn mend(&self) {
        self.controller.clear_faults().await;
        self.controller.dispatch(true).await;
        self.controller.set_clock(0).await;
        self.controller.unlock_account("runwarden").await;
    }

    /// How many faults are still due at a template's launches.
    async fn due_at(&self, kind: &Kind) -> usize {
        let faults = self.control.get("/sandbox/faults").await.expect(200);
        let path = kind.launch_path();
        let items = faults["items"].as_array();
        items.map_or(0, |faults| faults.iter().filter(|fault| fault["path"] == path.as_str()).count())
    }

    /// Launches the shared template by hand, so many times, as soon as the fault that was ordered for it has struck.
    pub(crate) async fn launch_by_hand(&self, times: u64) {
        let end = Instant::now() + PATIENCE;
        while self.due_at(SHARED).await > 0 {
            if Instant::now() > end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..times {
            self.launch_once_by_hand().await;
        }
    }

    async fn launch_once_by_hand(&self) {
        let path = format!("/api/v2/job_templates{}/", SHARED.launch_path());
        let call = self.account.call(Method::POST, &path).json(&json!({}));
        let answer = call.try_send().await;
        let mut hands = self.hands.lock().unwrap();
        match answer {
            Ok(answer) if answer.status == 201 => match answer.json()["id"].as_u64() {
                Some(run) => drop(hands.runs.insert(run)),
                None => hands.lost += 1,
            },
            // The account is locked.
            Ok(answer) if answer.status == 401 => {}
            Ok(_) | Err(_) => hands.lost += 1,
        }
    }

    /// The controller loses a run that goes on.
    pub(crate) async fn reap(&self) {
        let ledger = self.controller.ledger();
        if let Some(entry) = ledger.iter().rev().find(|entry| entry.ran.status == "running") {
            self.controller.reap(entry.run).await;
        }
    }

    /// The controller deletes a run that goes on and of which Runwarden knows: of another nobody could know.
    pub(crate) async fn delete(&self, witness: &Witness) {
        let known = |launch: &Launch| launch.number.is_some_and(|number| witness.is_running(number));
        let ledger = self.controller.ledger();
        // One that was deleted before is taken to run for a while.
        let there = ledger.iter().rev().filter(|entry| entry.ran.status != "deleted");
        if let Some(launch) = there.filter_map(Launch::of).find(known) {
            self.controller.delete_run(launch.run).await;
        }
    }

    /// All launches of the round's templates, in their order.
    pub(crate) fn launches(&self) -> Vec<Launch> {
        self.controller.ledger().iter().filter_map(Launch::of).collect()
    }

    /// The ledger, for people.
    pub(crate) fn ledger(&self) -> Value {
        json!(self.controller.ledger())
    }
}

/// A launch that took place.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) run: u64,
    /// The template. Where two of Runwarden's lead to one of the controller's, the first.
    pub(crate) kind: &'static Kind,
    /// The number of the job that it was sent for, as far as it shows in what was sent.
    pub(crate) number: Option<u32>,
}

impl Launch {
    fn of(entry: &LedgerEntry) -> Option<Self> {
        let kind = KINDS.iter().chain([SHARED]).find(|kind| kind.id() == entry.template)?;
        let dropped = |field: &str| entry.ignored_fields.get(field).cloned().unwrap_or_default();
        let number = kind
            .number(&json!(entry.extra_vars), &entry.skip_tags)
            .or_else(|| kind.number(&dropped("extra_vars"), dropped("skip_tags").as_str().unwrap_or_default()));
        Some(Self { run: entry.run, kind, number })
    }
}
