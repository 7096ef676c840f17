//! Calling again: where nothing came of a call, or where it is known that it does no harm, and not for ever.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::{Api, CallError, Refusal, Why, read, refusal};
use crate::terminal::note;

/// For how long a call is made again and again.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// The first pause after an answer that was lost; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// One call.
pub(crate) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// What makes a repetition of it the same request.
    pub(super) key: Option<&'a str>,
    /// Whether it may be sent again although the first one may have arrived.
    repeatable: bool,
}

impl<'a> Call<'a> {
    /// A call without a body. Reading may always be repeated.
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        let repeatable = method == Method::GET;
        Self { method, path, body: None, key: None, repeatable }
    }

    /// With a body.
    pub(crate) fn with(self, body: Option<&'a Value>) -> Self {
        Self { body, ..self }
    }

    /// It does no harm to send it twice.
    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// With a key that makes it safe to send it twice.
    pub(crate) fn once(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }.repeatable()
    }
}

/// What the tries of a call so far say about the next one.
struct Tries {
    /// When it is given up.
    until: Instant,
    /// The pause before the next try, where the server does not name one.
    pause: Duration,
    /// Whether a new token was obtained for it.
    renewed: bool,
    /// Whether one of them may have taken effect.
    perhaps_done: bool,
}

impl Tries {
    /// The error of a try, with what was known before it.
    fn failed(&mut self, mut error: CallError) -> CallError {
        self.perhaps_done |= error.perhaps_done;
        error.perhaps_done = self.perhaps_done;
        error
    }

    /// How long to wait before the next try; none if there is none.
    fn wait_for(&self, call: &Call<'_>, error: &CallError) -> Option<Duration> {
        let wait = match &error.why {
            Why::Refused(refusal) => match (refusal.status, refusal.code()) {
                // Nothing was done, and the server says when to come back.
                (StatusCode::TOO_MANY_REQUESTS, _) => self.named(refusal),
                // A part of it may have been reached before another was not.
                (StatusCode::SERVICE_UNAVAILABLE, _) if call.repeatable => self.named(refusal),
                // The request before this one is still being worked on.
                (_, "IDEMPOTENCY_IN_PROGRESS") => Duration::from_secs(1),
                _ => return None,
            },
            // Where nobody ever listened, waiting is up to the person.
            Why::Unreached { .. } if self.perhaps_done && call.repeatable => self.pause,
            Why::Unreached { .. } | Why::Other(_) => return None,
        };
        let left = self.until.saturating_duration_since(Instant::now());
        (wait <= left).then_some(wait)
    }

    /// The next pause of ours is twice as long.
    fn waited(&mut self) {
        self.pause = (self.pause * 2).min(PERSISTENCE);
    }

    /// The pause that the server asks for, of any length, or ours.
    fn named(&self, refusal: &Refusal) -> Duration {
        refusal.retry_after.map_or(self.pause, |after| Duration::from_secs(after).max(FIRST_PAUSE))
    }
}

