//! Callers, as they should be: they give every job a key and do not rest until they are answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api, Credentials, Event, Events};
use runwarden_kit::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::plan::{Manner, Order};
use crate::promises::Promise;
use crate::witness::Witness;

/// How long a caller waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits before it asks again.
const PAUSE: Duration = Duration::from_millis(150);
/// The pause after a 429, which is longer than `Retry-After` asks where too many streams are open.
const AFTER_429: Duration = Duration::from_secs(5);
/// A stream that says nothing for this long is opened again.
const SILENCE: Duration = Duration::from_secs(40);

/// A client of one tenant, with a token that is renewed when it does not hold any more.
#[derive(Clone)]
pub(crate) struct Caller {
    nobody: Api,
    credentials: Credentials,
    token: Arc<Mutex<Option<String>>>,
    pub(crate) witness: Arc<Witness>,
    /// When whatever was not answered by then is held against Runwarden.
    pub(crate) deadline: Instant,
}

impl Caller {
    pub(crate) fn new(base: &str, credentials: &Credentials, witness: Arc<Witness>, deadline: Instant) -> Self {
        let token = Arc::default();
        Self { nobody: Api::anonymous(base), credentials: credentials.clone(), token, witness, deadline }
    }

    /// Whether there is time left, after a pause.
    pub(crate) async fn may_go_on(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        Instant::now() < self.deadline
    }

    /// The API with a token; none when there is no time left to get one.
    async fn api(&self) -> Option<Api> {
        loop {
            if let Some(token) = self.token.lock().unwrap().as_ref() {
                return Some(self.nobody.bearing(token));
            }
            let answer = self.nobody.try_token(&self.credentials).await;
            if let Ok(answer) = answer
                && let Some(token) = answer.json().get("access_token").and_then(Value::as_str)
            {
                *self.token.lock().unwrap() = Some(token.to_owned());
            } else if !self.may_go_on().await {
                return None;
            }
        }
    }

    /// Sends a request once. None when no answer came that says anything about it.
    async fn once(&self, method: Method, path: &str, key: Option<&str>, body: Option<&Value>) -> Option<Answer> {
        let mut call = self.api().await?.call(method, path);
        if let Some(key) = key {
            call = call.header("idempotency-key", key);
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, call.try_send()).await else {
            self.witness.unheard();
            return None;
        };
        let later = match answer.status {
            401 => {
                *self.token.lock().unwrap() = None;
                true
            }
            // What is an error of Runwarden itself is in its log, and judged there.
            429 | 500 | 503 | 504 => true,
            409 => text(&answer.json(), "code") == "IDEMPOTENCY_IN_PROGRESS",
            _ => false,
        };
        if answer.status == 429 {
            // Hundreds that try again at once leave Runwarden no time for anything else.
            tokio::time::sleep(AFTER_429).await;
        }
        if later {
            self.witness.unheard();
        }
        (!later).then_some(answer)
    }

