//! Keeping modules: only sets that compile together, run within bounds and were recorded are kept.

use std::sync::Arc;

use runwarden_engines::catalog::TRIES;
use runwarden_kit::audit::{EntryBuilder, Outbox};
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Clock;
use runwarden_kit::mesh::Service;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, json, slug};
use serde_json::{Value, json};

use crate::judge::Judge;
use crate::module::{MAX_MODULES, MAX_SET_BYTES, Module, Owner, Shelf};
use crate::store::{Edit, ModuleStore, Saved};
use crate::worker::{ModuleText, Tried};
use runwarden_rego::Advice;
use runwarden_rego::question;
use runwarden_rego::text::{Problem, guard};

/// The most problems that are named at once.
const MAX_NAMED: usize = 20;

/// A module that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The module.
    pub module: Module,
    /// Whether it is new.
    pub created: bool,
    /// What its author should look at, each with its place.
    pub warnings: Vec<String>,
}

/// The modules of all owners.
pub struct Library {
    store: Arc<dyn ModuleStore>,
    judge: Arc<dyn Judge>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
}

impl Library {
    /// With this store, its outbox, and this engine.
    pub fn new(store: Arc<dyn ModuleStore>, judge: Arc<dyn Judge>, outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        Self { store, judge, outbox, clock }
    }

    /// One module of whom the caller acts for.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Module> {
        slug::check("/name", name)?;
        let mut shelf = self.read(caller).await?;
        let place = shelf
            .modules
            .iter()
            .position(|module| module.name == name)
            .ok_or_else(|| Error::not_found("policy module"))?;
        Ok(shelf.modules.swap_remove(place))
    }

    /// All modules of whom the caller acts for, by name.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Module>> {
        Ok(self.read(caller).await?.modules)
    }

    async fn read(&self, caller: &Caller) -> Result<Shelf> {
        caller.require(Permission::PoliciesRead, &caller.acting_scope())?;
        self.store.shelf(&Owner::of(caller.tenant())).await
    }

    /// Stores a module, if the whole set is fit with it and it makes nothing void that another one says.
    pub async fn put(&self, caller: &Caller, name: &str, rego: &str, expected_revision: i64) -> Result<Stored> {
        caller.require(Permission::PoliciesWrite, &caller.acting_scope())?;
        slug::check("/name", name)?;
        if expected_revision < 0 {
            return Err(Error::invalid("/expected_revision", "must not be negative"));
        }
        guard::check(name, rego).map_err(|problem| unfit(name, &[problem]))?;
        self.outbox.check_room(caller.tenant().map_or("", TenantId::as_str)).await?;
        let owner = Owner::of(caller.tenant());
        let digest = json::sha256_hex(rego.as_bytes());

        for _ in 0..TRIES {
            let shelf = self.store.shelf(&owner).await?;
            let before = shelf.find(name);
            if expected_revision != 0 && before.map(|module| module.revision) != Some(expected_revision) {
                return Err(Error::changed("module"));
            }
            if let Some(same) = before.filter(|module| module.digest == digest) {
                return Ok(Stored { module: same.clone(), created: false, warnings: Vec::new() });
            }
            let mut texts = shelf.texts();
            texts.retain(|module| module.name != name);
            texts.push(ModuleText { name: name.to_owned(), rego: rego.to_owned() });
            check_size(&texts)?;
            let warnings = match self.try_out(&owner, &texts).await? {
                Ok(advice) => accepted(name, advice)?,
                Err(problems) => return Err(unfit(name, &problems)),
            };
            let module = Module {
                name: name.to_owned(),
                rego: rego.to_owned(),
                digest: digest.clone(),
                revision: shelf.next_revision(name),
                updated_at: self.clock.now(),
                updated_by: caller.principal.clone(),
            };
            let details = json!({
                "digest": digest,
                "previous_digest": before.map(|module| &module.digest),
                "bytes": rego.len(),
            });
            let entry = self.entry(&owner, "policy.put", name, &digest, &details);
            let created = before.is_none();
            let edit = Edit::Put(module.clone());
            match self.store.save(&owner, &shelf, edit, entry).await? {
                Saved::Done => return Ok(Stored { module, created, warnings }),
                Saved::Overtaken => {}
            }
        }
        Err(Error::contended())
    }

    /// Removes a module, if the others do without it.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        slug::check("/name", name)?;
        caller.require(Permission::PoliciesWrite, &caller.acting_scope())?;
        self.outbox.check_room(caller.tenant().map_or("", TenantId::as_str)).await?;
        let owner = Owner::of(caller.tenant());
        for _ in 0..TRIES {
            let shelf = self.store.shelf(&owner).await?;
            let Some(module) = shelf.find(name) else {
                return Err(Error::not_found("policy module"));
            };
            let mut texts = shelf.texts();
            texts.retain(|other| other.name != name);
            // Whether the others suit each other is not the question: what they lose is one that decided.
            if !texts.is_empty()
                && let Err(problems) = self.try_out(&owner, &texts).await?
                && let Some(problem) = problems.first()
            {
                return Err(Error::conflict(format!("Other modules need this one: {}.", problem.sentence(""))));
            }
            let details = json!({"digest": module.digest});
            let entry = self.entry(&owner, "policy.delete", name, &module.digest, &details);
            let edit = Edit::Remove(name.to_owned());
            match self.store.save(&owner, &shelf, edit, entry).await? {
                Saved::Done => return Ok(()),
                Saved::Overtaken => {}
            }
        }
        Err(Error::contended())
    }

    async fn try_out(&self, owner: &Owner, texts: &[ModuleText]) -> Result<Tried> {
        let sample = question::sample(owner.tenant(), self.clock.now());
        self.judge.check(texts, &sample).await.map_err(|trouble| {
            Error::unavailable("No policy worker is free to try the module now.").with_cause(trouble)
        })
    }

    fn entry(
        &self,
        owner: &Owner,
        action: &str,
        name: &str,
        digest: &str,
        details: &Value,
    ) -> runwarden_kit::audit::Entry {
        EntryBuilder::new(&*self.clock, Service::Policy, action, "policy", name)
            .tenant(owner.tenant())
            .payload_digest(digest)
            .details(details)
            .build()
    }
}