impl Api {
    /// Sends a request until it is answered for good, for [`PERSISTENCE`] at most.
    pub(super) async fn persist(
        &self,
        call: &Call<'_>,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Value, CallError> {
        let until = Instant::now() + PERSISTENCE;
        let mut tries = Tries { until, pause: FIRST_PAUSE, renewed: false, perhaps_done: false };
        loop {
            let error = match self.attempt(request()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.failed(error),
            };
            if error.wants_token() && !tries.renewed && !call.path.ends_with("/auth/token") {
                tries.renewed = true;
                // Whatever becomes of the token, it says nothing about the call.
                let perhaps_done = tries.perhaps_done;
                Box::pin(self.renew()).await.map_err(|error| CallError { perhaps_done, ..error })?;
                continue;
            }
            let Some(wait) = tries.wait_for(call, &error) else { return Err(error) };
            note(&format!("{error}\ntrying again in {}", humantime::format_duration(wait)));
            tokio::time::sleep(wait).await;
            tries.waited();
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<Value, CallError> {
        let answer = request.send().await.map_err(|error| CallError::unreached(&self.base, error))?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await.into());
        }
        match read(answer).await {
            Ok((_, body)) => Ok(body),
            Err(error) => match error.downcast::<reqwest::Error>() {
                Ok(broken) => Err(CallError::unreached(&self.base, broken)),
                Err(other) => Err(CallError::unreadable(other)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use runwarden_kit::SecretString;

    #[test]
    fn pauses_stay_within_reason_however_often_a_call_is_tried() {
        let mut tries = Tries { until: Instant::now(), pause: FIRST_PAUSE, renewed: false, perhaps_done: false };
        (0..200).for_each(|_| tries.waited());
        assert_eq!(tries.pause, PERSISTENCE);
    }

    const TOKEN: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\":\"t\",\"scope\":\"jobs.read\"}";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\nconnection: close\r\n\r\n{\"code\":\"UNAVAILABLE\"}";
    const LATER: &str = "HTTP/1.1 429 Later\r\nretry-after: 3600\r\nconnection: close\r\n\
                         content-type: application/problem+json\r\n\r\n{\"code\":\"QUEUE_FULL\"}";
    const SOON: &str = "HTTP/1.1 429 Soon\r\nretry-after: 0\r\nconnection: close\r\n\r\n{\"code\":\"RATE_LIMITED\"}";
    const NEVER: &str = "HTTP/1.1 429 Later\r\nretry-after: 18446744073709551615\r\nconnection: close\r\n\r\n{}";
    const DENIED: &str = "HTTP/1.1 403 No\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
                          {\"code\":\"PERMISSION_DENIED\"}";
    const PAGE: &str = "HTTP/1.1 404 No\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>Not Found</h1>";
    const BROKEN: &str = "HTTP/1.1 500 Oh\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n{}";
    const GARBLED: &str = "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n<h1>Hello</h1>";
    const FINE: &str = "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\n{\"id\":\"job_1\"}";
    const EXPIRED: &str = "HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{\"code\":\"TOKEN_EXPIRED\"}";
    /// The connection ends without an answer.
    const LOST: &str = "";

    /// A server that gives these answers, one for each request, and what it was asked.
    async fn server(answers: &[&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers) = (asked.clone(), answers.to_vec());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                // The head, and a body if one is announced; ours are short.
                while !whole(&request) {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                kept.lock().unwrap().push(String::from_utf8(request).unwrap().to_lowercase());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (base, asked)
    }

    fn whole(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        body.len() >= length.parse().unwrap()
    }

    async fn submit(answers: &[&'static str]) -> (Result<Value, CallError>, Vec<String>) {
        let (base, asked) = server(&[&[TOKEN], answers].concat()).await;
        let api = Api::log_in(&base, Vec::new(), "c", &SecretString::from("s")).await.unwrap();
        assert_eq!(api.scope(), "jobs.read");
        let body = json!({"template": "deploy"});
        let call = Call::new(Method::POST, "/api/v1/jobs").with(Some(&body)).once("k-1");
        let outcome = api.make(&call).await;
        let asked = asked.lock().unwrap().split_off(1);
        (outcome, asked)
    }

    #[tokio::test]
    async fn a_lost_answer_is_asked_for_again_under_the_same_key() {
        let (outcome, asked) = submit(&[LOST, BUSY, FINE]).await;
        assert_eq!(outcome.unwrap(), json!({"id": "job_1"}));
        assert_eq!(asked.len(), 3);
        for request in asked {
            assert!(request.contains("\r\nidempotency-key: k-1\r\n") && request.contains("deploy"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_token_that_expired_is_renewed_once() {
        let (outcome, asked) = submit(&[EXPIRED, TOKEN, FINE]).await;
        assert_eq!(outcome.unwrap(), json!({"id": "job_1"}));
        assert!(asked[1].contains("/auth/token") && asked[2].contains("k-1"));
        let (outcome, _) = submit(&[EXPIRED, TOKEN, EXPIRED]).await;
        assert!(outcome.unwrap_err().wants_token());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_a_minute() {
        let (outcome, asked) = submit(&[LATER]).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.refusal().unwrap().retry_after, asked.len()), (Some(3600), 1));
    }

    #[tokio::test]
    async fn what_may_have_arrived_is_not_repeated_without_a_key() {
        let (base, asked) = server(&[TOKEN, LOST, FINE]).await;
        let api = Api::log_in(&base, Vec::new(), "c", &SecretString::from("s")).await.unwrap();
        let outcome = api.fetch(Method::POST, "/api/v1/jobs/job_1/resolve", None).await;
        assert!(matches!(outcome, Err(CallError { why: Why::Unreached { sent: true, .. }, .. })), "{outcome:?}");
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_call_without_a_key_is_repeated_only_where_nothing_was_done() {
        for (answer, times) in [(BUSY, 1), (SOON, 2)] {
            let (base, asked) = server(&[TOKEN, answer, FINE]).await;
            let api = Api::log_in(&base, Vec::new(), "c", &SecretString::from("s")).await.unwrap();
            let outcome = api.fetch(Method::POST, "/api/v1/jobs/job_1/resolve", None).await;
            assert_eq!((outcome.is_ok(), asked.lock().unwrap().len() - 1), (times == 2, times), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_was_lost_stays_unknown_whatever_a_later_try_says() {
        for (answers, perhaps_done) in [
            (&[DENIED][..], false),
            (&[LATER], false),
            (&[LOST, DENIED], true),
            (&[LOST, EXPIRED, DENIED], true),
            (&[BUSY, DENIED], true),
            (&[PAGE], true),
            (&[BROKEN], true),
            (&[GARBLED], true),
        ] {
            let (outcome, asked) = submit(answers).await;
            assert_eq!(outcome.unwrap_err().perhaps_done, perhaps_done, "{answers:?}");
            assert_eq!(asked.len(), answers.len());
        }
    }

    #[tokio::test]
    async fn a_pause_of_any_length_can_be_asked_for() {
        let (outcome, asked) = submit(&[NEVER]).await;
        assert_eq!((outcome.unwrap_err().refusal().unwrap().retry_after, asked.len()), (Some(u64::MAX), 1));
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_is_tried_again() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = Api::log_in(&format!("http://{gone}"), Vec::new(), "c", &SecretString::from("s")).await;
        let error = outcome.err().unwrap();
        assert!(matches!(error.why, Why::Unreached { sent: false, .. }) && !error.perhaps_done, "{error:?}");
    }
}
