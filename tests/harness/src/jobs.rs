//! Jobs, as callers handle them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::events::Events;

/// How long a job may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
const OVER: [&str; 5] = ["succeeded", "failed", "canceled", "error", "unknown"];

/// A field of something, as text; empty if it is not there.
#[must_use]
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Api {
    /// Submits a job that must be accepted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn submit(&self, template: &str, parameters: Value) -> Value {
        self.post("/api/v1/jobs", &json!({"template": template, "parameters": parameters})).await.expect(202)
    }

    /// Submits a job with an idempotency key that must be accepted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn submit_once(&self, key: &str, template: &str, parameters: Value) -> Value {
        let call = self.call(Method::POST, "/api/v1/jobs").header("idempotency-key", key);
        call.json(&json!({"template": template, "parameters": parameters})).send().await.expect(202)
    }

    /// A job as it stands.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).await.expect(200)
    }

    /// A job once it is over, or left for a person to decide.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn over(&self, id: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let job = self.get(&format!("/api/v1/jobs/{id}?wait=10")).await.expect(200);
            if OVER.contains(&text(&job, "state")) {
                return job;
            }
            assert!(Instant::now() < end, "it does not end: {job}");
        }
    }

    /// A job once it is in this state.
    ///
    /// # Panics
    /// When it ends otherwise or that takes too long.
    pub async fn becomes(&self, id: &str, state: &str) -> Value {
        crate::until(&format!("{id} to be {state}"), async || {
            let job = self.job(id).await;
            let now = text(&job, "state");
            assert!(now == state || !OVER.contains(&now), "it was to become {state}: {job}");
            (now == state).then_some(job)
        })
        .await
    }

    /// Submits a job and waits until it is over.
    pub async fn run(&self, template: &str, parameters: Value) -> Value {
        let job = self.submit(template, parameters).await;
        self.over(text(&job, "id")).await
    }

    /// Everything a job printed.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn output(&self, id: &str) -> String {
        let answer = self.get(&format!("/api/v1/jobs/{id}/output")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text
    }

    /// Follows a job.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn follow(&self, id: &str, after: Option<u64>) -> Events {
        let mut call = self.call(Method::GET, &format!("/api/v1/jobs/{id}/events"));
        if let Some(after) = after {
            call = call.header("last-event-id", &after.to_string());
        }
        let response = call.open().await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(
            response.headers().get("content-type").and_then(|v| v.to_str().ok()),
            Some("text/event-stream; charset=utf-8")
        );
        Events::of(response)
    }

    /// The audit records of a job, oldest first, once its end is among them.
    pub async fn trail(&self, id: &str) -> Vec<Value> {
        crate::until("the job's end on record", async || {
            let mut records = self.all(&format!("/api/v1/audit/records?job={id}")).await;
            records.sort_by_key(|record| record.get("index").and_then(Value::as_u64));
            records.iter().any(|record| text(record, "action") == "job.finish").then_some(records)
        })
        .await
    }
}
