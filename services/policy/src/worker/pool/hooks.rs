//! Modules of hooks: run by the same workers, within the same limits, as policies.

use std::sync::Arc;

use runwarden_kit::json;
use runwarden_kit::tenant::TenantId;
use runwarden_rego::Mapped;
use runwarden_rego::text::Problem;

use super::{GRACE, MAX_ASKED, Pool};
use crate::worker::limits::WorkerLimits;
use crate::worker::message::{Reply, Request};
use crate::worker::process::{Process, Trouble};

impl Pool {
    /// What the module of a hook makes of an event, on behalf of a tenant.
    ///
    /// # Errors
    /// When there is no answer, which says nothing of the event.
    pub async fn run_hook(&self, tenant: &TenantId, module: &str, input: &str) -> Result<Mapped, Trouble> {
        let _share = self.queue(self.share(tenant)).await?;
        let _slot = self.queue(Arc::clone(&self.slots)).await?;
        let key = key_of(module);
        let mut process = self.worker_for(&key).await?;
        // A worker that is not put back is killed, even if the caller has gone meanwhile.
        let mut outcome = self.ask_hook(&mut process, &key, module, input).await;
        if matches!(outcome, Err(Trouble::Died(_))) {
            process = self.fresh().await?;
            outcome = self.ask_hook(&mut process, &key, module, input).await;
        }
        if outcome.is_ok() && process.asked < MAX_ASKED {
            self.keep(process);
        }
        match outcome {
            // That it took too long may be the machine's fault, and is tried again; this is the module's own.
            Err(Trouble::Died(_)) => Ok(failed("evaluating it takes more memory or depth than a module may")),
            other => other,
        }
    }

    /// What keeps the module of a hook from being used. It is compiled in a worker of its own.
    ///
    /// # Errors
    /// When there is no answer, which says nothing of the module.
    pub async fn check_hook(&self, module: &str) -> Result<Vec<Problem>, Trouble> {
        let _slot = self.queue(Arc::clone(&self.checks)).await?;
        let settings = &self.settings;
        let limits = WorkerLimits {
            memory_bytes: settings.memory_bytes / 4 * 3,
            cpu: settings.compilation.saturating_add(GRACE),
            evaluation: settings.decision / 4,
            request: settings.compilation.saturating_add(GRACE),
        };
        let mut process = Process::start(&settings.command, limits).await?;
        let prepare = Request::PrepareHook { key: key_of(module), module: module.to_owned() };
        match process.ask(&prepare, settings.compilation).await {
            Ok(Reply::Prepared) => Ok(Vec::new()),
            Ok(Reply::Problems { problems }) if !problems.is_empty() => Ok(problems),
            Ok(_) => Err(Trouble::OutOfTurn),
            Err(Trouble::Died(_)) => {
                Ok(vec![Problem::of_set("the module takes more memory or depth than one may to compile")])
            }
            Err(Trouble::TimedOut) => Ok(vec![Problem::of_set("the module takes too long to compile")]),
            Err(trouble) => Err(trouble),
        }
    }

    async fn ask_hook(&self, process: &mut Process, key: &str, module: &str, input: &str) -> Result<Mapped, Trouble> {
        let run = Request::RunHook { key: key.to_owned(), input: input.to_owned() };
        if process.prepared.contains(key) {
            match process.ask(&run, self.settings.decision).await? {
                Reply::Ran { outcome } => return Ok(outcome),
                Reply::Missing => {}
                _ => return Err(Trouble::OutOfTurn),
            }
        }
        let prepare = Request::PrepareHook { key: key.to_owned(), module: module.to_owned() };
        match process.ask(&prepare, self.settings.compilation * 2).await? {
            Reply::Prepared => {}
            Reply::Problems { mut problems } => {
                let problem = problems.pop().unwrap_or_else(|| Problem::of_set("the module does not compile"));
                return Ok(Mapped::Failed { problem });
            }
            _ => return Err(Trouble::OutOfTurn),
        }
        process.prepared.insert(key.to_owned());
        match process.ask(&run, self.settings.decision).await? {
            Reply::Ran { outcome } => Ok(outcome),
            _ => Err(Trouble::OutOfTurn),
        }
    }
}

fn failed(detail: &str) -> Mapped {
    Mapped::Failed { problem: Problem::of_set(detail) }
}

/// What names a module of a hook among all that a worker keeps.
fn key_of(module: &str) -> String {
    format!("hook:{}", json::sha256_hex(module.as_bytes()))
}
