//! Surveys: which variables they take, in AWX's words when they do not, and the defaults they fill in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::python::{repr, text};
use crate::state::template::{Question, Template};

const MASK: &str = "$encrypted$";

/// Variables sorted by the survey.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) accepted: Map<String, Value>,
    /// Variables the survey does not name.
    pub(crate) left: Map<String, Value>,
    pub(crate) errors: Vec<String>,
}

/// Takes the survey's variables out of what was sent.
pub(crate) fn sort(template: &Template, mut sent: Map<String, Value>) -> Sorted {
    let mut sorted = Sorted::default();
    for question in template.questions() {
        let value = sent.remove(&question.variable);
        let errors = check(question, value.as_ref());
        if errors.is_empty() {
            if let Some(value) = value {
                sorted.accepted.insert(question.variable.clone(), value);
            }
        } else {
            sorted.errors.extend(errors);
        }
    }
    sorted.left = sent;
    sorted
}

/// The variables a run gets: the template's own, the survey's defaults, then what was accepted.
pub(crate) fn fill(template: &Template, accepted: Map<String, Value>) -> Map<String, Value> {
    let mut vars = template.extra_vars.clone();
    for question in template.questions() {
        if !question.default.is_null() && check(question, Some(&question.default)).is_empty() {
            vars.insert(question.variable.clone(), question.default.clone());
        }
    }
    let secrets = secrets(template);
    for (name, value) in accepted {
        // The mask sent literally means "use the default".
        if secrets.contains(&name) && value == MASK {
            continue;
        }
        vars.insert(name, value);
    }
    vars
}

/// Variables that come from password questions and are never shown.
pub(crate) fn secrets(template: &Template) -> BTreeSet<String> {
    template.questions().iter().filter(|q| q.kind == "password").map(|q| q.variable.clone()).collect()
}

fn check(question: &Question, value: Option<&Value>) -> Vec<String> {
    let name = &question.variable;
    let missing = || vec![format!("'{name}' value missing")];
    let Some(value) = value else {
        return if question.required { missing() } else { Vec::new() };
    };
    if question.kind == "password" && value == MASK {
        return if question.required && question.default.is_null() { missing() } else { Vec::new() };
    }
    match question.kind.as_str() {
        "text" | "textarea" | "password" => check_text(question, value),
        "integer" => match value.as_i64() {
            Some(number) => check_range(question, value, number as f64),
            None => vec![format!("Value {} for '{name}' expected to be an integer.", text(value))],
        },
        "float" => match value.as_f64() {
            Some(number) => check_range(question, value, number),
            None => vec![format!("Value {} for '{name}' expected to be a numeric type.", text(value))],
        },
        "multiselect" => match value {
            Value::Array(items) => items.iter().filter_map(|item| check_choice(question, item)).collect(),
            _ => vec![format!("'{name}' value is expected to be a list.")],
        },
        _ => check_choice(question, value).into_iter().collect(),
    }
}

fn check_text(question: &Question, value: &Value) -> Vec<String> {
    let name = &question.variable;
    let Value::String(content) = value else {
        return vec![format!("Value {} for '{name}' expected to be a string.", text(value))];
    };
    // A password is never repeated in an answer.
    let shown = if question.kind == "password" { MASK } else { content.as_str() };
    let length = i64::try_from(content.chars().count()).unwrap_or(i64::MAX);
    let mut errors = Vec::new();
    if let Some(min) = question.min.filter(|min| length < *min) {
        errors.push(format!("'{name}' value {shown} is too small (length is {length} must be at least {min})."));
    }
    if let Some(max) = question.max.filter(|max| length > *max) {
        errors.push(format!("'{name}' value {shown} is too large (must be no more than {max})."));
    }
    errors
}

fn check_range(question: &Question, value: &Value, number: f64) -> Vec<String> {
    let name = &question.variable;
    let shown = text(value);
    let mut errors = Vec::new();
    if let Some(min) = question.min.filter(|min| number < *min as f64) {
        errors.push(format!("'{name}' value {shown} is too small (must be at least {min})."));
    }
    if let Some(max) = question.max.filter(|max| number > *max as f64) {
        errors.push(format!("'{name}' value {shown} is too large (must be no more than {max})."));
    }
    errors
}

fn check_choice(question: &Question, value: &Value) -> Option<String> {
    let known = value.as_str().is_some_and(|v| question.choices.iter().any(|c| c == v));
    (!known).then(|| {
        let list = Value::from(question.choices.clone());
        format!("Value {} for '{}' expected to be one of {}.", text(value), question.variable, repr(&list))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::seed;
    use serde_json::json;

    fn template(id: u64) -> Template {
        seed::templates().into_iter().find(|t| t.id == id).unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn complaints_are_in_awx_words() {
        let sorted = sort(&template(16), object(json!({"who": "x", "count": "three", "envname": "qa"})));
        assert_eq!(
            sorted.errors,
            [
                "'who' value x is too small (length is 1 must be at least 2).",
                "Value three for 'count' expected to be an integer.",
                "Value qa for 'envname' expected to be one of ['dev', 'prod'].",
            ]
        );
        assert_eq!(sort(&template(16), Map::new()).errors, ["'who' value missing"]);
    }

    #[test]
    fn defaults_are_filled_in_and_others_are_left() {
        let sorted = sort(&template(16), object(json!({"who": "ann", "stray": 1})));
        assert_eq!(Value::Object(sorted.left), json!({"stray": 1}));
        let vars = fill(&template(16), sorted.accepted);
        assert_eq!(
            Value::Object(vars),
            json!({"who": "ann", "count": 3, "envname": "dev", "parts": ["web"], "ratio": 0.5, "gw_correlation_id": ""})
        );
    }

    #[test]
    fn the_mask_means_the_default() {
        let vars = fill(&template(10), object(json!({"deploy_password": "$encrypted$"})));
        assert_eq!(vars["deploy_password"], "sandbox-default-password");
        let vars = fill(&template(10), object(json!({"deploy_password": "other"})));
        assert_eq!(vars["deploy_password"], "other");
    }

    #[test]
    fn a_password_is_not_repeated_in_an_error() {
        let long = "p".repeat(65);
        let sorted =
            sort(&template(10), object(json!({"environment": "dev", "version": "1", "deploy_password": long})));
        assert_eq!(sorted.errors, ["'deploy_password' value $encrypted$ is too large (must be no more than 64)."]);
    }
}
