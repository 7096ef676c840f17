//! Onboarding: what an administrator does once.

use serde_json::{Map, Value, json};

use crate::api::{Api, Credentials};
use crate::controller::Controller;
use crate::reach::Reach;

/// The project of every tenant under test.
pub const PROJECT: &str = "web";
/// The controller of every tenant under test.
pub const CONTROLLER: &str = "awx";

/// A tenant with a project, a controller, an administrator and a launcher.
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// The platform's administrator, acting for it.
    pub platform: Api,
    /// Its own administrator, on the admin listener.
    pub admin: Api,
    /// Its administrator's credentials.
    pub admin_credentials: Credentials,
    /// A service account that may launch, on the public listener.
    pub launcher: Api,
    /// The launcher's credentials.
    pub launcher_credentials: Credentials,
    reach: Reach,
}

impl Tenant {
    /// Makes all of that.
    ///
    /// # Panics
    /// When a part of it is refused.
    pub async fn onboard(reach: &Reach, name: &str, controller: &Controller) -> Self {
        let platform = reach.platform_admin().await;
        let _tenant = platform.post("/api/v1/tenants", &json!({"name": name, "display_name": name})).await.expect(201);
        let platform = platform.acting_for(name);
        let body = json!({"name": "administrator", "roles": ["tenant-admin"]});
        let admin_credentials = Credentials::of(&platform.post("/api/v1/clients", &body).await.expect(201));
        let admin = reach.admin(&admin_credentials).await;
        let _project = admin.post("/api/v1/projects", &json!({"name": PROJECT})).await.expect(201);
        let _controller = admin.post("/api/v1/controllers", &controller.mapping(CONTROLLER)).await.expect(201);
        let body = json!({"name": "ci", "project": PROJECT, "roles": ["launcher"]});
        let launcher_credentials = Credentials::of(&admin.post("/api/v1/clients", &body).await.expect(201));
        let launcher = reach.caller(&launcher_credentials).await;
        let reach = reach.clone();
        Self { name: name.to_owned(), platform, admin, admin_credentials, launcher, launcher_credentials, reach }
    }

    /// Maps one of the sandbox's templates with the survey that it has.
    pub async fn map(&self, name: &str, template: &str) -> Value {
        self.map_with(name, template, json!({"parameters": "import"})).await
    }

    /// Maps one of the sandbox's templates that takes nothing.
    pub async fn map_bare(&self, name: &str, template: &str) -> Value {
        self.map_with(name, template, json!({"parameters": {"type": "object", "properties": {}}})).await
    }

    /// Maps one of the sandbox's templates with these settings.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn map_with(&self, name: &str, template: &str, settings: Value) -> Value {
        self.admin.post("/api/v1/templates", &mapping(name, template, settings)).await.expect(201)
    }

    /// Makes a client of this tenant.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn client(&self, name: &str, project: Option<&str>, roles: &[&str]) -> Credentials {
        let mut body = json!({"name": name, "roles": roles});
        if let (Some(project), Some(body)) = (project, body.as_object_mut()) {
            body.insert("project".to_owned(), json!(project));
        }
        Credentials::of(&self.admin.post("/api/v1/clients", &body).await.expect(201))
    }

    /// Makes a client and obtains a token for it, on the public listener.
    pub async fn caller(&self, name: &str, project: Option<&str>, roles: &[&str]) -> Api {
        let credentials = self.client(name, project, roles).await;
        self.reach.caller(&credentials).await
    }
}

/// What is sent to map one of the sandbox's templates.
#[must_use]
pub fn mapping(name: &str, template: &str, settings: Value) -> Value {
    let kind = if template.starts_with("release") { "workflow" } else { "job" };
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(name));
    body.insert("project".to_owned(), json!(PROJECT));
    body.insert("controller".to_owned(), json!(CONTROLLER));
    body.insert("controller_template".to_owned(), json!({"kind": kind, "id": Controller::template(template)}));
    if let Value::Object(settings) = settings {
        body.extend(settings);
    }
    Value::Object(body)
}
