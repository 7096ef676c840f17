//! Making, seeing, changing and removing callbacks. A change and its audit entry are one commit.

use std::fmt;
use std::sync::Arc;

use runwarden_engines::catalog::guard;
use runwarden_engines::config::{Change, Commit};
use runwarden_engines::idempotency::{Begun, Repeat, Ticket};
use runwarden_kit::access::{Authorized, Right, right};
use runwarden_kit::audit::{EntryBuilder, Recorder};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::mesh::Service;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, id, slug};
use runwarden_outbound::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::event::Event;
use super::keys::KeyKind;
use super::ports::Keys;
use super::{Callback, Disabled, Why};
use crate::ports::Projects;
use crate::store::messages::Messages;
use crate::store::{Catalog, Stored, creation, keep, key, put};

/// How many callbacks a tenant may have.
const MOST: u64 = 200;
/// How many templates, or hooks, a callback may be limited to.
const MOST_NAMES: usize = 50;
/// The longest description, characters.
const LONGEST_DESCRIPTION: usize = 500;

/// A callback to be made.
#[derive(Clone, Debug, Default)]
pub struct NewCallback {
    /// A slug.
    pub name: String,
    /// The project.
    pub project: String,
    /// What it is for.
    pub description: String,
    /// Where to send.
    pub url: String,
    /// What it is told, by name; empty for the ends of jobs.
    pub events: Vec<String>,
    /// Templates; empty for all.
    pub templates: Vec<String>,
    /// Hooks; empty for all.
    pub hooks: Vec<String>,
    /// Only of jobs that name it.
    pub on_request: bool,
    /// How it is signed.
    pub key: KeyKind,
}

/// What shall be different. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Only if the callback is at this revision; 0 for any.
    pub expected_revision: i64,
    /// What it is for.
    pub description: Option<String>,
    /// Where to send.
    pub url: Option<String>,
    /// What it is told.
    pub events: Option<Vec<String>>,
    /// Templates.
    pub templates: Option<Vec<String>>,
    /// Hooks.
    pub hooks: Option<Vec<String>>,
    /// Only of jobs that name it.
    pub on_request: Option<bool>,
    /// Whether nothing is sent.
    pub disabled: Option<bool>,
}

/// A callback, and a key of it that is shown this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct WithKey {
    /// The callback.
    pub callback: Callback,
    /// The key, if the receiver needs it.
    pub key: Option<String>,
}

impl fmt::Debug for WithKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithKey").field("callback", &self.callback.id).finish_non_exhaustive()
    }
}

/// Manages callbacks.
#[derive(Clone)]
pub struct Callbacks {
    /// Callbacks.
    pub catalog: Catalog,
    /// Messages.
    pub messages: Arc<dyn Messages>,
    /// Keys that sign.
    pub keys: Arc<dyn Keys>,
    /// Knows projects.
    pub projects: Arc<dyn Projects>,
    /// Says which addresses may be sent anything.
    pub client: Client,
    /// Records what changes no configuration.
    pub recorder: Arc<dyn Recorder>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Rings when there are messages to send.
    pub bell: Arc<Notify>,
}