fn check_size(texts: &[ModuleText]) -> Result<()> {
    if texts.len() > MAX_MODULES {
        return Err(Error::new(
            ErrorReason::PolicyInvalid,
            format!("There can be at most {MAX_MODULES} modules: delete one first."),
        ));
    }
    let bytes: usize = texts.iter().map(|module| module.rego.len()).sum();
    if bytes > MAX_SET_BYTES {
        let detail = format!("all modules together would have {bytes} bytes, at most {MAX_SET_BYTES} are allowed");
        return Err(Error::new(ErrorReason::PolicyInvalid, "The module cannot be used.").with_field("/rego", detail));
    }
    Ok(())
}

/// What to tell the author of a module that is stored; a refusal if it makes void what another one says, or another one
/// does so to it. Conflicts among others are reported as warnings, so that they can be fixed one by one.
fn accepted(name: &str, advice: Advice) -> Result<Vec<String>> {
    let concerns =
        |with: &[String], problem: &Problem| problem.module == name || with.iter().any(|other| other == name);
    let (own, foreign): (Vec<_>, Vec<_>) =
        advice.conflicts.into_iter().partition(|conflict| concerns(&conflict.with, &conflict.problem));
    if !own.is_empty() {
        let problems: Vec<Problem> = own.into_iter().map(|conflict| conflict.problem).collect();
        return Err(unfit(name, &problems));
    }
    let foreign = foreign.into_iter().map(|conflict| conflict.problem);
    let told = advice.warnings.into_iter().filter(|warning| warning.module == name);
    Ok(foreign.chain(told).map(|problem| problem.sentence(name)).collect())
}

/// The refusal of a module, each problem with its place.
fn unfit(name: &str, problems: &[Problem]) -> Error {
    problems.iter().take(MAX_NAMED).fold(
        Error::new(ErrorReason::PolicyInvalid, "The module cannot be used: see what is wrong and where."),
        |error, problem| error.with_field("/rego", problem.sentence(name)),
    )
}
