//! Callbacks: configured ways back out, to which what becomes of jobs is sent.
//!
//! - [`Callback`]: the noun, and which jobs it is told of.
//! - [`manage`], [`keys`], [`look`]: who may do what to callbacks, their keys and their messages.
//! - [`event`], [`schedule`]: what a message says, and when it is sent again.
//! - [`follow`]: makes messages of what became of jobs.
//! - [`sent`]: what was sent of a job.
//! - [`sender`]: sends them, so that nobody waits for somebody else's receiver.

mod build;
pub mod event;
pub mod follow;
pub mod keys;
pub mod look;
pub mod manage;
pub mod ports;
pub mod schedule;
pub mod sender;
pub mod sent;
#[cfg(test)]
mod whole;

use runwarden_kit::Error;
use runwarden_kit::access::Guarded;
use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::executor::v1 as executor;
use serde::{Deserialize, Serialize};

pub(crate) use build::{Parts, build};
use event::Event;

/// A configured way back out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Its id, `cbk_…`: another callback of the same name is another one.
    pub id: String,
    /// A slug, unique in its tenant.
    pub name: String,
    /// Its tenant.
    #[serde(deserialize_with = "runwarden_kit::tenant::stored")]
    pub tenant: TenantId,
    /// The project of whose jobs it is told.
    pub project: String,
    /// What it is for.
    pub description: String,
    /// Where to send. May hold a secret, as many receivers put one into the path.
    pub url: String,
    /// What it is told.
    pub events: Vec<Event>,
    /// Only of jobs of these templates; empty for all.
    pub templates: Vec<String>,
    /// Only of jobs that deliveries of these hooks asked for; empty for all.
    pub hooks: Vec<String>,
    /// Only of jobs that name it.
    pub on_request: bool,
    /// The keys that sign, oldest first: one, or two while one is being replaced.
    pub keys: Vec<Key>,
    /// Why nothing is sent; none if it is.
    pub disabled: Option<Disabled>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
    /// Grows with every change, from 1.
    pub revision: i64,
}

/// A key of a callback, sealed by the secret service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id, `key_…`.
    pub id: String,
    /// What a receiver verifies with, if the key is an Ed25519 one (`whpk_…`).
    pub public: Option<String>,
    /// The key, sealed, base64.
    pub sealed: String,
    /// When it was made.
    pub created_at: Moment,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// The reason.
    pub why: Why,
    /// Since when.
    pub since: Moment,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Somebody switched it off.
    Person,
    /// The receiver answered 410: it wants nothing more.
    Gone,
    /// The receiver accepted nothing for days.
    Failing,
}

impl Why {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// In words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Person => "the callback was disabled",
            Self::Gone => "the callback is disabled: the receiver answered 410",
            Self::Failing => "the callback is disabled: the receiver accepted nothing for five days",
        }
    }
}

impl Callback {
    /// Whether it is told of this.
    #[must_use]
    pub fn wants(&self, job: &executor::Job, event: Event) -> bool {
        let origin = job.origin.as_ref();
        let is_named = origin.is_some_and(|origin| origin.callbacks.contains(&self.name));
        let any = |list: &[String], name: Option<&str>| {
            list.is_empty() || name.is_some_and(|name| list.iter().any(|listed| listed == name))
        };
        let is_listed = !self.on_request
            && any(&self.templates, Some(&job.template))
            && any(&self.hooks, origin.map(|origin| origin.hook.as_str()));
        self.tenant.as_str() == job.tenant
            && self.project == job.project
            && self.events.contains(&event)
            // What happened before it was made is none of its business.
            && event.at(job) >= self.created_at
            && (is_named || is_listed)
    }
}

impl Guarded for Callback {
    const SEEN_WITH: Permission = Permission::CallbacksRead;

    fn scope(&self) -> Scope {
        Scope::project(&self.tenant, &self.project)
    }

    fn missing() -> Error {
        Error::not_found("callback")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::event::tests::job;
    use super::*;
    use executor::JobState as S;

    pub(crate) fn example(name: &str) -> Callback {
        Callback {
            id: runwarden_kit::id::new("cbk"),
            name: name.into(),
            tenant: TenantId::trusted("acme"),
            project: "web".into(),
            description: String::new(),
            url: "https://receiver.example/".into(),
            events: Event::ALL.to_vec(),
            templates: Vec::new(),
            hooks: Vec::new(),
            on_request: false,
            keys: vec![Key {
                id: "key_1".into(),
                public: None,
                sealed: String::new(),
                created_at: Moment::from_micros(0),
            }],
            disabled: None,
            created_at: Moment::from_micros(0),
            updated_at: Moment::from_micros(0),
            revision: 1,
        }
    }

    #[test]
    fn a_callback_is_told_of_the_jobs_it_is_for_and_of_no_others() {
        let job = job(S::Succeeded);
        let told = |callback: Callback| callback.wants(&job, Event::Finished);
        assert!(told(example("ci")));
        assert!(!told(Callback { tenant: TenantId::trusted("zed"), ..example("ci") }), "another tenant's");
        assert!(!told(Callback { project: "db".into(), ..example("ci") }), "another project's");
        assert!(!told(Callback { events: vec![Event::Running], ..example("ci") }));
        assert!(told(Callback { templates: vec!["a".into(), "deploy".into()], ..example("ci") }));
        assert!(!told(Callback { templates: vec!["a".into()], ..example("ci") }));
        assert!(!told(Callback { hooks: vec!["github".into()], ..example("ci") }), "no delivery asked for it");
        assert!(!told(Callback { on_request: true, ..example("ci") }), "it is not named");
        assert!(!told(Callback { created_at: Moment::from_micros(3_000_001), ..example("ci") }), "it was over before");
    }

    #[test]
    fn a_job_may_name_a_callback_but_not_open_another_projects() {
        let mut job = job(S::Succeeded);
        job.origin = Some(executor::JobOrigin { callbacks: vec!["ci".into()], ..executor::JobOrigin::default() });
        let told = |callback: Callback| callback.wants(&job, Event::Finished);
        assert!(told(Callback { on_request: true, ..example("ci") }));
        assert!(told(Callback { templates: vec!["other".into()], ..example("ci") }));
        assert!(!told(Callback { on_request: true, ..example("chat") }));
        assert!(!told(Callback { project: "db".into(), ..example("ci") }));
        assert!(!told(Callback { tenant: TenantId::trusted("zed"), ..example("ci") }));
        assert!(!told(Callback { events: vec![Event::Running], ..example("ci") }));
    }

    #[test]
    fn a_hooks_callback_is_told_of_what_its_deliveries_asked_for() {
        let mut job = job(S::Failed);
        job.origin = Some(executor::JobOrigin { hook: "github".into(), ..executor::JobOrigin::default() });
        assert!(Callback { hooks: vec!["github".into()], ..example("ci") }.wants(&job, Event::Finished));
        assert!(!Callback { hooks: vec!["gitlab".into()], ..example("ci") }.wants(&job, Event::Finished));
    }
}
