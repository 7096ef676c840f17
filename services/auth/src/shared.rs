//! What the nouns of this service share.

use std::sync::Arc;

use runwarden_kit::Result;
use runwarden_kit::audit::EntryBuilder;
use runwarden_kit::clock::{Clock, Moment};
use runwarden_kit::revoked::Present;
use runwarden_kit::trust::Ticks;

use crate::audit;
use crate::client::secret::Pepper;
use crate::role::principal::Principal;
use crate::role::record::Roles;
use crate::store::Store;
use crate::trust::scopes::Scopes;
use crate::trust::state::Trust;

/// The service's dependencies, passed to everything that needs them.
pub(crate) struct Shared {
    /// Where everything is kept.
    pub(crate) store: Store,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// How time passes, whatever the clock is set to.
    pub(crate) ticks: Ticks,
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

    /// Now, by both clocks.
    pub(crate) fn present(&self) -> Present {
        Present { wall: self.now(), steady: (self.ticks)() }
    }

    /// An audit entry.
    pub(crate) fn entry(&self, action: &str, object_type: &str, object_id: &str) -> EntryBuilder {
        audit::entry(&*self.clock, action, object_type, object_id)
    }

    /// Looks up the roles a principal holds.
    pub(crate) async fn roles_of(&self, principal: &Principal) -> Result<Roles> {
        let names: Vec<&str> = principal.bindings.iter().map(|binding| &*binding.role).collect();
        Roles::load(&self.store, principal.tenant.as_ref(), &names).await
    }
}
