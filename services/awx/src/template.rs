use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use runwarden_kit::contract::TemplateKind;
use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::address::Path;
use super::http::Query;
use super::memory::Kept;
use super::own_values::OwnValues;
use super::reading::Reading;
use super::survey::Survey;
use super::tree::Wanted;
use super::{AwxError, Client, nodes, read};

/// The list of all templates of a kind.
pub(super) fn list_of(kind: TemplateKind) -> Path {
    Path::to(match kind {
        TemplateKind::Job => "job_templates",
        TemplateKind::Workflow => "workflow_job_templates",
    })
}

/// One template of a kind.
pub(super) fn path_of(kind: TemplateKind, id: i64) -> Path {
    list_of(kind).id(id)
}

/// Which launch fields a template prompts for: those whose `ask_*_on_launch` is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks(BTreeSet<LaunchField>);

impl Asks {
    fn read(row: &Value) -> Self {
        Self(LaunchField::ALL.iter().copied().filter(|field| read::flag(row, field.ask_flag())).collect())
    }

    /// Whether the template takes this field.
    pub fn has(&self, field: LaunchField) -> bool {
        self.0.contains(&field)
    }

    /// Their names, such as `extra_vars`, `limit`.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|field| field.name().to_owned()).collect()
    }
}

impl FromIterator<LaunchField> for Asks {
    fn from_iter<I: IntoIterator<Item = LaunchField>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// Something on the controller, by id and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: i64,
    /// Its name, for people; empty if it is not known.
    pub name: String,
}

/// A template as a list shows it, with its survey. Prints no variables.
#[derive(Clone)]
pub struct TemplateSummary {
    /// Its kind.
    pub kind: TemplateKind,
    /// Its id.
    pub id: i64,
    /// Its name on the controller.
    pub name: String,
    /// Its description on the controller.
    pub description: String,
    /// What it prompts for.
    pub asks: Asks,
    /// Whether its survey is on.
    pub survey_enabled: bool,
    /// Its survey; `None` when it is off.
    pub survey: Option<Survey>,
    /// The organization it is of; empty when it has none or does not say.
    pub organization: String,
    /// Why it cannot be launched as it is, in words.
    pub problems: Vec<String>,
    /// What of it cannot be used, though the rest can, in words.
    pub notes: Vec<String>,
    /// The row it was read from: the defaults of what can be prompted for, and what the fingerprint covers.
    pub(super) row: Value,
}

/// The project a template runs from. Prints no address: it may hold a password.
#[derive(Clone, PartialEq)]
pub struct ProjectView {
    /// Id and name.
    pub named: Named,
    /// Its own record; `None` when our account may not read it.
    pub(super) row: Option<Value>,
}

/// Everything about a template that a launch depends on. Prints no variables.
#[derive(Clone)]
pub struct TemplateView {
    /// What a list would show.
    pub summary: TemplateSummary,
    /// Whether our account may launch it.
    pub can_start: bool,
    /// Passwords its credentials ask for at launch; Runwarden has none to give.
    pub passwords_needed: Vec<String>,
    /// Its inventory.
    pub inventory: Option<Named>,
    /// Its project; workflows have none.
    pub project: Option<ProjectView>,
    /// What it launches with when nothing is sent.
    pub(super) own: OwnValues,
    /// The steps of a workflow; `None` for job templates and when our account may not read them.
    pub(super) steps: Option<Vec<Value>>,
    /// The memory it takes.
    _kept: Option<Arc<Kept>>,
}

impl std::ops::Deref for TemplateView {
    type Target = TemplateSummary;

    fn deref(&self) -> &TemplateSummary {
        &self.summary
    }
}

impl TemplateSummary {
    pub(super) fn read(kind: TemplateKind, row: Value, survey: Option<Survey>) -> Result<Self, AwxError> {
        let id = read::id(&row, "id").ok_or_else(|| AwxError::bad("a template without an id"))?;
        let mut summary = Self {
            kind,
            id,
            name: read::shown(&read::text(&row, "name"), 512),
            description: read::shown(&read::text(&row, "description"), 2000),
            asks: Asks::read(&row),
            organization: read::at(&row, &["summary_fields", "organization"])
                .map(|organization| read::shown(&read::text(organization, "name"), 512))
                .unwrap_or_default(),
            survey_enabled: read::flag(&row, "survey_enabled"),
            notes: survey.as_ref().map(|survey| survey.notes.clone()).unwrap_or_default(),
            survey,
            problems: Vec::new(),
            row,
        };
        summary.problems = summary.find_problems();
        Ok(summary)
    }

