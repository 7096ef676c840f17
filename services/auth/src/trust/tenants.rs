//! The tenants that exist, as the project service reports them: every other service learns them with the trust state.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runwarden_kit::lifecycle::Shutdown;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, id};

use crate::trust::scopes::{Scopes, TenantList};

/// How often the project service is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often until it has answered once.
const AT_FIRST: Duration = Duration::from_millis(50);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tenants as they were last heard of.
pub(crate) struct Tenants {
    scopes: Arc<dyn Scopes>,
    /// Held while asking.
    asking: tokio::sync::Mutex<()>,
    heard: Mutex<Heard>,
}

/// The known tenants. Changes are numbered, so that a service that knows some of them can be sent the rest.
struct Heard {
    /// Identifies this numbering: it restarts if a tenant disappears, which only a restored store can cause.
    epoch: String,
    states: BTreeMap<String, State>,
    order: BTreeSet<(u64, String)>,
    changes: u64,
    /// The project service's name for its list.
    version: String,
    /// When it was asked for that.
    asked_at: Option<Instant>,
}

struct State {
    disabled: bool,
    change: u64,
}

/// The tenants to report.
pub(crate) struct Told {
    /// The numbering, and its latest number.
    pub(crate) mark: Mark,
    /// Whether this adds to what the asker knows.
    pub(crate) only_changes: bool,
    /// Each tenant and whether it is disabled.
    pub(crate) tenants: Vec<(String, bool)>,
    /// How old it is; `None` if nothing was heard yet.
    pub(crate) age: Option<Duration>,
}

/// How far a service has received the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The counting.
    pub(crate) epoch: String,
    /// How far.
    pub(crate) changes: u64,
}

impl Heard {
    fn new() -> Self {
        Self {
            epoch: id::new("tenants"),
            states: BTreeMap::new(),
            order: BTreeSet::new(),
            changes: 0,
            version: String::new(),
            asked_at: None,
        }
    }

    fn take(&mut self, list: TenantList) {
        if !list.only_changes {
            let there: HashSet<&str> = list.tenants.iter().map(|(name, _)| name.as_str()).collect();
            if self.states.keys().any(|name| !there.contains(name.as_str())) {
                *self = Self::new();
            }
        }
        for (name, disabled) in list.tenants {
            if self.states.get(&name).is_some_and(|state| state.disabled == disabled) {
                continue;
            }
            self.changes += 1;
            let state = State { disabled, change: self.changes };
            self.order.insert((state.change, name.clone()));
            if let Some(before) = self.states.insert(name.clone(), state) {
                self.order.remove(&(before.change, name));
            }
        }
        self.version = list.version;
    }
}

impl Tenants {
    /// Nothing was heard yet.
    pub(crate) fn new(scopes: Arc<dyn Scopes>) -> Self {
        Self { scopes, asking: tokio::sync::Mutex::default(), heard: Mutex::new(Heard::new()) }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a tenant exists and is enabled, as far as was heard.
    pub(crate) fn is_open(&self, tenant: &TenantId) -> bool {
        self.heard().states.get(tenant.as_str()).is_some_and(|state| !state.disabled)
    }

    /// What a service that received the changes up to a mark does not know yet.
    pub(crate) fn told_since(&self, mark: Option<&Mark>) -> Told {
        let heard = self.heard();
        let from = mark.filter(|mark| mark.epoch == heard.epoch && mark.changes <= heard.changes);
        let after = from.map_or(0, |mark| mark.changes);
        let news = heard.order.range((Bound::Excluded((after, String::from(char::MAX))), Bound::Unbounded));
        Told {
            mark: Mark { epoch: heard.epoch.clone(), changes: heard.changes },
            only_changes: from.is_some(),
            tenants: news
                .filter_map(|(_, name)| heard.states.get(name).map(|state| (name.clone(), state.disabled)))
                .collect(),
            age: heard.asked_at.map(|at| at.elapsed()),
        }
    }

    /// Asks whether an unknown tenant has been created in the meantime.
    pub(crate) async fn look_for(&self, tenant: &str) -> Result<()> {
        if self.heard().states.contains_key(tenant) {
            return Ok(());
        }
        let arrived = Instant::now();
        let _turn = self.asking.lock().await;
        if self.heard().asked_at.is_some_and(|at| at >= arrived) {
            return Ok(());
        }
        self.ask().await
    }

    /// Asks for what has changed.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let _turn = self.asking.lock().await;
        self.ask().await
    }

