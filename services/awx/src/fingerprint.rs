//! What makes a template what it is, so that an operator can pin it and learn when it changes.
//!
//! Names are kept for people but do not count: a renamed inventory is the same inventory. Contents that may hold
//! secrets or are long (default variables, survey, addresses of repositories, workflow steps) count by digest.

use std::collections::BTreeSet;

use runwarden_kit::json::digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Installation;
use super::survey::{QuestionKind, Survey, SurveyQuestion};
use super::template::{Named, ProjectView, TemplateKind, TemplateView, named};
use super::{drift, meaning, read};

/// The placeholder for what our account may not read.
pub(super) const UNREADABLE: &str = "unreadable";

/// How contents that can be written in many ways are put into the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As they were written. Templates that were mapped by earlier versions are pinned so.
    Written,
    /// By what they mean.
    Meant,
}

impl Form {
    fn of(pinned: &Value) -> Self {
        if pinned.get(WRITTEN_VARIABLES).is_some() { Self::Written } else { Self::Meant }
    }
}

/// The part that only [`Form::Written`] has.
const WRITTEN_VARIABLES: &str = "extra_vars";

impl TemplateView {
    /// The parts behind the fingerprint: a flat object whose keys [`super::drift()`] has words for.
    pub fn parts(&self) -> Value {
        self.parts_in(Form::Meant)
    }

    /// The parts of what is pinned: besides, the installation it is on, should that give itself a uuid. The same number
    /// on another installation is something else, however similar the two are.
    pub fn parts_at(&self, here: &Installation) -> Value {
        at(self.parts(), here)
    }

    /// What has changed since the template was pinned, in words; empty when nothing has.
    pub fn changed_since(&self, pin: &str, pinned: &Value, here: &Installation) -> Vec<String> {
        let now = self.parts_in(Form::of(pinned));
        // An earlier version pinned templates without their installation.
        let now = if pinned_installation(pinned).is_some() { at(now, here) } else { now };
        if fingerprint(&now) == pin {
            return Vec::new();
        }
        let told = drift(pinned, &now);
        if told.is_empty() { vec!["something about the controller's template changed".into()] } else { told }
    }

    fn parts_in(&self, form: Form) -> Value {
        let row = &self.summary.row;
        let mut parts = Map::new();
        parts.insert("kind".into(), self.kind.name().into());
        for field in ["limit", "scm_branch"] {
            parts.insert(field.into(), read::text(row, field).into());
        }
        for field in ["job_tags", "skip_tags"] {
            let written = read::text(row, field);
            parts.insert(field.into(), if form == Form::Meant { tags(&written) } else { written }.into());
        }
        parts.insert("inventory".into(), told(self.inventory.as_ref()));
        match form {
            Form::Written => parts.insert(WRITTEN_VARIABLES.into(), written_variables(row)),
            Form::Meant => parts.insert("variables".into(), variables(row)),
        };
        parts.insert("prompts".into(), self.asks.names().into());
        parts.insert("survey".into(), survey(self.survey.as_ref(), form));
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
}

/// Tags are a set.
fn tags(written: &str) -> String {
    let tags: BTreeSet<&str> = written.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    tags.into_iter().collect::<Vec<_>>().join(",")
}

/// A template's own variables by what they mean, and as they are written where that cannot be said.
fn variables(row: &Value) -> Value {
    let meant = match row.get("extra_vars") {
        None | Some(Value::Null) => return Value::Null,
        Some(Value::String(text)) => meaning::of(text),
        Some(Value::Object(map)) => Some(Value::Object(map.clone())),
        Some(_) => None,
    };
    match meant {
        Some(Value::Object(map)) if map.is_empty() => Value::Null,
        Some(meant) => digest(&json!({ "meant": meant })).into(),
        None => written_variables(row),
    }
}

/// The part that names the installation.
const INSTALLATION: &str = "installation";

/// The parts of a template with the installation it is on.
pub(super) fn at(mut parts: Value, here: &Installation) -> Value {
    if let (Some(parts), Some(uuid)) = (parts.as_object_mut(), here.uuid()) {
        parts.insert(INSTALLATION.into(), uuid.hyphenated().to_string().into());
    }
    parts
}

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

fn written_variables(row: &Value) -> Value {
    match row.get("extra_vars") {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) if matches!(text.trim(), "" | "{}" | "---") => Value::Null,
        Some(other) => digest(other).into(),
    }
}

fn survey(survey: Option<&Survey>, form: Form) -> Value {
    let Some(survey) = survey else { return Value::Null };
    if survey.questions.is_empty() && !survey.problems.is_empty() {
        return UNREADABLE.into();
    }
    let mut questions: Vec<&SurveyQuestion> = survey.questions.iter().collect();
    if form == Form::Meant {
        // In which order they are asked is for people.
        questions.sort_by(|a, b| a.variable.cmp(&b.variable));
    }
    let questions: Vec<Value> = questions
        .into_iter()
        .map(|q| {
            json!({
                "variable": q.variable, "type": q.kind.as_str(), "required": q.required,
                "min": q.min, "max": q.max, "choices": q.choices,
                // A password's default cannot be seen.
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