    /// The skip tags it has of its own, which a launch that sends any replaces.
    pub fn default_skip_tags(&self) -> String {
        read::text(&self.row, "skip_tags")
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.row.get(field).is_some_and(|value| !value.is_null() && value != "")
    }

    fn find_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.kind == TemplateKind::Job {
            if !self.has("project") {
                problems.push("it has no project".to_owned());
            }
            if !self.has("playbook") {
                problems.push("it has no playbook".to_owned());
            }
            if !self.has("inventory") {
                problems.push(if self.asks.has(LaunchField::Inventory) {
                    "it has no inventory; it prompts for one, so fix `inventory`".to_owned()
                } else {
                    "it has no inventory".to_owned()
                });
            }
        }
        if let Some(survey) = &self.survey {
            problems.extend(survey.problems.iter().cloned());
        }
        problems
    }
}

pub(super) fn named(row: &Value, field: &str) -> Option<Named> {
    let id = read::id(row, field)?;
    let name = read::at(row, &["summary_fields", field])
        .map(|summary| read::shown(&read::text(summary, "name"), 512))
        .unwrap_or_default();
    Some(Named { id, name })
}

impl Client {
    /// Reads everything about one template.
    pub async fn template(&self, kind: TemplateKind, id: i64) -> Result<TemplateView, AwxError> {
        let path = path_of(kind, id);
        let reading = self.http.reading();
        let none = Query::new();
        let ((row, _), launch) = tokio::try_join!(
            Box::pin(reading.pick::<OfTemplate>(&path, &none)),
            Box::pin(launch_page(&reading, kind, id))
        )?;
        let projects = Projects::default();
        let view = view(&reading, &reading, kind, row, launch, &projects).await?;
        if view.id != id {
            return Err(AwxError::bad("a different template than requested"));
        }
        Ok(TemplateView { _kept: Some(Arc::new(reading.into_kept())), ..view })
    }
}

/// Reads the survey of a template.
pub(super) async fn survey(reading: &Reading<'_>, kind: TemplateKind, id: i64) -> Result<Survey, AwxError> {
    let path = path_of(kind, id).then("survey_spec");
    let spec = readable(reading.get(&path, &Query::new()).await)?;
    Ok(spec.map_or_else(Survey::unreadable, |spec| Survey::read(&spec)))
}

/// The launch page of a template; `None` if our account may not launch it, or it was deleted in the meantime.
pub(super) async fn launch_page(reading: &Reading<'_>, kind: TemplateKind, id: i64) -> Result<Option<Value>, AwxError> {
    readable(reading.get(&path_of(kind, id).then("launch"), &Query::new()).await)
}

/// Projects that were read already, by id: the templates of a list share few. `None` for what our account may not read.
pub(super) type Projects = tokio::sync::Mutex<BTreeMap<i64, Option<Value>>>;

/// A template from its row and its launch page. What is kept for as long as the answer is read by `reading`, what is
/// not by `passing`.
pub(super) async fn view(
    reading: &Reading<'_>,
    passing: &Reading<'_>,
    kind: TemplateKind,
    mut row: Value,
    launch: Option<Value>,
    projects: &Projects,
) -> Result<TemplateView, AwxError> {
    let id = read::id(&row, "id").ok_or_else(|| AwxError::bad("a template without an id"))?;
    // A survey that was deleted leaves its flag in the row; launches go by the launch page.
    let told = launch.as_ref().and_then(|launch| launch.get("survey_enabled")).and_then(Value::as_bool);
    let surveyed = told.unwrap_or_else(|| read::flag(&row, "survey_enabled"));
    if let Value::Object(row) = &mut row {
        row.insert("survey_enabled".to_owned(), surveyed.into());
    }
    let survey = if surveyed { Some(survey(reading, kind, id).await?) } else { None };
    let project = match named(&row, "project") {
        Some(named) if kind == TemplateKind::Job => Some(project(reading, named, projects).await?),
        _ => None,
    };
    let steps = match kind {
        TemplateKind::Job => None,
        TemplateKind::Workflow => readable(nodes::of_template(passing, id).await)?,
    };
    let summary = TemplateSummary::read(kind, row, survey)?;
    Ok(TemplateView::assemble(summary, launch.as_ref(), project, steps))
}

