//! Field by field, what a launch may send: types, choices, references. All shapes of complaint are AWX's.

use serde_json::{Map, Value, json};

use super::variables;
use crate::state::State;
use crate::state::template::TemplateKind;

/// A body whose fields are each well-formed.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) fields: Map<String, Value>,
    pub(crate) extra_vars: Map<String, Value>,
}

type Complaint = String;

/// The installation's setting of that name.
pub(crate) const MAX_FORKS: i64 = 200;

/// Checks every field that a launch knows; others are ignored without a word, as AWX does.
pub(crate) fn check(
    state: &State,
    kind: TemplateKind,
    body: &Map<String, Value>,
) -> Result<Checked, Map<String, Value>> {
    let mut checked = Checked::default();
    let mut errors = Map::new();
    for (field, _) in kind.prompts() {
        let sent = body.get(*field).or_else(|| alias(field).and_then(|name| body.get(name)));
        let Some(sent) = sent else { continue };
        if *field == "extra_vars" {
            match variables::read(sent) {
                Ok(vars) => checked.extra_vars = vars,
                Err(why) => {
                    errors.insert((*field).to_owned(), json!([why]));
                }
            }
            continue;
        }
        match value(state, field, sent) {
            Ok(Value::Null) => {}
            Ok(value) => {
                checked.fields.insert((*field).to_owned(), value);
            }
            Err(why) => {
                errors.insert((*field).to_owned(), json!([why]));
            }
        }
    }
    if body.get("credential_passwords").is_some_and(|v| !v.is_object() && !v.is_null()) {
        errors.insert("credential_passwords".to_owned(), json!(["Expected a dictionary of items."]));
    }
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

fn alias(field: &str) -> Option<&'static str> {
    (field == "inventory").then_some("inventory_id")
}

fn value(state: &State, field: &str, sent: &Value) -> Result<Value, Complaint> {
    if sent.is_null() {
        return match field {
            "credentials" | "labels" | "instance_groups" => Err("This field may not be null.".to_owned()),
            _ => Ok(Value::Null),
        };
    }
    match field {
        "limit" | "job_tags" | "skip_tags" | "scm_branch" => text(sent),
        "job_type" => choice(sent, &["run", "check"]),
        "verbosity" => match integer(sent) {
            Ok(number) if (0..=5).contains(&number) => Ok(number.into()),
            _ => Err(not_a_choice(sent)),
        },
        "diff_mode" => boolean(sent),
        "forks" | "job_slice_count" | "timeout" => {
            let number = integer(sent)?;
            if number < 0 && field != "timeout" {
                return Err("Ensure this value is greater than or equal to 0.".to_owned());
            }
            if field == "forks" && number > MAX_FORKS {
                return Err(format!("Maximum number of forks ({MAX_FORKS}) exceeded."));
            }
            Ok(number.into())
        }
        "inventory" => reference(state, "inventories", sent),
        "execution_environment" => reference(state, "execution_environments", sent),
        "credentials" => references(state, "credentials", sent),
        "labels" => references(state, "labels", sent),
        "instance_groups" => references(state, "instance_groups", sent),
        _ => Ok(Value::Null),
    }
}

fn text(sent: &Value) -> Result<Value, Complaint> {
    let content = match sent {
        Value::String(content) => content.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err("Not a valid string.".to_owned()),
    };
    if content.contains('\0') {
        return Err("Null characters are not allowed.".to_owned());
    }
    Ok(content.into())
}

fn choice(sent: &Value, known: &[&str]) -> Result<Value, Complaint> {
    match sent.as_str() {
        Some(text) if known.contains(&text) => Ok(text.into()),
        _ => Err(not_a_choice(sent)),
    }
}

fn not_a_choice(sent: &Value) -> Complaint {
    format!("\"{}\" is not a valid choice.", crate::python::text(sent))
}

fn integer(sent: &Value) -> Result<i64, Complaint> {
    match sent {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| "A valid integer is required.".to_owned())
}

fn boolean(sent: &Value) -> Result<Value, Complaint> {
    match sent {
        Value::Bool(flag) => Ok((*flag).into()),
        Value::String(text) => match text.to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true.into()),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(false.into()),
            _ => Err("Must be a valid boolean.".to_owned()),
        },
        Value::Number(number) => match number.as_i64() {
            Some(0) => Ok(false.into()),
            Some(1) => Ok(true.into()),
            _ => Err("Must be a valid boolean.".to_owned()),
        },
        _ => Err("Must be a valid boolean.".to_owned()),
    }
}

fn reference(state: &State, collection: &str, sent: &Value) -> Result<Value, Complaint> {
    let id = match sent {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Array(_) => return Err("Incorrect type. Expected pk value, received list.".to_owned()),
        Value::Object(_) => return Err("Incorrect type. Expected pk value, received dict.".to_owned()),
        Value::Bool(_) => return Err("Incorrect type. Expected pk value, received bool.".to_owned()),
        Value::Null => return Ok(Value::Null),
    };
    match id.filter(|id| state.row(collection, *id).is_some()) {
        Some(id) => Ok(id.into()),
        None if sent.is_string() && id.is_none() => Err("Incorrect type. Expected pk value, received str.".to_owned()),
        None => Err(format!("Invalid pk \"{}\" - object does not exist.", crate::python::text(sent))),
    }
}

fn references(state: &State, collection: &str, sent: &Value) -> Result<Value, Complaint> {
    let Value::Array(items) = sent else {
        let kind = match sent {
            Value::String(_) => "str",
            Value::Bool(_) => "bool",
            Value::Number(_) => "int",
            _ => "dict",
        };
        return Err(format!("Expected a list of items but got type \"{kind}\"."));
    };
    let ids: Result<Vec<Value>, Complaint> = items.iter().map(|item| reference(state, collection, item)).collect();
    ids.map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(body: Value) -> Value {
        check(&State::fresh(), TemplateKind::Job, body.as_object().unwrap())
            .map(|_| Value::Null)
            .unwrap_or_else(Value::Object)
    }

    #[test]
    fn each_mistake_has_awx_shape() {
        assert_eq!(
            complaints(json!({"inventory": 999})),
            json!({"inventory": ["Invalid pk \"999\" - object does not exist."]})
        );
        assert_eq!(complaints(json!({"verbosity": 9})), json!({"verbosity": ["\"9\" is not a valid choice."]}));
        assert_eq!(complaints(json!({"limit": "a\0b"})), json!({"limit": ["Null characters are not allowed."]}));
        assert_eq!(complaints(json!({"extra_vars": null})), json!({"extra_vars": ["This field may not be null."]}));
        assert_eq!(
            complaints(json!({"labels": "x"})),
            json!({"labels": ["Expected a list of items but got type \"str\"."]})
        );
    }

    #[test]
    fn the_alias_of_inventory_works() {
        let body = json!({"inventory_id": "2"});
        let checked = check(&State::fresh(), TemplateKind::Job, body.as_object().unwrap()).unwrap();
        assert_eq!(checked.fields["inventory"], 2);
    }
}