impl Callbacks {
    /// Makes a callback.
    ///
    /// # Errors
    /// All that is wrong with it at once; `ALREADY_EXISTS` when the name is taken.
    pub async fn create(&self, caller: &Caller, new: NewCallback, repeat: &Repeat) -> Result<WithKey> {
        let tenant = caller.require_tenant()?.clone();
        let ticket = match self.catalog.begin(caller, "callback.create", repeat).await? {
            Begun::Replay(made) => return Ok(made),
            Begun::Fresh(ticket) => ticket,
        };
        slug::check("/project", &new.project)?;
        may_send_out(caller, &tenant, &new.project)?;
        slug::check("/name", &new.name)?;
        if self.catalog.count(&key::callbacks(&tenant)).await? >= MOST {
            return Err(Error::conflict(format!("A tenant may have {MOST} callbacks.")));
        }
        let now = self.clock.now();
        let events = if new.events.is_empty() { vec![Event::Finished.name().to_owned()] } else { new.events };
        let mut callback = Callback {
            id: id::new("cbk"),
            name: new.name,
            tenant,
            project: new.project,
            description: String::new(),
            url: String::new(),
            events: Vec::new(),
            templates: Vec::new(),
            hooks: Vec::new(),
            on_request: new.on_request,
            keys: Vec::new(),
            disabled: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let said = Changes {
            description: Some(new.description),
            url: Some(new.url),
            events: Some(events),
            templates: Some(new.templates),
            hooks: Some(new.hooks),
            ..Changes::default()
        };
        self.apply(&mut callback, said)?;
        if !self.projects.exists(&callback.tenant, &callback.project).await? {
            return Err(Error::invalid("/project", "is not a project of this tenant"));
        }
        let name = key::callback(&callback.tenant, &callback.name);
        if self.catalog.exists(&name).await? {
            return Err(taken(&callback.name));
        }
        let key = self.add_key(&mut callback, new.key).await?;
        let mut change = Change::new();
        change.absent(&name);
        put(&mut change, &name, &callback)?;
        put(&mut change, key::callback_id(&callback.tenant, &callback.id), &callback.name)?;
        let details = json!({ "project": callback.project, "to": self.origin(&callback), "events": callback.events });
        let made = WithKey { callback, key };
        keep(&ticket, &mut change, &made)?;
        match self.catalog.commit(change, &self.entry(&made.callback, "callback.create", &details)).await? {
            Commit::Done { .. } => Ok(made),
            Commit::Refused { key } => Err(creation(&ticket, &key, &name, "callback", &made.callback.name)),
        }
    }

    /// Reads a callback, and since when its receiver has accepted nothing.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none that the caller may see.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<(Callback, Option<Moment>)> {
        let (callback, _) = self.authorized::<right::CallbacksRead>(caller, name).await?;
        let failing_since = self.messages.failing_since(&callback.id).await?;
        Ok((callback.into_inner(), failing_since))
    }

