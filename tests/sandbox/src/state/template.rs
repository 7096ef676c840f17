//! Templates: what a caller may launch, with the prompts and the survey that decide what gets through.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The two sorts of template that have a `launch/` of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TemplateKind {
    Job,
    Workflow,
}

impl TemplateKind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Job => "job_template",
            Self::Workflow => "workflow_job_template",
        }
    }

    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Job => "job_templates",
            Self::Workflow => "workflow_job_templates",
        }
    }

    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Job => "JobTemplate",
            Self::Workflow => "WorkflowJobTemplate",
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Job => "Job Template",
            Self::Workflow => "Workflow Job Template",
        }
    }

    /// Launch field and the flag that lets it through, in AWX's names.
    pub(crate) fn prompts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Job => &[
                ("extra_vars", "ask_variables_on_launch"),
                ("inventory", "ask_inventory_on_launch"),
                ("credentials", "ask_credential_on_launch"),
                ("scm_branch", "ask_scm_branch_on_launch"),
                ("diff_mode", "ask_diff_mode_on_launch"),
                ("job_tags", "ask_tags_on_launch"),
                ("skip_tags", "ask_skip_tags_on_launch"),
                ("job_type", "ask_job_type_on_launch"),
                ("limit", "ask_limit_on_launch"),
                ("verbosity", "ask_verbosity_on_launch"),
                ("execution_environment", "ask_execution_environment_on_launch"),
                ("labels", "ask_labels_on_launch"),
                ("forks", "ask_forks_on_launch"),
                ("job_slice_count", "ask_job_slice_count_on_launch"),
                ("timeout", "ask_timeout_on_launch"),
                ("instance_groups", "ask_instance_groups_on_launch"),
            ],
            Self::Workflow => &[
                ("extra_vars", "ask_variables_on_launch"),
                ("inventory", "ask_inventory_on_launch"),
                ("limit", "ask_limit_on_launch"),
                ("scm_branch", "ask_scm_branch_on_launch"),
                ("labels", "ask_labels_on_launch"),
                ("job_tags", "ask_tags_on_launch"),
                ("skip_tags", "ask_skip_tags_on_launch"),
            ],
        }
    }
}

/// One survey question, in the shape AWX stores and shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) question_name: String,
    pub(crate) question_description: String,
    pub(crate) required: bool,
    /// `text`, `textarea`, `password`, `integer`, `float`, `multiplechoice`, `multiselect`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) variable: String,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) default: Value,
    pub(crate) choices: Vec<String>,
    pub(crate) new_question: bool,
}

/// One step of a workflow; the lists name indices of the same workflow's steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) template: u64,
    pub(crate) identifier: String,
    pub(crate) success: Vec<usize>,
    pub(crate) failure: Vec<usize>,
    pub(crate) always: Vec<usize>,
    pub(crate) extra_data: Map<String, Value>,
    /// Instead of running something, the step waits for a person. `template` is then the approval's own.
    #[serde(default)]
    pub(crate) approval: Option<Approval>,
}

/// What a person has to say yes to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) name: String,
    pub(crate) description: String,
    /// How many seconds it waits; 0 for ever.
    pub(crate) timeout: u64,
}

/// The organisation that everything is of, unless said otherwise.
fn default_organization() -> u64 {
    1
}

/// A job template or a workflow job template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) id: u64,
    pub(crate) kind: TemplateKind,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) playbook: String,
    pub(crate) job_type: String,
    pub(crate) inventory: Option<u64>,
    pub(crate) project: Option<u64>,
    pub(crate) limit: String,
    pub(crate) job_tags: String,
    pub(crate) skip_tags: String,
    pub(crate) scm_branch: String,
    pub(crate) verbosity: i64,
    pub(crate) forks: i64,
    pub(crate) timeout: i64,
    pub(crate) diff_mode: bool,
    pub(crate) job_slice_count: i64,
    pub(crate) extra_vars: Map<String, Value>,
    /// The variables as somebody typed them, comments and all; they are shown instead of a JSON object.
    #[serde(default)]
    pub(crate) extra_vars_text: String,
    /// Whose it is: two organisations may have templates of one name.
    #[serde(default = "default_organization")]
    pub(crate) organization: u64,
    pub(crate) credentials: Vec<u64>,
    pub(crate) labels: Vec<u64>,
    pub(crate) instance_groups: Vec<u64>,
    pub(crate) execution_environment: Option<u64>,
    /// Launch fields that are prompted for (`extra_vars`, `limit`, …).
    pub(crate) ask: BTreeSet<String>,
    pub(crate) survey_enabled: bool,
    pub(crate) survey: Vec<Question>,
    pub(crate) allow_simultaneous: bool,
    /// Passwords that the launch must bring (`ssh_password`).
    pub(crate) passwords_needed: Vec<String>,
    /// Only superusers see it; everybody else gets 403, not 404.
    pub(crate) restricted: bool,
    pub(crate) steps: Vec<Step>,
}

impl Template {
    pub(crate) fn asks(&self, field: &str) -> bool {
        self.ask.contains(field)
    }

    /// Survey questions that apply, none while the survey is switched off.
    pub(crate) fn questions(&self) -> &[Question] {
        if self.survey_enabled { &self.survey } else { &[] }
    }

    /// Whether launches go by a survey. One that was deleted leaves its flag behind, which launches do not go by.
    pub(crate) fn is_surveyed(&self) -> bool {
        self.survey_enabled && !self.survey.is_empty()
    }

    /// AWX's own list: every required question, default or not.
    pub(crate) fn variables_needed(&self) -> Vec<&str> {
        self.questions().iter().filter(|q| q.required).map(|q| q.variable.as_str()).collect()
    }

    pub(crate) fn inventory_needed(&self) -> bool {
        self.kind == TemplateKind::Job && self.inventory.is_none() && !self.asks("inventory")
    }

    /// The value a launch field has without a prompt, to tell "same as the template" from another value.
    pub(crate) fn own_value(&self, field: &str) -> Value {
        match field {
            "inventory" => self.inventory.into(),
            "credentials" => self.credentials.clone().into(),
            "scm_branch" => self.scm_branch.clone().into(),
            "diff_mode" => self.diff_mode.into(),
            "job_tags" => self.job_tags.clone().into(),
            "skip_tags" => self.skip_tags.clone().into(),
            "job_type" => self.job_type.clone().into(),
            "limit" => self.limit.clone().into(),
            "verbosity" => self.verbosity.into(),
            "execution_environment" => self.execution_environment.into(),
            "labels" => self.labels.clone().into(),
            "forks" => self.forks.into(),
            "job_slice_count" => self.job_slice_count.into(),
            "timeout" => self.timeout.into(),
            "instance_groups" => self.instance_groups.clone().into(),
            _ => Value::Null,
        }
    }
}