async fn project(reading: &Reading<'_>, named: Named, projects: &Projects) -> Result<ProjectView, AwxError> {
    let mut known = projects.lock().await;
    if let Some(row) = known.get(&named.id) {
        return Ok(ProjectView { row: row.clone(), named });
    }
    let path = Path::to("projects").id(named.id);
    let row = readable(reading.pick::<OfProject>(&path, &Query::new()).await)?.map(|(row, _)| row);
    known.insert(named.id, row.clone());
    Ok(ProjectView { named, row })
}

/// A row of a template: what a launch depends on, what prompts default to, and what its fingerprint covers.
pub(super) enum OfTemplate {}

impl Wanted for OfTemplate {
    fn wants(key: &str) -> bool {
        let also = [
            "id",
            "name",
            "description",
            "survey_enabled",
            "summary_fields",
            "project",
            "playbook",
            "become_enabled",
            "start_at_task",
        ];
        also.contains(&key) || LaunchField::ALL.iter().any(|field| key == field.name() || key == field.ask_flag())
    }
}

/// A row of a project: what its fingerprint covers.
enum OfProject {}

impl Wanted for OfProject {
    fn wants(key: &str) -> bool {
        let of_source = ["scm_type", "scm_url", "scm_branch", "scm_refspec", "scm_update_on_launch"];
        of_source.contains(&key) || ["local_path", "allow_override"].contains(&key)
    }
}

/// `None` for what our account may not see.
pub(super) fn readable<T>(result: Result<T, AwxError>) -> Result<Option<T>, AwxError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AwxError::Forbidden { .. } | AwxError::NotFound { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

impl TemplateView {
    pub(super) fn assemble(
        mut summary: TemplateSummary,
        launch: Option<&Value>,
        project: Option<ProjectView>,
        steps: Option<Vec<Value>>,
    ) -> Self {
        let page = launch.unwrap_or(&Value::Null);
        // Where a flag appears twice, the launch page decides: the launch itself follows it.
        let told = page.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with("ask_")));
        if told {
            summary.asks = Asks::read(page);
        }
        let granted =
            read::at(&summary.row, &["summary_fields", "user_capabilities", "start"]).and_then(Value::as_bool);
        let can_start = launch.is_some() && granted.unwrap_or(true);
        if !can_start {
            summary.problems.push(NO_EXECUTE.to_owned());
        }
        let passwords_needed = read::texts(page, "passwords_needed_to_start");
        if !passwords_needed.is_empty() {
            let mut problem = format!(
                "its credentials ask for passwords at launch ({}), which Runwarden cannot supply",
                read::shown(&passwords_needed.join(", "), 200)
            );
            if summary.asks.has(LaunchField::Credentials) {
                problem.push_str("; it prompts for credentials, so fix `credentials`");
            }
            summary.problems.push(problem);
        }
        Self {
            can_start,
            passwords_needed,
            inventory: named(&summary.row, "inventory"),
            project,
            _kept: None,
            own: OwnValues::read(page, &summary.row),
            steps,
            summary,
        }
    }

    /// Whether launches may choose the branch of its project; `None` where it has none or does not say.
    pub(super) fn branch_override(&self) -> Option<bool> {
        let flag = |row: &Value| row.get("allow_override").and_then(Value::as_bool);
        // An account that may launch may read this one; the project itself needs a separate right.
        read::at(&self.summary.row, &["summary_fields", "project"])
            .and_then(flag)
            .or_else(|| self.project.as_ref()?.row.as_ref().and_then(flag))
    }

    /// How many hosts its own inventory has, if it says so.
    pub(super) fn hosts(&self) -> Option<i64> {
        read::at(&self.summary.row, &["summary_fields", "inventory"]).and_then(|row| read::integer(row, "total_hosts"))
    }
}

/// What a launch takes that is missing.
pub(super) const NO_EXECUTE: &str = "Runwarden's account may not launch it: give it the role Execute on the template";

impl std::fmt::Debug for TemplateSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TemplateSummary")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("name", &self.name)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ProjectView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProjectView").field("named", &self.named).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TemplateView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TemplateView")
            .field("summary", &self.summary)
            .field("can_start", &self.can_start)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}
