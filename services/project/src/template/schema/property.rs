//! What is demanded of each parameter, so that it gets to AWX as what the caller meant.

use std::collections::BTreeMap;

use runwarden_kit::FieldError;
use runwarden_kit::json::pointer_step;
use runwarden_kit::launch_field::{LaunchField, TARGET_KEYWORD, check_name};
use serde_json::Value;

use super::{Schema, field};

/// Everything that is wrong with the parameters.
pub(super) fn check(schema: &Schema) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let mut taken = BTreeMap::new();
    for (name, target, property) in schema.properties() {
        let place = format!("/properties{}", pointer_step(name));
        if let Err(detail) = check_name(name, target) {
            wrong.push(field(&place, detail));
        }
        if let Some(keyword) = property.get(TARGET_KEYWORD)
            && keyword.as_str().and_then(LaunchField::by_name).is_none()
        {
            let detail = "must name a launch field of AWX, such as `extra_vars` or `limit`";
            wrong.push(field(&format!("{place}{}", pointer_step(TARGET_KEYWORD)), detail));
        }
        if target.operators_only() {
            let detail = format!(
                "would let callers choose AWX objects by id as `{}`; fix the value instead, or, if it is meant as a \
                 variable, say `\"{TARGET_KEYWORD}\": \"extra_vars\"`",
                target.name()
            );
            wrong.push(field(&place, detail));
        }
        if target != LaunchField::ExtraVars {
            if let Some(other) = taken.insert(target, name) {
                wrong.push(field(&place, format!("goes into the same launch field as `{other}`")));
            }
            if let Some(kind) = json_type(target)
                && !fits(property, kind)
            {
                let detail = format!("must say `\"type\": \"{kind}\"`, as it goes into AWX's `{}`", target.name());
                wrong.push(field(&place, detail));
            }
        }
    }
    for (at, name) in schema.required().enumerate() {
        if !schema.has(name) {
            wrong.push(field(&format!("/required/{at}"), "names a parameter that is not in `properties`"));
        }
    }
    wrong
}

/// The JSON type AWX takes for a launch field.
fn json_type(target: LaunchField) -> Option<&'static str> {
    use LaunchField as F;
    match target {
        F::Limit | F::JobTags | F::SkipTags | F::ScmBranch | F::JobType => Some("string"),
        F::Verbosity | F::Forks | F::Timeout | F::JobSliceCount => Some("integer"),
        F::DiffMode => Some("boolean"),
        F::ExtraVars | F::Inventory | F::Credentials | F::Labels | F::InstanceGroups | F::ExecutionEnvironment => None,
    }
}

/// Whether a schema lets only one type through, as far as can be seen at its surface.
fn fits(property: &Value, kind: &str) -> bool {
    let of_kind = |value: &Value| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => value.is_boolean(),
    };
    match property.get("type") {
        Some(given) => given.as_str() == Some(kind),
        None => {
            property.get("const").is_some_and(of_kind)
                || property
                    .get("enum")
                    .and_then(Value::as_array)
                    .is_some_and(|choices| !choices.is_empty() && choices.iter().all(of_kind))
        }
    }
}
