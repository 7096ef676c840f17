//! What can be filtered on, model by model.

use serde_json::Value;
use time::OffsetDateTime;

use super::filter::Kind::{Bool, Forbidden, Int, Text, Time};
use super::filter::{Record, Scalar, Schema, Values};
use crate::state::State;
use crate::state::job::{Event, Job};
use crate::state::template::Template;

/// `unified_jobs` know only what all kinds of job share; `limit` or `skip_tags` are not among it.
pub(crate) const UNIFIED_JOB: Schema = Schema {
    model: "UnifiedJob",
    fields: &[
        ("id", Int),
        ("name", Text),
        ("description", Text),
        ("created", Time),
        ("modified", Time),
        ("started", Time),
        ("finished", Time),
        ("canceled_on", Time),
        ("status", Text),
        ("failed", Bool),
        ("launch_type", Text),
        ("job_explanation", Text),
        ("execution_node", Text),
        ("created_by", Int),
        ("created_by__id", Int),
        ("created_by__username", Text),
        ("unified_job_template", Int),
        ("unified_job_template__id", Int),
        ("unified_job_template__name", Text),
        ("labels", Int),
        ("labels__id", Int),
        ("labels__name", Text),
        ("unified_job_node__workflow_job", Int),
        ("unified_job_node__workflow_job__id", Int),
        ("unified_job_node__workflow_job__name", Text),
        ("organization", Int),
        ("elapsed", Int),
    ],
};

pub(crate) const JOB: Schema = Schema {
    model: "Job",
    fields: &[
        ("id", Int),
        ("name", Text),
        ("description", Text),
        ("created", Time),
        ("modified", Time),
        ("started", Time),
        ("finished", Time),
        ("canceled_on", Time),
        ("status", Text),
        ("failed", Bool),
        ("launch_type", Text),
        ("job_explanation", Text),
        ("execution_node", Text),
        ("created_by", Int),
        ("created_by__id", Int),
        ("created_by__username", Text),
        ("unified_job_template", Int),
        ("unified_job_template__id", Int),
        ("unified_job_template__name", Text),
        ("labels", Int),
        ("labels__id", Int),
        ("labels__name", Text),
        ("unified_job_node__workflow_job", Int),
        ("unified_job_node__workflow_job__id", Int),
        ("unified_job_node__workflow_job__name", Text),
        ("organization", Int),
        ("elapsed", Int),
        ("job_template", Int),
        ("job_template__id", Int),
        ("job_template__name", Text),
        ("inventory", Int),
        ("project", Int),
        ("playbook", Text),
        ("limit", Text),
        ("job_tags", Text),
        ("skip_tags", Text),
        ("scm_branch", Text),
        ("job_type", Text),
        ("verbosity", Int),
        ("forks", Int),
        ("job_slice_number", Int),
        ("job_slice_count", Int),
        ("webhook_guid", Text),
        ("extra_vars", Forbidden),
    ],
};

pub(crate) const WORKFLOW_JOB: Schema = Schema {
    model: "WorkflowJob",
    fields: &[
        ("id", Int),
        ("name", Text),
        ("description", Text),
        ("created", Time),
        ("modified", Time),
        ("started", Time),
        ("finished", Time),
        ("canceled_on", Time),
        ("status", Text),
        ("failed", Bool),
        ("launch_type", Text),
        ("job_explanation", Text),
        ("created_by", Int),
        ("created_by__id", Int),
        ("created_by__username", Text),
        ("unified_job_template", Int),
        ("unified_job_template__id", Int),
        ("unified_job_template__name", Text),
        ("labels", Int),
        ("labels__id", Int),
        ("labels__name", Text),
        ("organization", Int),
        ("elapsed", Int),
        ("workflow_job_template", Int),
        ("job_template", Int),
        ("is_sliced_job", Bool),
        ("inventory", Int),
        ("limit", Text),
        ("job_tags", Text),
        ("skip_tags", Text),
        ("scm_branch", Text),
        ("webhook_guid", Text),
        ("extra_vars", Forbidden),
    ],
};

pub(crate) const TEMPLATE: Schema = Schema {
    model: "UnifiedJobTemplate",
    fields: &[
        ("id", Int),
        ("name", Text),
        ("description", Text),
        ("type", Text),
        ("playbook", Text),
        ("inventory", Int),
        ("project", Int),
        ("organization", Int),
        ("survey_enabled", Bool),
        ("allow_simultaneous", Bool),
        ("job_type", Text),
        ("created", Time),
        ("modified", Time),
    ],
};

pub(crate) const JOB_EVENT: Schema = Schema {
    model: "JobEvent",
    fields: &[
        ("id", Int),
        ("counter", Int),
        ("uuid", Text),
        ("event", Text),
        ("start_line", Int),
        ("end_line", Int),
        ("host_name", Text),
        ("task", Text),
        ("play", Text),
        ("failed", Bool),
        ("changed", Bool),
        ("stdout", Text),
        ("created", Time),
    ],
};

