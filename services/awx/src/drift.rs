use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::fingerprint::{UNREADABLE, what_counts};
use super::read::shown;

/// What changed between two [`super::TemplateView::parts`], in words; empty when nothing did.
pub fn drift(pinned: &Value, now: &Value) -> Vec<String> {
    let none = Map::new();
    let old = pinned.as_object().unwrap_or(&none);
    let new = now.as_object().unwrap_or(&none);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .flat_map(|key| {
            let old = old.get(key).unwrap_or(&Value::Null);
            let new = new.get(key).unwrap_or(&Value::Null);
            if what_counts(old) == what_counts(new) { Vec::new() } else { told(key, old, new) }
        })
        .collect()
}

fn told(key: &str, old: &Value, new: &Value) -> Vec<String> {
    let what = label(key);
    if new == UNREADABLE {
        return vec![format!("{what} can no longer be read by Runwarden's account")];
    }
    if old == UNREADABLE {
        return vec![format!("{what} can now be read and could not be when the template was mapped")];
    }
    match (key, old, new) {
        ("survey" | "extra_vars" | "variables" | "steps" | "scm_url", Value::Null, _) => {
            vec![format!("{what} was added")]
        }
        ("survey" | "extra_vars" | "variables" | "steps" | "scm_url", _, Value::Null) => {
            vec![format!("{what} was removed")]
        }
        ("survey" | "extra_vars" | "variables" | "steps" | "scm_url", _, _) => vec![format!("{what} changed")],
        ("project_source", Value::Object(_), Value::Object(_)) => drift(old, new),
        ("prompts" | "credentials", Value::Array(old), Value::Array(new)) => lists(&what, old, new),
        _ => vec![format!("{what} changed from {} to {}", show(old), show(new))],
    }
}

fn lists(what: &str, old: &[Value], new: &[Value]) -> Vec<String> {
    let missing_in = |items: &[Value], others: &[Value]| -> Vec<String> {
        let others: Vec<Value> = others.iter().map(what_counts).collect();
        items.iter().filter(|item| !others.contains(&what_counts(item))).map(show).collect()
    };
    let added = missing_in(new, old);
    let removed = missing_in(old, new);
    let mut told = Vec::new();
    if !added.is_empty() {
        told.push(format!("{what}: {} added", added.join(", ")));
    }
    if !removed.is_empty() {
        told.push(format!("{what}: {} removed", removed.join(", ")));
    }
    if told.is_empty() {
        told.push(format!("{what} changed"));
    }
    told
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => format!("`{}`", shown(text, 200)),
        Value::Bool(true) => "on".into(),
        Value::Bool(false) => "off".into(),
        Value::Object(map) => match (map.get("name").and_then(Value::as_str), map.get("id")) {
            (Some(name), Some(id)) if !name.is_empty() => format!("`{}` ({id})", shown(name, 200)),
            (_, Some(id)) => id.to_string(),
            _ => shown(&value.to_string(), 200),
        },
        other => shown(&other.to_string(), 200),
    }
}

fn label(key: &str) -> String {
    match key {
        "kind" => "its kind",
        "installation" => "the installation its controller belongs to",
        "playbook" => "the playbook",
        "job_type" => "the job type",
        "inventory" => "the inventory",
        "execution_environment" => "the execution environment",
        "credentials" => "the credentials",
        "project" => "the project",
        "project_source" => "the project's source",
        "scm_type" => "the project's kind of repository",
        "scm_url" => "the address of the project's repository",
        "scm_refspec" => "the project's refspec",
        "scm_branch" => "the branch",
        "local_path" => "the project's folder",
        "scm_update_on_launch" => "updating the project on launch",
        "allow_override" => "letting templates choose the branch",
        "limit" => "the limit",
        "job_tags" => "the tags",
        "skip_tags" => "the tags to skip",
        "extra_vars" | "variables" => "the template's own variables",
        "prompts" => "its prompts",
        "survey" => "the survey",
        "become_enabled" => "privilege escalation",
        "start_at_task" => "the task to start at",
        "job_slice_count" => "the number of slices",
        "steps" => "the workflow's graph of steps",
        other => return shown(other, 64),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_in_words() {
        let pinned = json!({
            "playbook": "site.yml", "inventory": {"id": 1, "name": "prod"}, "prompts": ["limit", "extra_vars"],
            "survey": "aa", "credentials": [{"id": 1, "name": "ssh"}], "become_enabled": false,
            "project_source": {"scm_branch": "main", "scm_update_on_launch": false},
        });
        let now = json!({
            "playbook": "evil.yml", "inventory": {"id": 2, "name": "test"}, "prompts": ["limit", "job_tags"],
            "survey": null, "credentials": [{"id": 1, "name": "renamed"}], "become_enabled": true,
            "project_source": {"scm_branch": "dev", "scm_update_on_launch": false},
        });
        assert_eq!(
            drift(&pinned, &now),
            [
                "privilege escalation changed from off to on",
                "the inventory changed from `prod` (1) to `test` (2)",
                "the playbook changed from `site.yml` to `evil.yml`",
                "the branch changed from `main` to `dev`",
                "its prompts: `job_tags` added",
                "its prompts: `extra_vars` removed",
                "the survey was removed",
            ]
        );
        assert!(drift(&pinned, &pinned).is_empty());
    }

    #[test]
    fn what_can_no_longer_be_read_is_said_to_be_so() {
        let told = drift(&json!({"project_source": {"scm_branch": "main"}}), &json!({"project_source": UNREADABLE}));
        assert_eq!(told, ["the project's source can no longer be read by Runwarden's account"]);
    }

    proptest! {
        #[test]
        fn any_difference_that_counts_is_told_and_no_other(
            a in prop::collection::btree_map("[a-z_]{1,8}", "[a-z]{0,3}", 0..5),
            b in prop::collection::btree_map("[a-z_]{1,8}", "[a-z]{0,3}", 0..5),
        ) {
            let (a, b) = (json!(a), json!(b));
            prop_assert_eq!(drift(&a, &b).is_empty(), a.as_object().unwrap().iter().chain(b.as_object().unwrap())
                .all(|(key, _)| a.get(key) == b.get(key) || key == "name" ));
        }
    }
}
