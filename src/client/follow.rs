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
/// When it cannot be read, or is out of reach for [`GIVE_UP`].
pub(super) async fn follow(api: &Api, id: &str, view: &mut View) -> Result<Value, Failure> {
    let mut following = Following { api, id, last: None, heard: Instant::now(), pause: FIRST_PAUSE };
    loop {
        let broken = match following.until_it_ends(view).await {
            Ok(Some(job)) => return Ok(job),
            Ok(None) => None,
            Err(Broken::ForGood(failure)) => return Err(failure),
            Err(Broken::ForNow(failure)) => Some(failure),
        };
        let pause = following.pause;
        match broken {
            Some(failure) if following.heard.elapsed() + pause > GIVE_UP => return Err(failure),
            Some(_) => note(&format!("the connection broke; trying again in {}", humantime::format_duration(pause))),
            // The server ends streams when it stops: it is back in a moment.
            None => {}
        }
        tokio::time::sleep(pause).await;
        following.pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The end of an attempt to follow.
enum Broken {
    ForGood(Failure),
    ForNow(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        if failure.exit == Exit::NotNow { Self::ForNow(failure) } else { Self::ForGood(failure) }
    }
}

impl From<CallError> for Broken {
    fn from(error: CallError) -> Self {
        Failure::from(error).into()
    }
}

struct Following<'a> {
    api: &'a Api,
    id: &'a str,
    /// The last event that was shown.
    last: Option<String>,
    /// When there was word of it for the last time.
    heard: Instant,
    pause: Duration,
}

impl Following<'_> {
    /// Shows what comes, until the stream ends. The job, if that is the end of it.
    async fn until_it_ends(&mut self, view: &mut View) -> Result<Option<Value>, Broken> {
        let answer = match self.api.open(&self.path("/events"), self.last.as_deref()).await {
            Err(error) if error.wants_token() => {
                self.api.renew().await?;
                self.api.open(&self.path("/events"), self.last.as_deref()).await?
            }
            other => other?,
        };
        if answer.status() == StatusCode::NO_CONTENT {
            return self.job().await.map(Some);
        }
        let mut events = Events::of(answer);
        loop {
            let event = match events.next().await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(error) => return Err(Broken::ForNow(Failure::new(Exit::NotNow, format!("{error:#}")))),
            };
            if let Some(job) = self.take(event, view).await? {
                return Ok(Some(job));
            }
        }
    }

    /// Shows one event. The job, if it is over or waits for a person.
    async fn take(&mut self, event: Event, view: &mut View) -> Result<Option<Value>, Broken> {
        let Event { id, name, data } = event;
        match name.as_str() {
            "output" => view.output(data.get("text").and_then(Value::as_str).unwrap_or_default())?,
            "state" => {
                view.state(&data);
                if is_unknown(&data) {
                    // It may have been, and be past.
                    let now = self.job().await?;
                    if is_unknown(&now) {
                        return Ok(Some(now));
                    }
                }
            }
            "end" => return self.job().await.map(Some),
            "error" => return self.interrupted(data).await.map(|()| None),
            _ => {}
        }
        // Only once it has been shown: it is asked for again otherwise.
        if id.is_some() {
            (self.last, self.heard, self.pause) = (id, Instant::now(), FIRST_PAUSE);
        }
        Ok(None)
    }

    /// The server ends the stream with a problem.
    async fn interrupted(&mut self, problem: Value) -> Result<(), Broken> {
        let status = problem.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = CallError::from(Refusal { status, body: problem, retry_after: None });
        if error.wants_token() {
            // Tokens live for minutes, jobs for hours.
            return Ok(self.api.renew().await?);
        }
        Err(error.into())
    }

    async fn job(&self) -> Result<Value, Broken> {
        Ok(self.api.fetch(Method::GET, &self.path(""), None).await?)
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/jobs/{}{rest}", self.id)
    }
}

fn is_unknown(job: &Value) -> bool {
    job.get("state").and_then(Value::as_str) == Some("unknown")
}
