//! What the operator set for all hooks, and otherwise for one.

use runwarden_kit::tenant::TenantId;

/// One thing for all hooks, and another for the one that stands in for another program.
#[derive(Clone, Debug)]
pub(crate) struct ByHook<T> {
    general: T,
    own: Option<Own<T>>,
}

#[derive(Clone, Debug)]
struct Own<T> {
    tenant: String,
    hook: String,
    value: T,
}

impl<T> ByHook<T> {
    /// The same for all hooks.
    pub(crate) fn all(general: T) -> Self {
        Self { general, own: None }
    }

    /// Another one for this hook of this tenant.
    pub(crate) fn but(self, tenant: &str, hook: &str, value: T) -> Self {
        Self { own: Some(Own { tenant: tenant.to_owned(), hook: hook.to_owned(), value }), ..self }
    }

    /// The one for a hook. Another tenant's hook of the same name is another hook.
    pub(crate) fn of(&self, tenant: &TenantId, hook: &str) -> &T {
        let own = self.own.as_ref().filter(|own| own.tenant == tenant.as_str() && own.hook == hook);
        own.map_or(&self.general, |own| &own.value)
    }

    /// Whether this holds for whatever hook.
    pub(crate) fn every(&self, holds: impl Fn(&T) -> bool) -> bool {
        holds(&self.general) && self.own.as_ref().is_none_or(|own| holds(&own.value))
    }

    /// The one for all hooks but one.
    pub(crate) fn general(&self) -> &T {
        &self.general
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_one_hook_is_not_for_anothers_of_the_same_name() {
        let of = ByHook::all(57).but("tfe-analytics", "run-task", 1);
        let at = |tenant: &str, hook| *of.of(&TenantId::trusted(tenant), hook);
        assert_eq!(at("tfe-analytics", "run-task"), 1);
        assert_eq!((at("tfe-analytics", "other"), at("acme", "run-task"), *of.general()), (57, 57, 57));
    }
}
