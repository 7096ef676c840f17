//! Events, sent as GitLab does, to either system.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use runwarden_sandbox::LedgerEntry;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::PATIENCE;
use super::hook::KEY;
use crate::controller::Controller;
use crate::figures::{Times, ms};

/// How often it is looked whether all were launched.
const LOOK: Duration = Duration::from_millis(200);

/// Sends events to one address.
#[derive(Clone)]
pub(super) struct Sender {
    http: reqwest::Client,
    url: String,
}

/// An event that was sent.
struct Sent {
    number: u64,
    /// When sending it began, microseconds since 1970.
    began: i128,
    /// How long the answer took, milliseconds.
    answered: f64,
    /// Whether the answer was a success.
    taken: bool,
}

/// What became of events.
pub(super) struct Became {
    /// How many were sent.
    pub(super) sent: usize,
    /// How many were answered with success.
    pub(super) taken: usize,
    /// How many of those were launched.
    pub(super) launched: usize,
    /// How many launches there were beyond one for each event.
    pub(super) twice: usize,
    /// From sending to the answer, milliseconds.
    pub(super) answer: Times,
    /// From sending to the launch request's arrival at the controller, of those that were launched.
    pub(super) launch: Times,
    /// Launches a second, from the first to the last.
    pub(super) rate: f64,
}

impl Sender {
    /// To this address.
    pub(super) fn to(url: String) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        Self { http, url }
    }

    /// Sends these at a rate, whatever becomes of those before, and waits until they were launched, or long enough.
    /// `meanwhile` is done as soon as the last was answered.
    pub(super) async fn at_rate(
        &self,
        controller: &Controller,
        numbers: Range<u64>,
        rate: u64,
        meanwhile: impl AsyncFnOnce(),
        patience: Duration,
    ) -> Became {
        let before = controller.launches().await;
        let start = Instant::now() + Duration::from_millis(50);
        let mut under_way = JoinSet::new();
        for (place, number) in (0..).zip(numbers) {
            tokio::time::sleep_until(start + Duration::from_micros(1_000_000 * place / rate)).await;
            let sender = self.clone();
            under_way.spawn(async move { sender.send(number).await });
        }
        let sent = under_way.join_all().await;
        meanwhile().await;
        let wanted = sent.iter().filter(|event| event.taken).count() as u64;
        let end = Instant::now() + patience;
        while controller.launches().await < before + wanted && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        became(&sent, &controller.ledger(before).await)
    }

    async fn send(&self, number: u64) -> Sent {
        let began = i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros());
        let begun = Instant::now();
        let request = self
            .http
            .post(&self.url)
            .bearer_auth(KEY)
            .header("x-gitlab-token", KEY)
            .header("x-gitlab-event", "Push Hook")
            .header("idempotency-key", number.to_string())
            .json(&json!({"object_kind": "push", "ref": "refs/heads/main", "n": number}));
        let taken = match request.send().await {
            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        Sent { number, began: began.expect("a time of this age"), answered: ms(begun.elapsed()), taken }
    }
}

fn became(sent: &[Sent], ledger: &[LedgerEntry]) -> Became {
    let mut arrived: HashMap<u64, i128> = HashMap::new();
    let mut twice = 0;
    for entry in ledger {
        let at = entry.requested_at.unix_timestamp_nanos() / 1000;
        let number = entry.extra_vars.get("n").and_then(number).expect("the event's number");
        match arrived.entry(number) {
            Entry::Vacant(place) => _ = place.insert(at),
            // The first one counts.
            Entry::Occupied(_) => twice += 1,
        }
    }
    let delay = |event: &Sent| arrived.get(&event.number).map(|at| (at - event.began) as f64 / 1000.0);
    let (first, last) = (arrived.values().min(), arrived.values().max());
    let span = first.zip(last).map_or(f64::NAN, |(first, last)| (last - first) as f64 / 1_000_000.0);
    let taken = || sent.iter().filter(|event| event.taken);
    Became {
        sent: sent.len(),
        taken: taken().count(),
        launched: taken().filter(|event| arrived.contains_key(&event.number)).count(),
        twice,
        answer: Times::of(sent.iter().map(|event| event.answered)),
        launch: Times::of(taken().filter_map(delay)),
        rate: (arrived.len().saturating_sub(1)) as f64 / span,
    }
}

/// A rulebook's template makes a text of a number.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
