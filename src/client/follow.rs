//! Following a job to its end. A connection that breaks is made again where it broke: nothing is shown twice or lost.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::failure::{Exit, Failure};
use super::view::View;
use crate::api::{Api, CallError, Event, Events, Refusal};
use crate::terminal::note;

/// For how long a job is followed without any word of it.
const GIVE_UP: Duration = Duration::from_secs(600);
/// The first pause before a connection is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Follows a job until it has ended, or waits for a person, and answers it as it is then.
///
/// # Errors
/// When it cannot be read, or there is no word of it for [`GIVE_UP`].
pub(super) async fn follow(api: &Api, id: &str, view: &mut View) -> Result<Value, Failure> {
    let mut following = Following { api, id, last: None, patience: Patience::new(Instant::now()) };
    loop {
        let ended = match following.until_it_ends(view).await {
            Err(failure) if failure.exit == Exit::NotNow => Ended::Broken(failure),
            other => other?,
        };
        let now = Instant::now();
        let pause = match ended {
            Ended::Over(job) => return Ok(job),
            // The server ends streams when it stops: it is back in a moment.
            Ended::Stopped => following.patience.next(now).unwrap_or(FIRST_PAUSE),
            Ended::Broken(failure) => {
                let Some(pause) = following.patience.next(now) else { return Err(failure) };
                note(&format!("the connection broke; trying again in {}", humantime::format_duration(pause)));
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// How an attempt to follow ended.
enum Ended {
    /// With the job's end: this is the job.
    Over(Value),
    /// The server ended it, and can be asked for what comes next.
    Stopped,
    /// Something on the way broke it.
    Broken(Failure),
}

/// How long to go on without any word of a job.
struct Patience {
    /// When there was word of it for the last time.
    heard: Instant,
    /// The next pause.
    pause: Duration,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { heard: now, pause: FIRST_PAUSE }
    }

    /// There was word of the job.
    fn heard(&mut self, at: Instant) {
        if at > self.heard {
            *self = Self::new(at);
        }
    }

    /// How long to wait before the next attempt; none when it is time to give up.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        (now.saturating_duration_since(self.heard) + pause <= GIVE_UP).then_some(pause)
    }
}

struct Following<'a> {
    api: &'a Api,
    id: &'a str,
    /// The last event that was shown.
    last: Option<String>,
    patience: Patience,
}

impl Following<'_> {
    /// Shows what comes, until the stream ends.
    async fn until_it_ends(&mut self, view: &mut View) -> Result<Ended, Failure> {
        let answer = match self.api.open(&self.path("/events"), self.last.as_deref()).await {
            Err(error) if error.wants_token() => {
                self.api.renew().await?;
                self.api.open(&self.path("/events"), self.last.as_deref()).await?
            }
            other => other?,
        };
        if answer.status() == StatusCode::NO_CONTENT {
            return self.job().await.map(Ended::Over);
        }
        let mut events = Events::of(answer);
        let ended = self.shown(&mut events, view).await;
        // A stream that only opens says nothing of the job: one that ends at once, again and again, leads nowhere.
        match (events.last_word(), ended?) {
            (None, Ended::Stopped) => {
                let why = format!("the events of {} ended before the first one arrived", self.id);
                Ok(Ended::Broken(Failure::new(Exit::NotNow, why)))
            }
            (_, ended) => Ok(ended),
        }
    }

    async fn shown(&mut self, events: &mut Events, view: &mut View) -> Result<Ended, Failure> {
        loop {
            let event = events.next().await;
            if let Some(at) = events.last_word() {
                self.patience.heard(at);
            }
            let ended = match event {
                Ok(Some(event)) => self.take(event, view).await?,
                Ok(None) => Some(Ended::Stopped),
                Err(error) => Some(Ended::Broken(Failure::new(Exit::NotNow, format!("{error:#}")))),
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Shows one event, and says whether it is the last.
    async fn take(&mut self, event: Event, view: &mut View) -> Result<Option<Ended>, Failure> {
        let Event { id, name, data } = event;
        match name.as_str() {
            "output" => view.output(data.get("text").and_then(Value::as_str).unwrap_or_default())?,
            "state" => {
                view.state(&data);
                if is_unknown(&data) {
                    // It may have been, and be past.
                    let now = self.job().await?;
                    if is_unknown(&now) {
                        return Ok(Some(Ended::Over(now)));
                    }
                }
            }
            "end" => return self.job().await.map(|job| Some(Ended::Over(job))),
            "error" => return self.interrupted(data).await.map(Some),
            _ => {}
        }
        // Only once it has been shown: it is asked for again otherwise.
        if id.is_some() {
            self.last = id;
        }
        Ok(None)
    }

    /// The server ends the stream with a problem.
    async fn interrupted(&mut self, problem: Value) -> Result<Ended, Failure> {
        let status = problem.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = CallError::from(Refusal { status, body: problem, is_problem: true, retry_after: None });
        if error.wants_token() {
            // Tokens live for minutes, jobs for hours.
            self.api.renew().await?;
            return Ok(Ended::Stopped);
        }
        Err(error.into())
    }

    async fn job(&self) -> Result<Value, Failure> {
        Ok(self.api.fetch(Method::GET, &self.path(""), None).await?)
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/jobs/{}{rest}", self.id)
    }
}

fn is_unknown(job: &Value) -> bool {
    job.get("state").and_then(Value::as_str) == Some("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_lasts_from_the_last_word_and_comes_back_with_the_next() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        // An hour in which the server says that it is there, and nothing else: the first break is no reason to leave.
        let mut now = begin + Duration::from_secs(3600);
        patience.heard(now);
        assert_eq!(patience.next(now), Some(FIRST_PAUSE));
        let mut pauses = vec![FIRST_PAUSE];
        while let Some(pause) = patience.next(now) {
            now += pause;
            pauses.push(pause);
        }
        assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        let waited = now - begin - Duration::from_secs(3600);
        assert!(waited <= GIVE_UP && waited + LONGEST_PAUSE > GIVE_UP, "{waited:?}");
        // Word that is older than the last changes nothing; new word begins anew.
        patience.heard(begin);
        assert_eq!(patience.next(now), None);
        patience.heard(now);
        assert_eq!(patience.next(now), Some(FIRST_PAUSE));
    }
}
