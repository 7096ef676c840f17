//! Projects: teams' spaces inside a tenant.

use runwarden_engines::config::{Change, Commit};
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, Result, slug};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::refusal::{creation, require_or_hide};
use crate::store::{Begun, Catalog, Repeat, Stored, keep, key, put};
use crate::{tenant, text};

/// A team's space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// A slug, unique in its tenant.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// When it was made.
    pub created_at: Moment,
    /// Grows with every change, from 1.
    pub revision: i64,
}

/// A project to be made.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// A slug.
    pub name: String,
    /// For people; empty takes the name.
    pub display_name: String,
}

pub(crate) async fn find(catalog: &Catalog, tenant: &TenantId, name: &str) -> Result<Option<Stored<Project>>> {
    if !slug::is_slug(name) {
        return Ok(None);
    }
    catalog.get(&key::project(tenant, name)).await
}

/// Manages projects.
#[derive(Clone)]
pub struct Projects {
    catalog: Catalog,
}

impl Projects {
    /// Over a catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    /// Makes a project in the tenant the caller acts for.
    pub async fn create(&self, caller: &Caller, new: NewProject, repeat: &Repeat) -> Result<Project> {
        let tenant = tenant::open(&self.catalog, caller).await?;
        let ticket = match self.catalog.begin(caller, "project.create", repeat).await? {
            Begun::Replay(project) => return Ok(project),
            Begun::Fresh(ticket) => ticket,
        };
        caller.require(Permission::ProjectsWrite, &Scope::tenant(&tenant.name))?;
        slug::check("/name", &new.name)?;
        let display_name = text::display_name(&new.display_name, &new.name)?;
        let own = key::project(&tenant.name, &new.name);
        let project =
            Project { name: new.name, display_name, tenant: tenant.name, created_at: self.catalog.now(), revision: 1 };
        let retired = key::retired_project(&project.tenant, &project.name);
        let mut change = Change::new();
        change.absent(&own).absent(&retired);
        put(&mut change, &own, &project)?;
        keep(&ticket, &mut change, &project)?;
        let entry = self
            .catalog
            .entry(&project.tenant, "project.create", "project", &project.name)
            .details(&json!({ "display_name": project.display_name }))
            .build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(project),
            Commit::Refused { key } if key == retired => Err(Error::new(
                ErrorReason::AlreadyExists,
                format!("There was a project {} before. Names are not reused: choose another.", project.name),
            )),
            Commit::Refused { key } => Err(creation(&ticket, &key, &own, "project", &project.name)),
        }
    }

    /// Reads a project the caller may see.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Project> {
        slug::check("/name", name)?;
        let tenant = tenant::acting(&self.catalog, caller).await?;
        require_or_hide(caller, Permission::ProjectsRead, &[], &Scope::project(&tenant.name, name), "project")?;
        Ok(find(&self.catalog, &tenant.name, name).await?.ok_or_else(|| Error::not_found("project"))?.value)
    }

    /// Lists the projects the caller may see.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Project>> {
        let tenant = tenant::acting(&self.catalog, caller).await?;
        let visible = caller.visible(Permission::ProjectsRead);
        let listing = Listing::of("projects", Some(tenant.name.as_str()));
        let seen = |project: &Project| visible.includes(&project.name);
        self.catalog.page(&listing, &key::projects(&tenant.name), page, slug::is_slug, seen).await
    }

    /// Removes a project that has no templates. Its name stays taken: roles that were given at it, and records that
    /// name it, must never come to mean another project.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        slug::check("/name", name)?;
        let tenant = tenant::acting(&self.catalog, caller).await?;
        let scope = Scope::project(&tenant.name, name);
        require_or_hide(caller, Permission::ProjectsWrite, &[Permission::ProjectsRead], &scope, "project")?;
        tenant.check_open(caller)?;
        let found = find(&self.catalog, &tenant.name, name).await?.ok_or_else(|| Error::not_found("project"))?;
        let uses = key::project_uses(&tenant.name, name);
        let mut change = Change::new();
        change.vacant(&uses).at(&found.key, found.revision).delete(&found.key);
        put(&mut change, key::retired_project(&tenant.name, name), &json!({ "retired_at": self.catalog.now() }))?;
        let entry = self.catalog.entry(&tenant.name, "project.delete", "project", name).build();
        match self.catalog.commit(change, &entry).await? {
            Commit::Done { .. } => Ok(()),
            Commit::Refused { key } if key == uses => {
                Err(Error::conflict("The project still has templates. Remove them first."))
            }
            Commit::Refused { .. } => Err(Error::changed("project")),
        }
    }
}
