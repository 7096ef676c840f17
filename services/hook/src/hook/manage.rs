//! Making, seeing, changing and removing hooks.
//!
//! Whoever decides what a hook does with the rights of its service account must hold all of these rights: with every
//! change the auth service is asked for that.

use std::fmt;
use std::sync::Arc;

use runwarden_engines::config::{Change, Commit};
use runwarden_engines::idempotency::{Begun, Repeat, Ticket};
use runwarden_kit::access::{Authorized, right};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, ExposeSecret as _, Result, SecretString, id, slug};
use runwarden_webhooks::{KeyForm, KeyFrom, Receiver};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::{Hook, HookKey, check_key, receiver, text};
use crate::by_hook::ByHook;
use crate::ports::{Identities, KeyPlace, Keys, Modules, Projects};
use crate::store::{Catalog, Stored, creation, keep, key, put};

/// How many hooks a tenant may have.
const MAX_HOOKS: u64 = 1000;
/// How many changes may be told of before they are heard.
const CHANGES: usize = 1024;
/// The largest settings, in bytes of JSON.
const MAX_SETTINGS: usize = 16 * 1024;

/// A hook to be made.
#[derive(Clone)]
pub struct NewHook {
    /// A slug.
    pub name: String,
    /// The project.
    pub project: String,
    /// The template.
    pub template: String,
    /// The kind of its sender.
    pub kind: String,
    /// What the kind wants to know, a JSON object; empty for `{}`.
    pub settings: String,
    /// The OAuth client.
    pub client_id: String,
    /// The module; empty for none.
    pub module: String,
    /// What it is for.
    pub description: String,
    /// Its key, if it is not to be made here.
    pub key: Option<SecretString>,
}

/// What shall change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct HookUpdate {
    /// Only at this revision; 0 at any.
    pub expected_revision: i64,
    /// The template.
    pub template: Option<String>,
    /// The kind's settings.
    pub settings: Option<String>,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// The module.
    pub module: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it takes no deliveries.
    pub disabled: Option<bool>,
}

/// A hook with a key that was just made and is shown this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct WithKey {
    /// The hook.
    pub hook: Hook,
    /// The key, if it was made here.
    pub made: Option<String>,
}

impl fmt::Debug for WithKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithKey").field("hook", &self.hook).finish_non_exhaustive()
    }
}

/// Manages hooks.
#[derive(Clone)]
pub struct Hooks {
    pub(super) catalog: Catalog,
    pub(super) keys: Arc<dyn Keys>,
    modules: Arc<dyn Modules>,
    pub(super) identities: Arc<dyn Identities>,
    projects: Arc<dyn Projects>,
    /// Tells of hooks that were changed or removed.
    changes: broadcast::Sender<(TenantId, String)>,
    /// Where keys come from.
    pub(super) keys_from: ByHook<KeyFrom>,
}

impl Hooks {
    /// Over a catalog.
    pub fn new(
        catalog: Catalog,
        keys: Arc<dyn Keys>,
        modules: Arc<dyn Modules>,
        identities: Arc<dyn Identities>,
        projects: Arc<dyn Projects>,
    ) -> Self {
        let (keys_from, changes) = (ByHook::all(KeyFrom::Person), broadcast::Sender::new(CHANGES));
        Self { catalog, keys, modules, identities, projects, keys_from, changes }
    }

    /// Tells of each hook that is changed or removed from now on, by tenant and name.
    pub(crate) fn changes(&self) -> broadcast::Receiver<(TenantId, String)> {
        self.changes.subscribe()
    }

    fn tell(&self, hook: &Hook) {
        // Nobody may listen.
        let _told = self.changes.send((hook.tenant.clone(), hook.name.clone()));
    }

    /// This hook of this tenant stands in for another program, and takes the key that this had.
    pub(crate) fn with_replaced(mut self, tenant: &str, hook: &str) -> Self {
        self.keys_from = self.keys_from.but(tenant, hook, KeyFrom::ReplacedProgram);
        self
    }