    async fn ask(&self) -> Result<()> {
        let version = self.heard().version.clone();
        let asked_at = Instant::now();
        let list = tokio::time::timeout(PATIENCE, self.scopes.tenants(&version))
            .await
            .map_err(|_| Error::unavailable("The project service took too long to answer."))??;
        let mut heard = self.heard();
        heard.take(list);
        heard.asked_at = Some(asked_at);
        Ok(())
    }

    /// Asks every second until shutdown.
    pub(crate) async fn keep_fresh(self: Arc<Self>, shutdown: Shutdown) {
        let mut failing = false;
        loop {
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(%error, "cannot read the list of tenants from the project service");
                    failing = true;
                }
                Err(error) => tracing::debug!(%error, "still cannot read the list of tenants from the project service"),
            }
            let pause = if self.heard().asked_at.is_some() { EVERY } else { AT_FIRST };
            if shutdown.sleep(pause).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(only_changes: bool, tenants: &[(&str, bool)]) -> TenantList {
        TenantList {
            version: "v".to_owned(),
            only_changes,
            tenants: tenants.iter().map(|(name, disabled)| ((*name).to_owned(), *disabled)).collect(),
        }
    }

    struct Nobody;

    #[async_trait::async_trait]
    impl Scopes for Nobody {
        async fn check(&self, _: &TenantId, _: Option<&str>) -> Result<crate::trust::scopes::ScopeStatus> {
            Err(Error::unavailable("played"))
        }

        async fn tenants(&self, _: &str) -> Result<TenantList> {
            Err(Error::unavailable("played"))
        }
    }

    fn tenants(first: &[(&str, bool)]) -> Tenants {
        let tenants = Tenants::new(Arc::new(Nobody));
        tenants.heard().take(list(false, first));
        tenants
    }

    fn names(told: &Told) -> Vec<(&str, bool)> {
        told.tenants.iter().map(|(name, disabled)| (name.as_str(), *disabled)).collect()
    }

    #[test]
    fn only_what_changed_is_told_again() {
        let tenants = tenants(&[("acme", false), ("other", false)]);
        let first = tenants.told_since(None);
        assert_eq!((first.only_changes, first.tenants.len()), (false, 2));
        assert!(tenants.told_since(Some(&first.mark)).tenants.is_empty());
        tenants.heard().take(list(true, &[("other", true), ("acme", false)]));
        let next = tenants.told_since(Some(&first.mark));
        assert_eq!((next.only_changes, names(&next)), (true, vec![("other", true)]));
        // A complete list without differences is not a change.
        tenants.heard().take(list(false, &[("acme", false), ("other", true)]));
        assert!(tenants.told_since(Some(&next.mark)).tenants.is_empty());
        assert!(
            ["acme", "other", "nowhere"].map(|name| tenants.is_open(&TenantId::trusted(name))) == [true, false, false]
        );
    }

    #[test]
    fn when_a_tenant_is_gone_everything_is_told_anew() {
        let tenants = tenants(&[("acme", false), ("other", false)]);
        let mark = tenants.told_since(None).mark;
        tenants.heard().take(list(false, &[("acme", false)]));
        let told = tenants.told_since(Some(&mark));
        assert_eq!((told.only_changes, names(&told)), (false, vec![("acme", false)]));
    }

    #[tokio::test]
    async fn a_tenant_that_cannot_be_asked_for_is_not_taken_for_missing() {
        let tenants = tenants(&[("acme", false)]);
        assert!(tenants.look_for("acme").await.is_ok());
        assert!(tenants.look_for("new").await.is_err());
        assert_eq!(tenants.told_since(None).age, None);
    }
}
