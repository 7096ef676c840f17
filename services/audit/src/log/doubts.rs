//! Which logs take nothing, and why.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::LogError;

/// Why a log takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// What is stored does not fit what was signed.
    Damaged(String),
    /// A service saw more of it, or something else.
    RolledBack(String),
}

/// The logs that accept nothing; shared with what reports to operators. One doubtful log stops its own tenant only.
#[derive(Debug, Clone, Default)]
pub struct Doubts(Arc<RwLock<BTreeMap<String, Doubt>>>);

impl Doubts {
    /// All of them, by tenant.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, Doubt> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them in one line, for those who ask for health; `None` if all logs are sound.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let doubts = self.list();
        let names = |wanted: fn(&Doubt) -> bool| {
            let names: Vec<&str> =
                doubts.iter().filter(|(_, doubt)| wanted(doubt)).map(|(tenant, _)| tenant.as_str()).collect();
            names.join(", ")
        };
        let damaged = names(|doubt| matches!(doubt, Doubt::Damaged(_)));
        let rolled_back = names(|doubt| matches!(doubt, Doubt::RolledBack(_)));
        let notes = [("damaged", damaged), ("older than seen", rolled_back)];
        let notes: Vec<String> = notes
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {names}"))
            .collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// Takes notice of an error that means that its log takes nothing any more.
    pub(super) fn note_error(&self, error: &LogError) {
        let (tenant, doubt) = match error {
            LogError::Damaged { tenant, why } => (tenant, Doubt::Damaged(why.clone())),
            LogError::RolledBack { tenant, why } => (tenant, Doubt::RolledBack(why.clone())),
            LogError::Store(_) | LogError::Conflict(_) | LogError::NotWritten | LogError::Sealing(_) => return,
        };
        let mut doubts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if doubts.contains_key(tenant) {
            return;
        }
        tracing::error!(tenant, why = ?doubt, "an audit log cannot be trusted; nothing more is sealed in it");
        doubts.insert(tenant.clone(), doubt);
        let count = |wanted: fn(&Doubt) -> bool| doubts.values().filter(|doubt| wanted(doubt)).count() as f64;
        metrics::gauge!("runwarden_audit_damaged_logs").set(count(|doubt| matches!(doubt, Doubt::Damaged(_))));
        metrics::gauge!("runwarden_audit_rolled_back_logs").set(count(|doubt| matches!(doubt, Doubt::RolledBack(_))));
    }

    /// Why a log takes nothing, if it does not.
    pub(super) fn of(&self, tenant: &str) -> Option<LogError> {
        let doubts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenant.to_owned();
        Some(match doubts.get(&tenant)? {
            Doubt::Damaged(why) => LogError::Damaged { why: why.clone(), tenant },
            Doubt::RolledBack(why) => LogError::RolledBack { why: why.clone(), tenant },
        })
    }
}