    /// Makes a hook in the tenant the caller acts for.
    pub async fn create(&self, caller: &Caller, new: NewHook, repeat: &Repeat) -> Result<WithKey> {
        let tenant = caller.require_tenant()?.clone();
        let ticket = match self.catalog.begin(caller, "hook.create", repeat).await? {
            Begun::Replay(made) => return Ok(made),
            Begun::Fresh(ticket) => ticket,
        };
        slug::check("/name", &new.name)?;
        slug::check("/project", &new.project)?;
        caller.require(Permission::HooksWrite, &Scope::project(&tenant, &new.project))?;
        let settings = settings(&new.settings)?;
        let receiver = receiver(&new.kind, &settings)?;
        slug::check("/template", &new.template)?;
        let description = text::description(&new.description)?;
        self.check_module(&new.module).await?;
        if !self.projects.exists(&tenant, &new.project).await? {
            return Err(Error::invalid("/project", "is not a project of this tenant"));
        }
        self.identities.check(&new.client_id, &new.project).await?;
        if self.catalog.count(&key::hooks(&tenant)).await? >= MAX_HOOKS {
            return Err(Error::conflict(format!("The tenant has {MAX_HOOKS} hooks. Remove one first.")));
        }
        let (value, made) = key_for(&receiver, new.key, *self.keys_from.of(&tenant, &new.name))?;
        let now = self.catalog.now();
        let mut hook = Hook {
            id: id::new("hook"),
            name: new.name,
            tenant,
            project: new.project,
            description,
            template: new.template,
            kind: new.kind,
            settings,
            client_id: new.client_id,
            module: new.module,
            disabled: false,
            keys: Vec::new(),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        if let Some(value) = &value {
            self.add_key(&mut hook, value).await?;
        }
        let own = key::hook(&hook.tenant, &hook.name);
        let mut change = Change::new();
        change.absent(&own);
        put(&mut change, &own, &hook)?;
        let made = WithKey { hook, made };
        keep(&ticket, &mut change, &made)?;
        let entry = self.entry(
            "hook.create",
            &made.hook,
            &json!({
                "project": made.hook.project,
                "template": made.hook.template,
                "kind": made.hook.kind,
                "client_id": made.hook.client_id,
                "weaknesses": weaknesses(&made.hook),
            }),
        );
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(made),
            Commit::Refused { key } => {
                self.forget_keys(&made.hook, &made.hook.keys).await;
                Err(creation(&ticket, &key, &own, "hook", &made.hook.name))
            }
        }
    }