    /// Sends a request until it is answered. None when there was no time for that, which is held against Runwarden.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Answer> {
        loop {
            if let Some(answer) = self.once(method.clone(), path, key, body).await {
                return Some(answer);
            }
            if !self.may_go_on().await {
                self.witness.broken.note(Promise::Ended, format!("{method} {path} was never answered (key {key:?})"));
                return None;
            }
        }
    }

    /// Reads a job that was accepted.
    pub(crate) async fn read(&self, id: &str, wait: u64) -> Option<Value> {
        loop {
            let sent = Instant::now();
            let answer = self.once(Method::GET, &format!("/api/v1/jobs/{id}?wait={wait}"), None, None).await;
            match answer {
                Some(answer) if answer.status == 200 => {
                    let job = answer.json();
                    self.witness.read(sent, &job);
                    return Some(job);
                }
                Some(answer) => {
                    let what = format!("reading {id} was answered with {} {}", answer.status, answer.text);
                    self.witness.broken.note(Promise::Answers, what);
                    return None;
                }
                None if self.may_go_on().await => {}
                None => return None,
            }
        }
    }

    /// All that one order asks for.
    pub(crate) async fn carry_out(self, order: Order) {
        tokio::time::sleep_until((self.witness.began() + order.at).into()).await;
        let Some(id) = self.submit(&order).await else { return };
        tokio::join!(self.follow(&id, &order), self.cancel(&id, &order), self.look(&id));
    }

    /// Submits a job; its id if it was accepted.
    pub(crate) async fn submit(&self, order: &Order) -> Option<String> {
        let key = format!("chaos-{}", order.number);
        let mut body = json!({"template": order.kind.name, "parameters": order.kind.parameters(order.number)});
        if let Some(within) = order.start_by {
            body["start_by"] = json!(SystemClock.now().plus(within).rfc3339());
        }
        if order.manner == Manner::Wrongly {
            body["parameters"]["nobody-asked-for-this"] = json!(true);
        }
        let send = || self.once(Method::POST, "/api/v1/jobs", Some(&key), Some(&body));
        loop {
            let answers = match order.manner {
                Manner::AtOnce => {
                    let (one, other) = tokio::join!(send(), send());
                    vec![one, other]
                }
                // Whoever hangs up does so once and then wants to know.
                Manner::HangsUp(within) => {
                    let _unheard = tokio::time::timeout(within, send()).await;
                    vec![send().await]
                }
                Manner::Plainly | Manner::Wrongly => vec![send().await],
            };
            let heard: Vec<Answer> = answers.into_iter().flatten().collect();
            for answer in &heard {
                self.take(order, answer);
            }
            if !heard.is_empty() {
                return self.witness.id(order.number);
            }
            if !self.may_go_on().await {
                self.witness.broken.note(Promise::Ended, format!("{order} was never answered"));
                return None;
            }
        }
    }

    /// Takes in the answer to a request to submit.
    pub(crate) fn take(&self, order: &Order, answer: &Answer) {
        let refused = order.manner == Manner::Wrongly || order.start_by.is_some();
        match answer.status {
            202 if order.manner != Manner::Wrongly => self.witness.accepted(order, &answer.json()),
            422 if refused => self.witness.write(&format!("job {} is refused", order.number)),
            status => {
                let what = format!("{order} was answered with {status} {}", answer.text);
                self.witness.broken.note(Promise::Answers, what);
            }
        }
    }

    /// Follows a job from its beginning to its end, coming back whenever the stream breaks.
    async fn follow(&self, id: &str, order: &Order) {
        let Some(breaks) = order.followed else { return };
        loop {
            let Some(api) = self.api().await else { return };
            let mut call = api.call(Method::GET, &format!("/api/v1/jobs/{id}/events"));
            if let Some(last) = self.witness.last_event(id) {
                call = call.header("last-event-id", &last.to_string());
            }
            if let Ok(response) = call.try_open().await {
                match response.status().as_u16() {
                    200 if self.listen(id, Events::of(response), breaks).await => return,
                    204 => return,
                    404 => return self.witness.broken.note(Promise::Answers, format!("{id} cannot be followed: 404")),
                    _ => {}
                }
            }
            if !self.may_go_on().await {
                // Whether it has ended is told by whoever reads it.
                return;
            }
        }
    }

    /// Listens until the stream breaks; true if the job is over and all of it was told.
    async fn listen(&self, id: &str, mut events: Events, breaks: u64) -> bool {
        let mut heard = 0;
        while let Ok(Some(event)) = tokio::time::timeout(SILENCE, events.next()).await {
            match event.name.as_str() {
                "end" => return true,
                "error" => return false,
                _ => self.witness.event(id, &event),
            }
            heard += 1;
            // The caller's own connection breaks, too.
            if breaks > 0 && heard * breaks >= 100 {
                return false;
            }
        }
        false
    }

    /// All events of a job that is over, in one go.
    pub(crate) async fn story(&self, id: &str) -> Option<Vec<Event>> {
        loop {
            let call = self.api().await?.call(Method::GET, &format!("/api/v1/jobs/{id}/events"));
            if let Ok(response) = call.try_open().await
                && response.status().as_u16() == 200
                && let Ok(events) = tokio::time::timeout(PATIENCE, Events::of(response).rest()).await
                && events.last().is_some_and(|event| event.name == "end")
            {
                return Some(events);
            }
            if !self.may_go_on().await {
                self.witness
                    .broken
                    .note(Promise::Events, format!("{id} is over and its events do not come to their end"));
                return None;
            }
        }
    }

    /// Cancels a job that is to be, or that would never end.
    async fn cancel(&self, id: &str, order: &Order) {
        let Some(after) = order.cancel else { return };
        tokio::time::sleep(after).await;
        let path = format!("/api/v1/jobs/{id}/cancel");
        let sent = Instant::now();
        let Some(answer) = self.ask(Method::POST, &path, None, None).await else { return };
        match (answer.status, text(&answer.json(), "code")) {
            (202, _) => {
                let job = answer.json();
                self.witness.broken.unless(job["cancel_requested"] == true, Promise::Answers, || {
                    format!("{id} was to be stopped and the answer was {job}")
                });
                // The first request may have ended it, and this answer may be to the second.
                self.witness.read(sent, &job);
            }
            (409, "JOB_FINISHED") => {
                let over = self.read(id, 0).await;
                self.witness.broken.unless(self.witness.is_over(id), Promise::Answers, || {
                    format!("{id} was said to be over and is {over:?}")
                });
            }
            _ => self
                .witness
                .broken
                .note(Promise::Answers, format!("cancelling {id} was answered with {} {}", answer.status, answer.text)),
        }
    }

    /// Reads a job now and then until it is over.
    async fn look(&self, id: &str) {
        while Instant::now() < self.deadline && !self.witness.is_over(id) {
            let _job = self.read(id, 10).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