    /// Lists the callbacks that the caller may see.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` for a token that is not of this list.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Callback>> {
        let tenant = caller.require_tenant()?;
        let visible = caller.visible(Permission::CallbacksRead);
        let listing = Listing::of("callbacks", Some(tenant.as_str()));
        let seen = |callback: &Callback| visible.includes(&callback.project);
        self.catalog.page(&listing, &key::callbacks(tenant), page, slug::is_slug, seen).await
    }

    /// Changes a callback.
    ///
    /// # Errors
    /// As [`Callbacks::create`]; `CONFLICT` when somebody else changed it.
    pub async fn update(&self, caller: &Caller, name: &str, changes: Changes) -> Result<Callback> {
        let (callback, stored) = self.authorized::<right::CallbacksWrite>(caller, name).await?;
        let mut callback = callback.into_inner();
        may_send_out(caller, &callback.tenant, &callback.project)?;
        if changes.expected_revision != 0 && changes.expected_revision != callback.revision {
            return Err(Error::changed("callback"));
        }
        let enabled = changes.disabled == Some(false) && callback.disabled.is_some();
        self.apply(&mut callback, changes)?;
        if enabled {
            // It is judged by what it does from now on.
            self.messages.trust_again(&callback.id).await?;
        }
        let details = json!({
            "to": self.origin(&callback), "events": callback.events, "disabled": callback.disabled.is_some(),
        });
        let changed = WithKey { callback, key: None };
        Ok(self.save_with(changed, &stored, "callback.update", &details, None).await?.callback)
    }

    /// Removes a callback with its keys and its messages.
    ///
    /// # Errors
    /// As [`Callbacks::get`].
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let (callback, stored) = self.authorized::<right::CallbacksWrite>(caller, name).await?;
        let mut change = Change::new();
        change.at(&stored.key, stored.revision).delete(&stored.key);
        change.delete(key::callback_id(&callback.tenant, &callback.id));
        match self.catalog.commit(change, &self.entry(&callback, "callback.delete", &json!({}))).await? {
            Commit::Done { .. } => {}
            Commit::Refused { .. } => return Err(Error::changed("callback")),
        }
        self.messages.remove(&callback.id).await
    }

    pub(super) async fn authorized<R: Right>(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(Authorized<Callback, R>, Stored<Callback>)> {
        let tenant = caller.require_tenant()?;
        slug::check("/name", name)?;
        let found = self.catalog.get::<Callback>(&key::callback(tenant, name)).await?;
        let found = found.ok_or_else(|| Error::not_found("callback"))?;
        Ok((caller.authorize(found.value.clone())?, found))
    }

    /// Applies what was said, or answers all that is wrong with it.
    fn apply(&self, callback: &mut Callback, said: Changes) -> Result<()> {
        let mut wrong = Vec::new();
        let mut field = |pointer: String, detail: String| wrong.push(FieldError { pointer, detail });
        if let Some(description) = said.description {
            if description.chars().count() > LONGEST_DESCRIPTION || description.chars().any(char::is_control) {
                field("/description".into(), "must be at most 500 characters, without control characters".into());
            }
            callback.description = description;
        }
        if let Some(url) = said.url {
            match self.client.address(&url) {
                Ok(address) => callback.url = address.as_str().to_owned(),
                Err(problem) => field("/url".into(), problem.to_string()),
            }
        }
        if let Some(events) = said.events {
            let mut known: Vec<Event> = Vec::new();
            if events.is_empty() {
                field("/events".into(), "must name at least one event".into());
            }
            for (n, name) in events.iter().enumerate().take(MOST_NAMES) {
                match Event::named(name) {
                    Some(event) => known.push(event),
                    None => field(format!("/events/{n}"), "must be job.running, job.unknown or job.finished".into()),
                }
            }
            known.sort_unstable();
            known.dedup();
            callback.events = known;
        }
        for (pointer, said, list) in
            [("/templates", said.templates, &mut callback.templates), ("/hooks", said.hooks, &mut callback.hooks)]
        {
            let Some(names) = said else { continue };
            if names.len() > MOST_NAMES {
                field(pointer.into(), format!("must be at most {MOST_NAMES} names"));
            }
            for (n, name) in names.iter().enumerate().take(MOST_NAMES) {
                if !slug::is_slug(name) {
                    field(format!("{pointer}/{n}"), "must be a name: lower-case letters, digits and hyphens".into());
                }
            }
            *list = names;
        }
        callback.on_request = said.on_request.unwrap_or(callback.on_request);
        match said.disabled {
            Some(true) if callback.disabled.is_none_or(|disabled| disabled.why != Why::Person) => {
                callback.disabled = Some(Disabled { why: Why::Person, since: self.clock.now() });
            }
            Some(false) => callback.disabled = None,
            Some(true) | None => {}
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => {
                let detail = first.detail.clone();
                Err(Error::new(ErrorReason::ValidationFailed, detail).with_fields(wrong))
            }
        }
    }

    /// Stores a changed callback with its entry, and the answer for repeats of the request.
    pub(super) async fn save_with(
        &self,
        mut changed: WithKey,
        stored: &Stored<Callback>,
        action: &str,
        details: &Value,
        ticket: Option<&Ticket>,
    ) -> Result<WithKey> {
        changed.callback.updated_at = self.clock.now();
        changed.callback.revision += 1;
        let mut change = Change::new();
        guard(&mut change, &stored.key, Some(stored));
        put(&mut change, &*stored.key, &changed.callback)?;
        if let Some(ticket) = ticket {
            keep(ticket, &mut change, &changed)?;
        }
        match self.catalog.commit(change, &self.entry(&changed.callback, action, details)).await? {
            Commit::Done { .. } => Ok(changed),
            Commit::Refused { key } => Err(match ticket {
                Some(ticket) => creation(ticket, &key, "", "callback", &changed.callback.name),
                None => Error::changed("callback"),
            }),
        }
    }

    pub(super) fn entry(&self, callback: &Callback, action: &str, details: &Value) -> runwarden_kit::audit::Entry {
        EntryBuilder::new(&*self.clock, Service::Hook, action, "callback", &callback.name)
            .tenant(&callback.tenant)
            .details(details)
            .build()
    }

    /// Where it sends to, without what may be a secret.
    fn origin(&self, callback: &Callback) -> String {
        self.client.address(&callback.url).map(|address| address.origin()).unwrap_or_default()
    }
}

/// Whoever has results sent out must be allowed to see them.
fn may_send_out(caller: &Caller, tenant: &TenantId, project: &str) -> Result<()> {
    let scope = Scope::project(tenant, project);
    caller.require(Permission::CallbacksWrite, &scope)?;
    caller.require(Permission::JobsRead, &scope)
}

fn taken(name: &str) -> Error {
    let detail = format!("There is already a callback named {name}.");
    Error::new(ErrorReason::AlreadyExists, detail).with_field("/name", "is taken")
}