    /// Reads a hook the caller may see.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Authorized<Hook, right::HooksRead>> {
        caller.authorize(self.named(caller, name).await?.value)
    }

    /// Lists the hooks the caller may see.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Hook>> {
        let tenant = caller.require_tenant()?;
        let visible = caller.visible(Permission::HooksRead);
        let listing = Listing::of("hooks", Some(tenant.as_str()));
        let seen = |hook: &Hook| visible.includes(&hook.project);
        self.catalog.page(&listing, &key::hooks(tenant), page, slug::is_slug, seen).await
    }

    /// Changes a hook.
    pub async fn update(&self, caller: &Caller, name: &str, update: HookUpdate) -> Result<Hook> {
        let (stored, mut hook) = self.writable(caller, name).await?;
        if update.expected_revision != 0 && update.expected_revision != hook.revision {
            return Err(Error::changed("hook"));
        }
        let before = hook.clone();
        if let Some(template) = update.template {
            slug::check("/template", &template)?;
            hook.template = template;
        }
        if let Some(given) = update.settings {
            hook.settings = settings(&given)?;
            let after = receiver(&hook.kind, &hook.settings)?;
            self.same_form(&before, &after).await?;
            if hook.has_weak_key() && !after.allows_weak_key() {
                let detail = "must stay while the hook has a key of fewer than 16 characters: replace that key and retire it \
                              first";
                return Err(Error::invalid("/settings/allow_weak_key", detail));
            }
        }
        if let Some(client_id) = update.client_id {
            hook.client_id = client_id;
        }
        if let Some(module) = update.module {
            self.check_module(&module).await?;
            hook.module = module;
        }
        if let Some(description) = update.description {
            hook.description = text::description(&description)?;
        }
        hook.disabled = update.disabled.unwrap_or(hook.disabled);
        if hook == before {
            return Ok(hook);
        }
        // What may only be switched off needs no more rights than hooks.write.
        if (Hook { disabled: before.disabled, ..hook.clone() }) != before || !hook.disabled {
            self.check_account(&hook).await?;
        }
        let changed = changed(&before, &hook);
        let details = json!({ "changed": changed, "weaknesses": weaknesses(&hook) });
        self.save(&stored, hook, "hook.update", &details).await
    }

    /// Removes a hook with its keys.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let (stored, hook) = self.writable(caller, name).await?;
        let mut change = Change::new();
        change.at(&stored.key, stored.revision).delete(&stored.key);
        let entry = self.entry("hook.delete", &hook, &json!({}));
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => {
                self.tell(&hook);
                self.forget_keys(&hook, &hook.keys).await;
                Ok(())
            }
            Commit::Refused { .. } => Err(Error::changed("hook")),
        }
    }

    /// The hook with a name in a tenant, whoever asks.
    pub(crate) async fn find(&self, tenant: &TenantId, name: &str) -> Result<Option<Hook>> {
        if !slug::is_slug(name) {
            return Ok(None);
        }
        Ok(self.catalog.get::<Hook>(&key::hook(tenant, name)).await?.map(|stored| stored.value))
    }

    /// Whether the caller of the request being served may let a hook act as its service account.
    pub(crate) async fn check_account(&self, hook: &Hook) -> Result<()> {
        self.identities.check(&hook.client_id, &hook.project).await
    }

    async fn named(&self, caller: &Caller, name: &str) -> Result<Stored<Hook>> {
        slug::check("/name", name)?;
        let tenant = caller.require_tenant()?;
        self.catalog.get(&key::hook(tenant, name)).await?.ok_or_else(|| Error::not_found("hook"))
    }

    /// A hook that the caller may change.
    pub(super) async fn writable(&self, caller: &Caller, name: &str) -> Result<(Stored<Hook>, Hook)> {
        let stored = self.named(caller, name).await?;
        let hook = caller.authorize::<_, right::HooksWrite>(stored.value.clone())?.into_inner();
        Ok((stored, hook))
    }

    /// Stores a changed hook with its entry.
    pub(super) async fn save(&self, stored: &Stored<Hook>, hook: Hook, action: &str, details: &Value) -> Result<Hook> {
        Ok(self.save_with(stored, WithKey { hook, made: None }, action, details, None).await??.hook)
    }

    /// Stores a changed hook with its entry, and the answer for repeats of the request. The inner error says that nothing
    /// was stored; with the outer one that is not known.
    pub(super) async fn save_with(
        &self,
        stored: &Stored<Hook>,
        mut changed: WithKey,
        action: &str,
        details: &Value,
        ticket: Option<&Ticket>,
    ) -> Result<Result<WithKey>> {
        changed.hook.revision = changed.hook.revision.saturating_add(1);
        changed.hook.updated_at = self.catalog.now();
        let mut change = Change::new();
        change.at(&stored.key, stored.revision);
        put(&mut change, &stored.key, &changed.hook)?;
        if let Some(ticket) = ticket {
            keep(ticket, &mut change, &changed)?;
        }
        Ok(match self.catalog.commit(change, &self.entry(action, &changed.hook, details)).await? {
            Commit::Done { .. } => {
                self.tell(&changed.hook);
                Ok(changed)
            }
            Commit::Refused { key } => Err(match ticket {
                Some(ticket) => creation(ticket, &key, "", "hook", &changed.hook.name),
                None => Error::changed("hook"),
            }),
        })
    }

    /// Stores a key of a hook that is about to be stored.
    pub(super) async fn add_key(&self, hook: &mut Hook, value: &SecretString) -> Result<()> {
        let weak = hook.receiver()?.key().is_some_and(|form| !form.standard) && KeyForm::is_weak(value);
        let key = HookKey { id: id::new("key"), created_at: self.catalog.now(), weak };
        self.keys.put(place(hook, &key), value).await?;
        hook.keys.push(key);
        Ok(())
    }

    /// Removes keys that no hook refers to any more. What cannot be removed now stays sealed, and nothing leads to it.
    pub(super) async fn forget_keys(&self, hook: &Hook, keys: &[HookKey]) {
        for key in keys {
            if let Err(error) = self.keys.delete(place(hook, key)).await {
                tracing::warn!(hook = hook.id, key = key.id, %error, "the key of a hook could not be removed");
            }
        }
    }

    /// A hook's keys stay when its settings change, so the new ones must take keys of the same form. A public key must not
    /// become a password, and what was a password must not be taken for a key that nobody saw.
    async fn same_form(&self, before: &Hook, after: &Receiver) -> Result<()> {
        let form = |receiver: &Receiver| receiver.key().map(|form| form.standard);
        let same = match before.receiver() {
            Ok(before) => form(&before) == form(after),
            // An earlier version took settings that this one does not. The keys themselves say of which form they are.
            Err(_) => self.keys_are_of(before, after).await?,
        };
        if same {
            return Ok(());
        }
        let detail = "need a key of another form than this hook has. Make a new hook for them, or keep how the sender \
                      proves itself";
        Err(Error::invalid("/settings", detail))
    }

    /// Whether the keys of a hook are such that a receiver takes, and no public key would become a password.
    async fn keys_are_of(&self, hook: &Hook, receiver: &Receiver) -> Result<bool> {
        let Some(form) = receiver.key() else { return Ok(hook.keys.is_empty()) };
        for key in &hook.keys {
            let Some(value) = self.keys.read(&hook.tenant, &hook.id, &key.id).await? else { return Ok(false) };
            let is_public = value.expose_secret().starts_with(runwarden_webhooks::standard::PUBLIC);
            if check_key(receiver, &value, *self.keys_from.of(&hook.tenant, &hook.name)).is_err()
                || (is_public && !form.standard)
            {
                return Ok(false);
            }
        }
        Ok(!hook.keys.is_empty())
    }

    async fn check_module(&self, module: &str) -> Result<()> {
        if module.is_empty() {
            return Ok(());
        }
        let problems = self.modules.check(module).await?;
        if problems.is_empty() {
            return Ok(());
        }
        let error = Error::new(ErrorReason::PolicyInvalid, "The module cannot be used.");
        Err(problems.into_iter().fold(error, |error, problem| error.with_field("/module", problem)))
    }

    fn entry(&self, action: &str, hook: &Hook, details: &Value) -> runwarden_kit::audit::Entry {
        self.catalog.entry(&hook.tenant, action, "hook", &hook.name).details(details).build()
    }
}

