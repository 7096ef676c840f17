//! What a launch request comes to: refused, or accepted with some of it dropped. No I/O here.

pub(crate) mod fields;
pub(crate) mod make;
pub(crate) mod survey;
pub(crate) mod variables;

use serde_json::{Map, Value, json};

use crate::state::State;
use crate::state::template::{Template, TemplateKind};

/// A launch that AWX would take.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// Prompted fields other than variables, checked and normalised.
    pub(crate) fields: Map<String, Value>,
    /// Variables that got through, before defaults.
    pub(crate) extra_vars: Map<String, Value>,
    /// What was dropped without being an error.
    pub(crate) ignored: Map<String, Value>,
}

/// Judges a request body. The error is the body of the 400 answer.
pub(crate) fn judge(
    state: &State,
    template: &Template,
    body: &Map<String, Value>,
) -> Result<Accepted, Map<String, Value>> {
    let checked = fields::check(state, template.kind, body)?;
    let mut errors = Map::new();
    let mut accepted = Accepted::default();
    let mut ignored_vars = Map::new();
    let sorted = survey::sort(template, checked.extra_vars);
    accepted.extra_vars = sorted.accepted;
    if !sorted.errors.is_empty() {
        errors.insert("variables_needed_to_start".to_owned(), sorted.errors.into());
    }
    for (name, value) in sorted.left {
        if template.asks("extra_vars") {
            accepted.extra_vars.insert(name, value);
        } else if template.extra_vars.get(&name) != Some(&value) {
            ignored_vars.insert(name, value);
        }
    }
    if template.kind == TemplateKind::Workflow && !ignored_vars.is_empty() {
        let names: Vec<&str> = ignored_vars.keys().map(String::as_str).collect();
        let text = format!(
            "Variables {} are not allowed on launch. Check the Prompt on Launch setting on the {} to include Extra Variables.",
            names.join(", "),
            template.kind.label()
        );
        errors.insert("extra_vars".to_owned(), json!([text]));
    }
    for (field, wish) in checked.fields {
        let wish = without_own(template, &field, wish);
        if wish.is_null() || wish == template.own_value(&field) {
            continue;
        }
        if template.asks(&field) {
            accepted.fields.insert(field, wish);
        } else if template.kind == TemplateKind::Workflow {
            errors.insert(field, json!(["Field is not configured to prompt on launch."]));
        } else {
            accepted.ignored.insert(field, wish);
        }
    }
    if !ignored_vars.is_empty() {
        accepted.ignored.insert("extra_vars".to_owned(), Value::Object(ignored_vars));
    }
    if template.kind == TemplateKind::Job {
        if template.inventory.is_none() && !accepted.fields.contains_key("inventory") {
            errors.insert(
                "resources_needed_to_start".to_owned(),
                json!(["Job Template inventory is missing or undefined."]),
            );
        }
        let missing = missing_passwords(template, body);
        if !missing.is_empty() {
            errors.insert("passwords_needed_to_start".to_owned(), json!(missing));
        }
    }
    if errors.is_empty() { Ok(accepted) } else { Err(errors) }
}

/// Of a set, what the template has already counts neither as accepted nor as ignored.
fn without_own(template: &Template, field: &str, wish: Value) -> Value {
    if !matches!(field, "credentials" | "labels") {
        return wish;
    }
    let (Value::Array(wished), Value::Array(own)) = (&wish, template.own_value(field)) else { return wish };
    let fresh: Vec<Value> = wished.iter().filter(|id| !own.contains(id)).cloned().collect();
    if fresh.is_empty() { Value::Null } else { fresh.into() }
}

/// Without `credential_passwords` the whole body doubles as it.
fn missing_passwords<'t>(template: &'t Template, body: &Map<String, Value>) -> Vec<&'t str> {
    let given = match body.get("credential_passwords") {
        Some(Value::Object(map)) => map,
        _ => body,
    };
    template
        .passwords_needed
        .iter()
        .map(String::as_str)
        .filter(|name| given.get(*name).and_then(Value::as_str).is_none_or(str::is_empty))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use serde_json::json;

    fn verdict(id: u64, body: Value) -> Result<Accepted, Value> {
        let state = State::fresh();
        let template = state.templates.get(&id).unwrap().clone();
        judge(&state, &template, body.as_object().unwrap()).map_err(Value::Object)
    }

    #[test]
    fn a_job_template_drops_what_it_does_not_ask_for() {
        let accepted = verdict(9, json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t", "nonsense": 1})).unwrap();
        assert_eq!(
            Value::Object(accepted.ignored),
            json!({"extra_vars": {"gw_correlation_id": "c-1"}, "limit": "nohost", "labels": [1], "job_tags": "t"})
        );
        assert!(accepted.extra_vars.is_empty() && accepted.fields.is_empty());
    }

    #[test]
    fn a_workflow_template_refuses_what_it_does_not_ask_for() {
        assert_eq!(
            verdict(20, json!({"limit": "x", "extra_vars": {"x": 1}})).unwrap_err(),
            json!({
                "limit": ["Field is not configured to prompt on launch."],
                "extra_vars": ["Variables x are not allowed on launch. Check the Prompt on Launch setting on the Workflow Job Template to include Extra Variables."]
            })
        );
    }

    #[test]
    fn a_missing_inventory_is_named() {
        assert_eq!(
            verdict(18, json!({})).unwrap_err(),
            json!({"resources_needed_to_start": ["Job Template inventory is missing or undefined."]})
        );
    }

    #[test]
    fn what_equals_the_template_is_neither_accepted_nor_ignored() {
        let accepted =
            verdict(27, json!({"extra_vars": {"colour": "green"}, "limit": "", "verbosity": 0, "credentials": [1]}))
                .unwrap();
        assert!(accepted.ignored.is_empty() && accepted.fields.is_empty() && accepted.extra_vars.is_empty());
    }

    #[test]
    fn the_body_doubles_as_passwords_unless_they_are_given_apart() {
        assert!(verdict(26, json!({"ssh_password": "x"})).is_ok());
        assert!(verdict(26, json!({"credential_passwords": {"ssh_password": "x"}})).is_ok());
        assert_eq!(
            verdict(26, json!({"ssh_password": "x", "credential_passwords": {}})).unwrap_err(),
            json!({"passwords_needed_to_start": ["ssh_password"]})
        );
    }
}