/// Rows without a model of their own.
pub(crate) const ROW: Schema = Schema {
    model: "Object",
    fields: &[
        ("id", Int),
        ("name", Text),
        ("username", Text),
        ("description", Text),
        ("organization", Int),
        ("inventory", Int),
        ("kind", Text),
        ("user", Int),
        ("identifier", Text),
        ("job", Int),
        ("unified_job_template", Int),
        ("scope", Text),
        ("operation", Text),
        ("object1", Text),
        ("changes", Text),
        ("timestamp", Text),
        ("job__id", Int),
        ("status", Text),
    ],
};

/// A job with the state its relations are looked up in.
pub(crate) struct JobRecord<'a> {
    pub(crate) state: &'a State,
    pub(crate) job: &'a Job,
}

fn id(value: impl Into<Option<u64>>) -> Values<'static> {
    value.into().and_then(|id| i64::try_from(id).ok()).map(Scalar::Int).into()
}

fn text(value: &str) -> Values<'_> {
    Values::One(Scalar::Text(value.into()))
}

fn time(value: impl Into<Option<OffsetDateTime>>) -> Values<'static> {
    value.into().map(Scalar::Time).into()
}

fn flag(value: bool) -> Values<'static> {
    Values::One(Scalar::Bool(value))
}

fn number(value: i64) -> Values<'static> {
    Values::One(Scalar::Int(value))
}

impl Record for JobRecord<'_> {
    fn values(&self, field: &str) -> Values<'_> {
        let (state, job) = (self.state, self.job);
        let template = || job.template.and_then(|id| state.templates.get(&id));
        let parent = || job.parent.and_then(|id| state.jobs.get(&id));
        match field {
            "id" => id(job.id),
            "type" => text(job.kind.type_name()),
            "name" => text(&job.name),
            "description" => text(&job.description),
            "created" => time(job.created),
            "modified" => time(job.modified),
            "started" => time(job.started),
            "finished" => time(job.finished),
            "status" => text(job.status.name()),
            "failed" => flag(job.status.is_bad()),
            "launch_type" => text(&job.launch_type),
            "job_explanation" => text(&job.job_explanation),
            "created_by" | "created_by__id" => id(job.created_by),
            "created_by__username" => {
                job.created_by.and_then(|id| state.account(id)).map_or(Values::None, |account| text(&account.username))
            }
            "unified_job_template" | "unified_job_template__id" => id(job.template),
            "job_template" | "job_template__id" if job.kind == crate::state::job::JobKind::Job || job.is_sliced => {
                id(job.template)
            }
            "workflow_job_template" if !job.is_sliced => id(job.template),
            "unified_job_template__name" | "job_template__name" => {
                template().map_or(Values::None, |template| text(&template.name))
            }
            "labels" | "labels__id" => {
                Values::Many(job.labels.iter().flat_map(|label| i64::try_from(*label)).map(Scalar::Int).collect())
            }
            "labels__name" => Values::Many(
                job.labels.iter().map(|label| Scalar::Text(state.row_name("labels", *label).into())).collect(),
            ),
            "unified_job_node__workflow_job" | "unified_job_node__workflow_job__id" => id(job.parent),
            "unified_job_node__workflow_job__name" => parent().map_or(Values::None, |parent| text(&parent.name)),
            "organization" => id(1),
            "inventory" => id(job.inventory),
            "project" => id(job.project),
            "playbook" => text(&job.playbook),
            "limit" => text(&job.limit),
            "job_tags" => text(&job.job_tags),
            "skip_tags" => text(&job.skip_tags),
            "scm_branch" => text(&job.scm_branch),
            "job_type" => text(&job.job_type),
            "verbosity" => number(job.verbosity),
            "forks" => number(job.forks),
            "job_slice_number" => number(job.slice_number),
            "job_slice_count" => number(job.slice_count),
            "is_sliced_job" => flag(job.is_sliced),
            "webhook_guid" => text(""),
            _ => Values::None,
        }
    }
}

impl Record for &Template {
    fn values(&self, field: &str) -> Values<'_> {
        match field {
            "id" => id(self.id),
            "type" => text(self.kind.type_name()),
            "name" => text(&self.name),
            "description" => text(&self.description),
            "playbook" => text(&self.playbook),
            "job_type" => text(&self.job_type),
            "inventory" => id(self.inventory),
            "project" => id(self.project),
            "organization" => id(1),
            "survey_enabled" => flag(self.survey_enabled),
            "allow_simultaneous" => flag(self.allow_simultaneous),
            _ => Values::None,
        }
    }
}

impl Record for &Event {
    fn values(&self, field: &str) -> Values<'_> {
        match field {
            "id" => id(self.id),
            "counter" => id(self.counter),
            "start_line" => id(self.start_line),
            "end_line" => id(self.end_line),
            "uuid" => text(&self.uuid),
            "event" => text(&self.event),
            "host_name" => text(&self.host),
            "task" => text(&self.task),
            "play" => text(&self.play),
            "stdout" => text(&self.stdout),
            "failed" => flag(self.failed),
            "changed" => flag(self.changed),
            "created" => time(self.created),
            _ => Values::None,
        }
    }
}

impl Record for Value {
    fn values(&self, field: &str) -> Values<'_> {
        match self.get(field) {
            Some(Self::Number(number)) => number.as_i64().map(Scalar::Int).into(),
            Some(Self::String(content)) => text(content),
            Some(Self::Bool(set)) => flag(*set),
            _ => Values::None,
        }
    }
}
