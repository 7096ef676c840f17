//! What is asked, and the input document that policies see of it.

use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, json, slug};
use serde_json::{Map, Value, json};

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The tenant it would happen in.
    pub tenant: TenantId,
    /// The project it would happen in.
    pub project: String,
    /// The permission it needs.
    pub action: Permission,
    /// The template.
    pub template: String,
    /// The controller the template is on.
    pub controller: String,
    /// The parameters, without secrets.
    pub parameters: Map<String, Value>,
}

impl Question {
    /// Refuses what could not have been asked.
    pub fn check(&self) -> Result<()> {
        slug::check("/tenant", &self.tenant)?;
        slug::check("/project", &self.project)?;
        slug::check("/template", &self.template)?;
        slug::check("/controller", &self.controller)?;
        Ok(())
    }

    /// Where it would happen.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::project(&self.tenant, &self.project)
    }

    /// The document policies decide on.
    #[must_use]
    pub fn input(&self, caller: &Caller, now: Moment) -> Value {
        let scope = self.scope();
        json!({
            "principal": {
                "id": caller.principal,
                "name": caller.name,
                "client_id": caller.client_id,
                "tenant": caller.home_tenant,
                "roles": caller.roles_at(&scope),
                "permissions": caller.permissions_at(&scope),
                "authenticated_by": caller.authenticated_by,
            },
            "action": self.action.name(),
            "tenant": self.tenant,
            "project": self.project,
            "template": {"name": self.template, "controller": self.controller},
            "parameters": self.parameters,
            "time": now.rfc3339(),
        })
    }
}

/// Reads parameters as they come over the wire; nothing is an empty object.
pub fn parameters(text: &str) -> Result<Map<String, Value>> {
    const POINTER: &str = "/parameters_json";
    if text.is_empty() {
        return Ok(Map::new());
    }
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(parameters)) => Ok(parameters),
        Ok(_) => Err(Error::invalid(POINTER, "must be a JSON object")),
        Err(error) => Err(Error::invalid(POINTER, error.detail())),
    }
}

/// An ordinary question, to try new modules with.
#[must_use]
pub fn sample(tenant: &str, now: Moment) -> String {
    let tenant = if tenant.is_empty() { "sample" } else { tenant };
    json::canonical(&json!({
        "principal": {
            "id": "sa_00000000000000000000000000000000",
            "name": "sample",
            "client_id": "client_00000000000000000000000000000000",
            "tenant": tenant,
            "roles": ["launcher"],
            "permissions": ["jobs.submit"],
            "authenticated_by": "client_credentials",
        },
        "action": "jobs.submit",
        "tenant": tenant,
        "project": "sample",
        "template": {"name": "sample", "controller": "sample"},
        "parameters": {},
        "time": now.rfc3339(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sample_has_the_shape_of_a_real_question() {
        let question = Question {
            tenant: TenantId::trusted("acme"),
            project: "web".to_owned(),
            action: Permission::JobsSubmit,
            template: "deploy".to_owned(),
            controller: "awx".to_owned(),
            parameters: Map::new(),
        };
        question.check().unwrap();
        let now = Moment::from_micros(1_763_000_000_000_000);
        let caller = Caller::example(&[Permission::JobsSubmit], question.scope());
        let real = question.input(&caller, now);
        let sample: Value = serde_json::from_str(&sample("acme", now)).unwrap();
        let shape = |value: &Value| -> Vec<String> {
            let mut keys: Vec<_> = ["", "/principal", "/template"]
                .iter()
                .flat_map(|pointer| value.pointer(pointer).unwrap().as_object().unwrap().keys())
                .cloned()
                .collect();
            keys.sort();
            keys
        };
        assert_eq!(shape(&real), shape(&sample));
        assert_eq!(real["principal"]["roles"], json!(["example"]));
    }

    #[test]
    fn parameters_are_an_object_or_refused_with_their_place() {
        assert!(parameters("").unwrap().is_empty());
        assert_eq!(parameters("{\"a\": 1}").unwrap().len(), 1);
        for bad in ["[]", "1", "{", "{\"a\":1,\"a\":2}", &"[".repeat(10_000)] {
            assert_eq!(parameters(bad).unwrap_err().fields()[0].pointer, "/parameters_json");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parameters_or_refused(text in any::<String>()) {
            let _ = parameters(&text);
        }
    }
}
