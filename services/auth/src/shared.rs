//! What the nouns of this service share.

use std::sync::Arc;

use runwarden_engines::config::Change;
use runwarden_kit::Result;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::clock::{Clock, Moment};

use crate::principal::Principal;
use crate::project::Scopes;
use crate::record;
use crate::revocation;
use crate::role::Roles;
use crate::secret::Pepper;
use crate::store::Store;
use crate::trust::Trust;

/// The service's dependencies, passed to whoever needs them.
pub(crate) struct Shared {
    /// Where everything is kept.
    pub(crate) store: Store,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// Which tenants and projects exist.
    pub(crate) scopes: Arc<dyn Scopes>,
    /// The key under which client secrets are hashed.
    pub(crate) pepper: Pepper,
    /// What other services verify tokens with.
    pub(crate) trust: Arc<Trust>,
}

impl Shared {
    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// An audit entry.
    pub(crate) fn entry(&self, action: &str, object_type: &str, object_id: &str) -> EntryBuilder {
        record::entry(&*self.clock, action, object_type, object_id)
    }

    /// Looks up the roles a principal holds.
    pub(crate) async fn roles_of(&self, principal: &Principal) -> Result<Roles> {
        let names: Vec<&str> = principal.bindings.iter().map(|binding| &*binding.role).collect();
        Roles::load(&self.store, principal.tenant.as_deref(), &names).await
    }

    /// To be called after a commit that ended a principal's tokens, with a moment taken before that commit.
    ///
    /// A token that was being issued meanwhile carries a moment between the two, though it was committed first:
    /// this ends it too. Tokens that are issued from now on carry a later moment.
    pub(crate) async fn end_stragglers(&self, principal: &str) {
        let mut change = Change::new();
        let ended = match revocation::end_principal(&mut change, principal, self.now()) {
            Ok(()) => self.store.commit_silently(change).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(principal, cause = ?error.cause(), "tokens issued during a revocation may have escaped it: {error}");
        }
        self.trust.changed();
    }
}
