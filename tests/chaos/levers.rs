//! The controller from behind: its levers, and somebody who uses Runwarden's account there by hand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::{Api, Controller};
use serde_json::{Value, json};

use crate::kinds::{Kind, SHARED};

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

    /// All that was ordered and has not struck is forgotten.
    pub(crate) async fn forget_faults(&self) {
        let answer = self.control.call(Method::DELETE, "/sandbox/faults").send().await;
        assert_eq!(answer.status, 204, "{answer:?}");
        self.controller.dispatch(true).await;
    }

    /// How many faults are still due at a template's launches.
    async fn due_at(&self, kind: &Kind) -> usize {
        let faults = self.control.get("/sandbox/faults").await.expect(200);
        let path = kind.launch_path();
        let items = faults["items"].as_array();
        items.map_or(0, |faults| faults.iter().filter(|fault| fault["path"] == path.as_str()).count())
    }

    /// Launches the shared template by hand as soon as the fault that was ordered for it has struck.
    pub(crate) async fn launch_by_hand(&self) {
        let end = Instant::now() + PATIENCE;
        while self.due_at(SHARED).await > 0 {
            if Instant::now() > end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let path = format!("/api/v2/job_templates{}/", SHARED.launch_path());
        let call = self.account.call(Method::POST, &path).json(&json!({}));
        let answer = call.try_send().await.ok().filter(|answer| answer.status == 201);
        let run = answer.and_then(|answer| answer.json()["id"].as_u64());
        let mut hands = self.hands.lock().unwrap();
        match run {
            Some(run) => {
                hands.runs.insert(run);
            }
            None => hands.lost += 1,
        }
    }

    /// A run that goes on is lost.
    pub(crate) async fn reap(&self) {
        let ledger = self.controller.sandbox().ledger();
        if let Some(entry) = ledger.iter().rev().find(|entry| entry.ran.status == "running") {
            self.controller.reap(entry.run).await;
        }
    }

    /// The tags that a run was told to skip, which the ledger does not have.
    pub(crate) async fn skip_tags(&self, run: u64) -> String {
        let job = self.account.get(&format!("/api/v2/jobs/{run}/")).await.expect(200);
        job["skip_tags"].as_str().unwrap_or_default().to_owned()
    }

    /// What was launched from a template: the runs, in their order.
    pub(crate) fn launched(&self, kind: &Kind) -> BTreeSet<u64> {
        self.controller.launches(kind.sandbox).into_iter().collect()
    }

    /// The ledger, for people.
    pub(crate) fn ledger(&self) -> Value {
        json!(self.controller.sandbox().ledger())
    }
}
