//! Remembers every answer ever given, and notices when another one contradicts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use runwarden_harness::Event;
use runwarden_harness::jobs::text;
use serde_json::Value;

use crate::plan::Order;
use crate::promises::{Broken, Promise};

/// What of a job is the same in every answer.
const FIXED: [&str; 9] = [
    "id",
    "template",
    "project",
    "parameters",
    "requested_by",
    "requested_by_name",
    "created_at",
    "trace_id",
    "request_id",
];

/// Ends.
pub(crate) const OVER: [&str; 4] = ["succeeded", "failed", "canceled", "error"];

/// A job as it was reported to its callers.
#[derive(Clone)]
pub(crate) struct Told {
    /// The order that it came from.
    pub(crate) order: Order,
    /// The first answer, with which it was accepted.
    pub(crate) accepted: Value,
    /// Its states, and when each had been heard.
    states: Vec<(Instant, String)>,
    /// The answer that reported its end, once there was one.
    pub(crate) end: Option<Value>,
    /// Since when it is known that somebody asked for it to be stopped.
    cancelled: Option<Instant>,
    /// Whether an operator had it launched again.
    pub(crate) retried: bool,
    /// Whether an operator gave up on it.
    pub(crate) given_up: bool,
    /// Whether it was left to a person at some time.
    pub(crate) was_unknown: bool,
    /// Its events, as its follower has them.
    pub(crate) events: Vec<Event>,
}

#[derive(Default)]
struct Memory {
    /// By the number of the order, which is its idempotency key.
    ids: BTreeMap<u32, String>,
    told: BTreeMap<String, Told>,
    answers: usize,
    unheard: usize,
    history: Vec<String>,
}

/// The one who remembers.
pub(crate) struct Witness {
    memory: Mutex<Memory>,
    pub(crate) broken: Arc<Broken>,
    began: Instant,
}

/// Whether a job that was in one state may be found in another.
fn may_follow(before: &str, after: &str, retried: bool) -> bool {
    let rank = |state: &str| match state {
        "new" | "awaiting_approval" => 0,
        "launching" => 1,
        "unknown" => 2,
        "running" => 3,
        _ => 4,
    };
    if OVER.contains(&before) {
        return before == after;
    }
    rank(before) <= rank(after) || (before == "unknown" && after == "launching" && retried)
}

