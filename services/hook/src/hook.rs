//! Hooks: configured ways in for foreign senders.

use runwarden_engines::catalog::Catalog;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Result, slug};
use serde::{Deserialize, Serialize};

use crate::store::key;

/// A configured way in for a foreign sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// A slug, unique in its tenant.
    pub name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// The project that it belongs to.
    pub project: String,
    /// The template that its deliveries run.
    pub template: String,
    /// When it was made.
    pub created_at: Moment,
    /// Grows with every change.
    pub revision: i64,
}

/// Manages hooks.
#[derive(Clone)]
pub struct Hooks {
    catalog: Catalog,
}

impl Hooks {
    /// Over a catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    /// Lists the hooks the caller may see.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Hook>> {
        let tenant = caller.require_tenant()?;
        let visible = caller.visible(Permission::HooksRead);
        let listing = Listing::of("hooks", Some(tenant.as_str()));
        let seen = |hook: &Hook| visible.includes(&hook.project);
        self.catalog.page(&listing, &key::hooks(tenant), page, slug::is_slug, seen).await
    }
}
