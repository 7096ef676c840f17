//! What makes a template what it is, so that an operator can pin it and be told when it changes.
//!
//! Names are kept for people but do not count: a renamed inventory is the same inventory. Contents that may hold
//! secrets or are long (default variables, survey, addresses of repositories, workflow steps) count by digest.

use runwarden_kit::json::digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Installation;
use super::read;
use super::survey::{QuestionKind, Survey};
use super::template::{Named, ProjectView, TemplateKind, TemplateView, named};

/// The part that stands for what our account may not read.
pub(super) const UNREADABLE: &str = "unreadable";

impl TemplateView {
    /// The parts behind the fingerprint: a flat object whose keys [`super::drift()`] has words for.
    pub fn parts(&self) -> Value {
        let row = &self.summary.row;
        let mut parts = Map::new();
        parts.insert("kind".into(), self.kind.as_str().into());
        for field in ["limit", "job_tags", "skip_tags", "scm_branch"] {
            parts.insert(field.into(), read::text(row, field).into());
        }
        parts.insert("inventory".into(), told(self.inventory.as_ref()));
        parts.insert("extra_vars".into(), variables(row));
        parts.insert("prompts".into(), self.asks.names().into());
        parts.insert("survey".into(), survey(self.survey.as_ref()));
        match self.kind {
            TemplateKind::Job => {
                parts.insert("playbook".into(), read::text(row, "playbook").into());
                parts.insert("job_type".into(), read::text(row, "job_type").into());
                parts.insert("become_enabled".into(), read::flag(row, "become_enabled").into());
                parts.insert("start_at_task".into(), read::text(row, "start_at_task").into());
                parts.insert("job_slice_count".into(), read::integer(row, "job_slice_count").unwrap_or(1).into());
                parts.insert("execution_environment".into(), told(named(row, "execution_environment").as_ref()));
                parts.insert("credentials".into(), credentials(row));
                parts.insert("project".into(), told(self.project.as_ref().map(|project| &project.named)));
                parts.insert("project_source".into(), source(self.project.as_ref()));
            }
            TemplateKind::Workflow => {
                parts.insert("steps".into(), steps(self.steps.as_deref()));
            }
        }
        parts.into()
    }

    /// The parts of what is pinned: besides, the installation it is on, should that give itself a uuid. The same number
    /// on another installation stands for something else, however much alike the two are.
    pub fn parts_at(&self, here: &Installation) -> Value {
        let mut parts = self.parts();
        if let (Some(parts), Some(uuid)) = (parts.as_object_mut(), here.uuid()) {
            parts.insert(INSTALLATION.into(), uuid.hyphenated().to_string().into());
        }
        parts
    }

    /// SHA-256 over the parts, hex.
    #[cfg(test)]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.parts())
    }
}

/// The part that names the installation.
const INSTALLATION: &str = "installation";

/// SHA-256 over the parts of a template, hex.
#[must_use]
pub fn fingerprint(parts: &Value) -> String {
    digest(&what_counts(parts))
}

/// The installation that a template was pinned on; none if an earlier version pinned it, or it gave no uuid.
#[must_use]
pub fn pinned_installation(parts: &Value) -> Option<Uuid> {
    Uuid::parse_str(parts.get(INSTALLATION)?.as_str()?).ok()
}

/// A part without the names in it.
pub(super) fn what_counts(part: &Value) -> Value {
    match part {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| *key != "name")
            .map(|(key, value)| (key.clone(), what_counts(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(what_counts).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

fn told(named: Option<&Named>) -> Value {
    named.map_or(Value::Null, |named| json!({ "id": named.id, "name": named.name }))
}

fn variables(row: &Value) -> Value {
    match row.get("extra_vars") {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) if matches!(text.trim(), "" | "{}" | "---") => Value::Null,
        Some(other) => digest(other).into(),
    }
}

fn survey(survey: Option<&Survey>) -> Value {
    let Some(survey) = survey else { return Value::Null };
    if survey.questions.is_empty() && !survey.problems.is_empty() {
        return UNREADABLE.into();
    }
    let questions: Vec<Value> = survey
        .questions
        .iter()
        .map(|q| {
            json!({
                "variable": q.variable, "type": q.kind.as_str(), "required": q.required,
                "min": q.min, "max": q.max, "choices": q.choices,
                // What a password's default is nobody can see.
                "default": (q.kind != QuestionKind::Password).then_some(&q.default),
            })
        })
        .collect();
    digest(&questions.into()).into()
}

fn credentials(row: &Value) -> Value {
    let mut found: Vec<(i64, Value)> = read::at(row, &["summary_fields", "credentials"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|credential| {
            let id = read::id(credential, "id")?;
            let name = read::shown(&read::text(credential, "name"), 512);
            Some((id, json!({ "id": id, "name": name })))
        })
        .collect();
    found.sort_by_key(|(id, _)| *id);
    found.into_iter().map(|(_, value)| value).collect::<Vec<_>>().into()
}

/// Where the project's files come from, and when they change: its revision itself changes with every commit and
/// does not count.
fn source(project: Option<&ProjectView>) -> Value {
    let Some(project) = project else { return Value::Null };
    let Some(row) = &project.row else { return UNREADABLE.into() };
    let url = read::text(row, "scm_url");
    json!({
        "scm_type": read::text(row, "scm_type"),
        "scm_url": if url.is_empty() { Value::Null } else { digest(&url.into()).into() },
        "scm_branch": read::text(row, "scm_branch"),
        "scm_refspec": read::text(row, "scm_refspec"),
        "local_path": if read::text(row, "scm_type").is_empty() { row.get("local_path").cloned() } else { None },
        "scm_update_on_launch": read::flag(row, "scm_update_on_launch"),
        "allow_override": read::flag(row, "allow_override"),
    })
}

/// What matters of a workflow's steps.
pub(super) const OF_STEPS: &[&str] = &[
    "identifier",
    "unified_job_template",
    "extra_data",
    "inventory",
    "execution_environment",
    "job_type",
    "job_tags",
    "skip_tags",
    "limit",
    "scm_branch",
    "success_nodes",
    "failure_nodes",
    "always_nodes",
    "all_parents_must_converge",
];

fn steps(steps: Option<&[Value]>) -> Value {
    let Some(steps) = steps else { return UNREADABLE.into() };
    let kept: Vec<Value> = steps
        .iter()
        .map(|step| {
            OF_STEPS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), step.get(*key)?.clone())))
                .collect::<Map<_, _>>()
                .into()
        })
        .collect();
    digest(&kept.into()).into()
}
