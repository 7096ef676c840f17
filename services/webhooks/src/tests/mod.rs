//! What senders really send, and what becomes of it.

mod alerts;
mod bitbucket;
mod cloudevents;
mod generic;
mod github;
mod gitlab;
mod pagerduty;
mod pages;
mod properties;
mod run_task;
mod servicenow;
mod slack;
mod standard;
mod stripe;
mod support;
