//! Templates: lists, details, surveys, what a launch would need.

use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, Visitor};
use super::records::{JOB, JobRecord, ROW, TEMPLATE, WORKFLOW_JOB};
use super::reply::{Outcome, Refusal, ok};
use super::rows;
use super::{jobs, listing};
use crate::state::State;
use crate::state::catalogue;
use crate::state::job::JobKind;
use crate::state::template::{Template, TemplateKind};

/// `job_templates/`, `workflow_job_templates/`, or both as `unified_job_templates/`.
pub(crate) fn list(call: &Call, visitor: &Visitor, kind: Option<TemplateKind>) -> Outcome {
    let state = call.app.read();
    let seen =
        state.templates.values().filter(|t| kind.is_none_or(|k| k == t.kind) && visitor.account.sees(t.restricted));
    let page = listing::select(call, &TEMPLATE, seen, "name")?;
    let shown = page.rows.iter().map(|t| row(&state, visitor, t, call)).collect();
    Ok(page.answer(call, shown))
}

pub(crate) fn detail(call: &Call, visitor: &Visitor, kind: TemplateKind, id: u64) -> Outcome {
    let state = call.app.read();
    let template = visible(&state, visitor, kind, id)?;
    Ok(ok(&row(&state, visitor, template, call)))
}

/// A template with what the caller may do with it.
fn row(state: &State, visitor: &Visitor, template: &Template, call: &Call) -> Value {
    let mut row = rows::template(state, template, &call.root());
    let start = visitor.account.executes(template.restricted);
    if let Some(allowed) = row.pointer_mut("/summary_fields/user_capabilities") {
        rows::put(allowed, "start", start.into());
    }
    row
}

/// The template, 404 if there is none, 403 if there is one that the caller may not see.
pub(crate) fn visible<'s>(
    state: &'s State,
    visitor: &Visitor,
    kind: TemplateKind,
    id: u64,
) -> Result<&'s Template, Refusal> {
    let template = state.template(kind, id).ok_or_else(|| Refusal::missing(kind.model()))?;
    if visitor.account.sees(template.restricted) { Ok(template) } else { Err(Refusal::forbidden()) }
}

pub(crate) fn survey(call: &Call, visitor: &Visitor, kind: TemplateKind, id: u64) -> Outcome {
    let state = call.app.read();
    let template = visible(&state, visitor, kind, id)?;
    if template.survey.is_empty() {
        return Ok(ok(&json!({})));
    }
    let spec: Vec<Value> = template
        .survey
        .iter()
        .map(|question| {
            let mut shown = json!(question);
            if question.kind == "password" && question.default.as_str().is_some_and(|d| !d.is_empty()) {
                rows::put(&mut shown, "default", "$encrypted$".into());
            }
            shown
        })
        .collect();
    Ok(ok(&json!({"name": "", "description": "", "spec": spec})))
}

/// Runs of one template.
pub(crate) fn runs(call: &Call, visitor: &Visitor, kind: TemplateKind, id: u64) -> Outcome {
    let state = call.app.read();
    visible(&state, visitor, kind, id)?;
    let (schema, job_kind) = match kind {
        TemplateKind::Job => (&JOB, JobKind::Job),
        TemplateKind::Workflow => (&WORKFLOW_JOB, JobKind::Workflow),
    };
    let seen = state.jobs.of_template(id, 0).filter(|job| job.kind == job_kind);
    let page = listing::select(call, schema, seen.map(|job| JobRecord { state: &state, job }), "id")?;
    Ok(jobs::answer(call, &state, &page))
}

pub(crate) fn steps(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let template = visible(&state, visitor, TemplateKind::Workflow, id)?;
    let all = (0..template.steps.len()).filter_map(|at| rows::step(&state, template, at, &call.root()));
    let page = listing::select(call, &ROW, all, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

/// `GET launch/`: the prompts, what is missing, the defaults.
pub(crate) fn launch_needs(call: &Call, visitor: &Visitor, kind: TemplateKind, id: u64) -> Result<Response, Refusal> {
    let state = call.app.read();
    let template = visible(&state, visitor, kind, id)?;
    let needed = template.variables_needed();
    let mut answer = json!({
        "can_start_without_user_input": needed.is_empty() && !template.inventory_needed() && template.passwords_needed.is_empty()
            && template.ask.is_empty() && !template.is_surveyed(),
        "survey_enabled": template.is_surveyed(),
        "variables_needed_to_start": needed,
    });
    for (field, flag) in kind.prompts() {
        rows::put(&mut answer, flag, template.asks(field).into());
    }
    let data = json!({"name": template.name, "id": template.id, "description": template.description});
    let reference = |collection: &str, id: Option<u64>| match id {
        Some(id) => json!({"id": id, "name": state.row_name(collection, id)}),
        None => json!({}),
    };
    let list = |collection: &str, ids: &[u64]| -> Vec<Value> {
        ids.iter().map(|id| json!({"id": id, "name": state.row_name(collection, *id)})).collect()
    };
    let mut defaults = json!({
        "extra_vars": crate::python::dumps_map(&template.extra_vars),
        "inventory": reference("inventories", template.inventory),
        "limit": template.limit, "scm_branch": template.scm_branch,
        "labels": list("labels", &template.labels),
        "job_tags": template.job_tags, "skip_tags": template.skip_tags,
    });
    match kind {
        TemplateKind::Job => {
            rows::put(&mut answer, "passwords_needed_to_start", json!(template.passwords_needed));
            rows::put(&mut answer, "inventory_needed_to_start", template.inventory_needed().into());
            rows::put(&mut answer, "credential_needed_to_start", false.into());
            rows::put(&mut answer, "job_template_data", data);
            let credentials: Vec<Value> = template
                .credentials
                .iter()
                .map(|id| {
                    let (kind, vault) = state.row("credentials", *id).map(catalogue::kind_of).unwrap_or_default();
                    let mut told = json!({"id": id, "name": state.row_name("credentials", *id), "credential_type": kind, "passwords_needed": template.passwords_needed});
                    if !vault.is_empty() {
                        rows::put(&mut told, "vault_id", vault.into());
                    }
                    told
                })
                .collect();
            for (name, value) in [
                ("diff_mode", json!(template.diff_mode)),
                ("job_type", json!(template.job_type)),
                ("verbosity", json!(template.verbosity)),
                ("credentials", json!(credentials)),
                ("execution_environment", reference("execution_environments", template.execution_environment)),
                ("forks", json!(template.forks)),
                ("job_slice_count", json!(template.job_slice_count)),
                ("timeout", json!(template.timeout)),
                ("instance_groups", json!(list("instance_groups", &template.instance_groups))),
            ] {
                rows::put(&mut defaults, name, value);
            }
        }
        TemplateKind::Workflow => {
            rows::put(&mut answer, "node_templates_missing", json!([]));
            rows::put(&mut answer, "node_prompts_rejected", json!([]));
            rows::put(&mut answer, "workflow_job_template_data", data);
        }
    }
    rows::put(&mut answer, "defaults", defaults);
    Ok(ok(&answer))
}
