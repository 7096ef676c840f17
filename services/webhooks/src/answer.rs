//! What a sender is answered.

use serde_json::{Map, Value, json};

use crate::refusal::Refusal;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers, `Content-Type` included where there is a body.
    pub headers: Vec<(&'static str, String)>,
    /// The body; may be empty.
    pub body: String,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// It is durable and will be worked on.
    Accepted {
        /// Our id of the delivery; of a batch, the first one's.
        delivery: &'a str,
    },
    /// It arrived before, and is not worked on again.
    Repeat {
        /// The first one's id.
        delivery: &'a str,
        /// The job that the first one became, as soon as it is one.
        job: Option<&'a str>,
    },
    /// It is durable, and the hook's filter does not want it.
    Filtered {
        /// Our id of the delivery.
        delivery: &'a str,
    },
    /// Its id arrived before with other content.
    Conflict {
        /// The first one's id.
        delivery: &'a str,
    },
    /// It was refused.
    Refused(&'a Refusal),
    /// We cannot keep it now; the sender should try again.
    Busy {
        /// In how many seconds.
        retry_after: u32,
    },
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".into())], body: body.to_string() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What most senders expect: 202 for what was taken, problem+json for what was not.
    pub(crate) fn usual(outcome: &Outcome<'_>) -> Self {
        match *outcome {
            Outcome::Accepted { delivery } => Self::json(202, &json!({"delivery": delivery, "state": "accepted"})),
            Outcome::Filtered { delivery } => Self::json(200, &json!({"delivery": delivery, "state": "filtered"})),
            Outcome::Repeat { delivery, job } => {
                let mut body =
                    Map::from_iter([("delivery".into(), delivery.into()), ("state".into(), "repeat".into())]);
                if let Some(job) = job {
                    body.insert("job".into(), job.into());
                }
                Self::json(200, &Value::Object(body))
            }
            Outcome::Conflict { .. } => problem(
                409,
                "delivery_conflict",
                "A delivery with this id arrived before, with other content. It was not taken.",
            ),
            Outcome::Refused(refusal) => {
                let answer = problem(refusal.reason.status(), refusal.reason.code(), &refusal.detail);
                if refusal.reason.status() == 401 { answer.with("www-authenticate", "Webhook") } else { answer }
            }
            Outcome::Busy { retry_after } => problem(503, "busy", "The delivery was not taken. Send it again.")
                .with("retry-after", retry_after.to_string()),
        }
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let body = json!({"type": "about:blank", "status": status, "code": code, "detail": detail});
    Answer { status, headers: vec![("content-type", "application/problem+json".into())], body: body.to_string() }
}