fn place<'a>(hook: &'a Hook, key: &'a HookKey) -> KeyPlace<'a> {
    KeyPlace { tenant: &hook.tenant, project: &hook.project, hook: &hook.id, key: &key.id }
}

/// The key of a hook that needs one: what was given, or what is made now and shown this once.
pub(super) fn key_for(
    receiver: &Receiver,
    given: Option<SecretString>,
    from: KeyFrom,
) -> Result<(Option<SecretString>, Option<String>)> {
    if let Some(given) = given {
        check_key(receiver, &given, from)?;
        return Ok((Some(given), None));
    }
    if receiver.key().is_none() {
        return Ok((None, None));
    }
    let made = receiver
        .generate_key()
        .ok_or_else(|| Error::invalid("/key", "is made by the sender: send the one that it shows"))?;
    let shown = made.expose_secret().to_owned();
    Ok((Some(made), Some(shown)))
}

/// What the sender's proof does not prevent, for the record.
pub(super) fn weaknesses(hook: &Hook) -> Vec<&'static str> {
    hook.weaknesses().into_iter().map(runwarden_webhooks::Weakness::code).collect()
}

fn settings(given: &str) -> Result<Map<String, Value>> {
    if given.is_empty() {
        return Ok(Map::new());
    }
    if given.len() > MAX_SETTINGS {
        return Err(Error::invalid("/settings", format!("must not be larger than {} KiB", MAX_SETTINGS >> 10)));
    }
    match runwarden_kit::json::parse(given.as_bytes()) {
        Ok(Value::Object(settings)) => Ok(settings),
        _ => Err(Error::invalid("/settings", "must be an object")),
    }
}

/// The names of what is different.
fn changed(before: &Hook, after: &Hook) -> Vec<&'static str> {
    let differences = [
        ("template", before.template != after.template),
        ("settings", before.settings != after.settings),
        ("client_id", before.client_id != after.client_id),
        ("module", before.module != after.module),
        ("description", before.description != after.description),
        ("disabled", before.disabled != after.disabled),
    ];
    differences.into_iter().filter(|(_, different)| *different).map(|(name, _)| name).collect()
}