impl Witness {
    pub(crate) fn new(broken: Arc<Broken>) -> Self {
        Self { memory: Mutex::default(), broken, began: Instant::now() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// When the round began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Writes down what was heard, for those who look for what went wrong.
    pub(crate) fn write(&self, what: &str) {
        let line = format!("{:>9.3} {what}", self.began.elapsed().as_secs_f64());
        self.memory().history.push(line);
    }

    /// A request to which no answer came, or only that one should come back later.
    pub(crate) fn unheard(&self) {
        self.memory().unheard += 1;
    }

    /// A job was accepted, with this answer to a request that was sent then.
    pub(crate) fn accepted(&self, order: &Order, answer: &Value) {
        let id = text(answer, "id").to_owned();
        self.write(&format!("job {} is {id}", order.number));
        let mut memory = self.memory();
        memory.answers += 1;
        let before = memory.ids.entry(order.number).or_insert_with(|| id.clone()).clone();
        self.broken.unless(before == id, Promise::Answers, || {
            format!("the key of job {} was answered with {before} and with {id}", order.number)
        });
        let known = memory.told.len();
        let told = memory.told.entry(id.clone()).or_insert_with(|| Told {
            order: order.clone(),
            accepted: answer.clone(),
            states: Vec::new(),
            end: None,
            cancelled: None,
            retried: false,
            given_up: false,
            was_unknown: false,
            events: Vec::new(),
        });
        self.broken.unless(told.order.number == order.number, Promise::Answers, || {
            format!("{id} is the answer to the keys of jobs {} and {}", told.order.number, order.number)
        });
        self.broken.unless(told.accepted == *answer, Promise::Answers, || {
            format!("the same request was answered with {} and with {answer}", told.accepted)
        });
        let new = memory.told.len() > known;
        if new {
            self.broken.unless(text(answer, "state") == "new", Promise::Answers, || format!("accepted as {answer}"));
            let asked = order.kind.parameters(order.number);
            self.broken.unless(answer["parameters"] == asked, Promise::Answers, || {
                format!("{asked} was asked for and answered with {answer}")
            });
        }
    }

    /// A job was read, by a request that was sent then.
    pub(crate) fn read(&self, sent: Instant, job: &Value) {
        let (id, state) = (text(job, "id"), text(job, "state"));
        let mut memory = self.memory();
        memory.answers += 1;
        let began = self.began;
        let Some(told) = memory.told.get_mut(id) else { return };
        for field in FIXED {
            self.broken.unless(job[field] == told.accepted[field], Promise::Answers, || {
                format!("{id}: {field} was {} and is {}", told.accepted[field], job[field])
            });
        }
        for (heard, before) in &told.states {
            // What was asked at the same time may be answered in any order.
            if *heard < sent && !may_follow(before, state, told.retried) {
                self.broken.note(Promise::States, format!("{id} was {before} and is {state}: {job}"));
            }
        }
        let cancelled = job["cancel_requested"] == true;
        self.broken.unless(cancelled || told.cancelled.is_none_or(|heard| heard >= sent), Promise::Answers, || {
            format!("{id}: somebody was told that it was asked to stop, and now it was not: {job}")
        });
        // Whether a job may still be found alive depends on when that was asked: the states above are compared by that.
        if let Some(end) = told.end.as_ref().filter(|_| OVER.contains(&state)) {
            self.broken.unless(end == job, Promise::States, || format!("an end changed from {end} to {job}"));
        }
        if cancelled && told.cancelled.is_none() {
            told.cancelled = Some(Instant::now());
        }
        told.was_unknown |= state == "unknown";
        let is_news = told.states.last().is_none_or(|(_, last)| last != state);
        if is_news {
            told.states.push((Instant::now(), state.to_owned()));
        }
        if told.end.is_none() && OVER.contains(&state) {
            told.end = Some(job.clone());
        }
        if is_news {
            let line = format!("{:>9.3} {id} is {state} {}", began.elapsed().as_secs_f64(), text(job, "reason"));
            memory.history.push(line);
        }
    }

    /// An event came to the follower of a job from its beginning.
    pub(crate) fn event(&self, id: &str, event: &Event) {
        let mut memory = self.memory();
        memory.answers += 1;
        let Some(told) = memory.told.get_mut(id) else { return };
        let last = told.events.last().and_then(|event| event.id).unwrap_or(0);
        self.broken.unless(event.id == Some(last + 1), Promise::Events, || {
            format!("{id}: event {:?} came after event {last}", event.id)
        });
        if event.name == "state" {
            let before = told.events.iter().rev().find(|event| event.name == "state");
            let (before, after) =
                (before.map_or("new", |event| text(&event.data, "state")), text(&event.data, "state"));
            self.broken.unless(may_follow(before, after, told.retried), Promise::States, || {
                format!("{id}: its events tell of {before} and then of {after}")
            });
        }
        told.events.push(event.clone());
    }

    /// The number of the last event that a job's follower has.
    pub(crate) fn last_event(&self, id: &str) -> Option<u64> {
        self.memory().told.get(id)?.events.last()?.id
    }

    /// An operator is about to have something done about a job that is unknown.
    pub(crate) fn resolves(&self, id: &str, action: &str) {
        self.write(&format!("{id}: an operator says {action}"));
        if let Some(told) = self.memory().told.get_mut(id) {
            told.retried |= action == "retry";
            told.given_up |= action == "give_up";
        }
    }

    /// Whether a job is known to be over.
    pub(crate) fn is_over(&self, id: &str) -> bool {
        self.memory().told.get(id).is_some_and(|told| told.end.is_some())
    }

    /// Whether the job of an order is known to be bound to a run and not over.
    pub(crate) fn is_running(&self, number: u32) -> bool {
        let memory = self.memory();
        let told = memory.ids.get(&number).and_then(|id| memory.told.get(id));
        told.is_some_and(|told| told.states.last().is_some_and(|(_, state)| state == "running"))
    }

    /// Whether the job of an order is known to have been launched.
    pub(crate) fn is_launched(&self, number: u32) -> bool {
        let memory = self.memory();
        let told = memory.ids.get(&number).and_then(|id| memory.told.get(id));
        told.is_some_and(|told| told.end.as_ref().is_some_and(|end| end.get("launched_at").is_some()))
    }

    /// The id that an order's key was answered with.
    pub(crate) fn id(&self, number: u32) -> Option<String> {
        self.memory().ids.get(&number).cloned()
    }

    /// Every job that was accepted.
    pub(crate) fn told(&self) -> BTreeMap<String, Told> {
        self.memory().told.clone()
    }

    /// How many answers there were, and how many requests without one.
    pub(crate) fn answers(&self) -> (usize, usize) {
        let memory = self.memory();
        (memory.answers, memory.unheard)
    }

    /// How many jobs were accepted, and how many of them are known to be over.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let memory = self.memory();
        (memory.told.len(), memory.told.values().filter(|told| told.end.is_some()).count())
    }

    /// All that was written down.
    pub(crate) fn history(&self) -> String {
        self.memory().history.join("\n")
    }
}

#[test]
fn what_may_follow_what() {
    for (before, after) in [("new", "running"), ("launching", "launching"), ("unknown", "running"), ("error", "error")]
    {
        assert!(may_follow(before, after, false), "{before} {after}");
    }
    for (before, after) in
        [("running", "launching"), ("succeeded", "failed"), ("unknown", "launching"), ("launching", "new")]
    {
        assert!(!may_follow(before, after, false), "{before} {after}");
    }
    assert!(may_follow("unknown", "launching", true));
}
