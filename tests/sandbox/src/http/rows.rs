//! Jobs, templates and events as rows: the fields, links and summaries that clients read.

use serde_json::{Map, Value, json};

use crate::python;
use crate::run::approvals::expiration;
use crate::state::State;
use crate::state::job::{Event, Job, JobKind, Node};
pub(crate) use crate::state::stamp::text as stamp;
use crate::state::template::{Approval, Template, TemplateKind};

fn user_summary(state: &State, id: Option<u64>) -> Value {
    match id.and_then(|id| state.account(id)) {
        Some(account) => json!({"id": account.id, "username": account.username, "first_name": "", "last_name": ""}),
        None => Value::Null,
    }
}

fn summary(state: &State, collection: &str, id: u64) -> Value {
    json!({"id": id, "name": state.row_name(collection, id), "description": ""})
}

fn label_summary(state: &State, ids: &[u64]) -> Value {
    let results: Vec<Value> = ids.iter().map(|id| json!({"id": id, "name": state.row_name("labels", *id)})).collect();
    json!({"count": results.len(), "results": results})
}

fn credential_summaries(state: &State, ids: &[u64]) -> Vec<Value> {
    ids.iter()
        .map(|id| {
            let kind = state.row("credentials", *id).and_then(|row| row.get("kind")).cloned();
            json!({"id": id, "name": state.row_name("credentials", *id), "description": "", "kind": kind, "cloud": false})
        })
        .collect()
}

/// A job or a workflow job; lists leave some fields out.
pub(crate) fn job(state: &State, job: &Job, root: &str, node: &str, detail: bool) -> Map<String, Value> {
    let mut row = match job.kind {
        JobKind::Job => playbook_job(state, job, root, node),
        JobKind::Workflow => workflow_job(state, job, root),
        JobKind::Approval => approval(state, job, root),
    };
    if detail && job.kind == JobKind::Job {
        row.insert("event_processing_finished".to_owned(), job.event_processing_finished.into());
        row.insert("result_traceback".to_owned(), job.result_traceback.clone().into());
        row.insert("job_args".to_owned(), "".into());
        row.insert("job_env".to_owned(), json!({}));
        row.insert("job_cwd".to_owned(), "".into());
        row.insert("host_status_counts".to_owned(), json!({}));
        row.insert(
            "playbook_counts".to_owned(),
            json!({"play_count": u64::from(job.counter > 1), "task_count": job.counter}),
        );
    }
    row
}

fn common(state: &State, job: &Job, root: &str) -> Map<String, Value> {
    let collection = job.kind.collection();
    let url = format!("{root}/{collection}/{}/", job.id);
    let template = job.template.and_then(|id| state.templates.get(&id));
    let launched_by = match job.created_by.and_then(|id| state.account(id)) {
        Some(account) => {
            json!({"id": account.id, "name": account.username, "type": "user", "url": format!("{root}/users/{}/", account.id)})
        }
        None => json!({}),
    };
    let mut related = json!({"labels": format!("{url}labels/"), "cancel": format!("{url}cancel/"), "relaunch": format!("{url}relaunch/")});
    let mut summaries = json!({
        "organization": {"id": 1, "name": "Default", "description": ""},
        "labels": label_summary(state, &job.labels),
        "created_by": user_summary(state, job.created_by),
        "user_capabilities": {"delete": true, "start": true},
    });
    if let Some(id) = job.created_by {
        put(&mut related, "created_by", format!("{root}/users/{id}/").into());
    }
    if let Some(template) = template {
        let collection = template.kind.collection();
        put(&mut related, "unified_job_template", format!("{root}/{collection}/{}/", template.id).into());
        put(
            &mut summaries,
            "unified_job_template",
            json!({"id": template.id, "name": template.name, "description": template.description, "unified_job_type": job.kind.type_name()}),
        );
        let own = json!({"id": template.id, "name": template.name, "description": template.description});
        put(&mut summaries, template.kind.type_name(), own);
        put(&mut related, template.kind.type_name(), format!("{root}/{collection}/{}/", template.id).into());
    }
    if let Some(inventory) = job.inventory {
        put(&mut related, "inventory", format!("{root}/inventories/{inventory}/").into());
        put(&mut summaries, "inventory", summary(state, "inventories", inventory));
    }
    if let Some(parent) = job.parent {
        put(&mut related, "source_workflow_job", format!("{root}/workflow_jobs/{parent}/").into());
        put(
            &mut summaries,
            "source_workflow_job",
            json!({"id": parent, "status": state.jobs.get(&parent).map(|j| j.status.name())}),
        );
    }
    object(json!({
        "id": job.id,
        "type": job.kind.type_name(),
        "url": url,
        "related": related,
        "summary_fields": summaries,
        "created": stamp(job.created),
        "modified": stamp(job.modified),
        "name": job.name,
        "description": job.description,
        "unified_job_template": job.template,
        "launch_type": job.launch_type,
        "status": job.status.name(),
        "failed": job.status.is_bad(),
        "started": job.started.map(stamp),
        "finished": job.finished.map(stamp),
        "canceled_on": (job.status.name() == "canceled").then(|| job.finished.map(stamp)).flatten(),
        "elapsed": job.elapsed(state.now()),
        "job_explanation": job.job_explanation,
        "launched_by": launched_by,
        "work_unit_id": null,
        "extra_vars": python::dumps_map(&job.shown_vars()),
        "inventory": job.inventory,
        "limit": job.limit,
        "scm_branch": job.scm_branch,
        "job_tags": job.job_tags,
        "skip_tags": job.skip_tags,
        "webhook_service": "",
        "webhook_credential": null,
        "webhook_guid": "",
    }))
}

fn playbook_job(state: &State, job: &Job, root: &str, node: &str) -> Map<String, Value> {
    let url = format!("{root}/jobs/{}/", job.id);
    let mut row = common(state, job, root);
    if let Some(related) = row.get_mut("related") {
        for (name, path) in [
            ("stdout", "stdout/"),
            ("job_events", "job_events/"),
            ("job_host_summaries", "job_host_summaries/"),
            ("credentials", "credentials/"),
            ("activity_stream", "activity_stream/"),
            ("notifications", "notifications/"),
            ("create_schedule", "create_schedule/"),
        ] {
            put(related, name, format!("{url}{path}").into());
        }
        if let Some(project) = job.project {
            put(related, "project", format!("{root}/projects/{project}/").into());
        }
    }
    if let Some(summaries) = row.get_mut("summary_fields") {
        put(summaries, "credentials", credential_summaries(state, &job.credentials).into());
        if let Some(project) = job.project {
            put(
                summaries,
                "project",
                json!({"id": project, "name": state.row_name("projects", project), "description": "", "status": "ok", "scm_type": "", "allow_override": true}),
            );
        }
    }
    row.extend(object(json!({
        "job_template": job.template,
        "execution_environment": job.execution_environment,
        "execution_node": if job.starts > 0 { node } else { "" },
        "controller_node": if job.starts > 0 { "sandbox" } else { "" },
        "job_type": job.job_type,
        "project": job.project,
        "playbook": job.playbook,
        "forks": job.forks,
        "verbosity": job.verbosity,
        "force_handlers": false,
        "start_at_task": "",
        "timeout": job.timeout,
        "use_fact_cache": false,
        "organization": 1,
        "allow_simultaneous": job.allow_simultaneous,
        "artifacts": {},
        "scm_revision": "",
        "instance_group": if job.starts > 0 { json!(2) } else { Value::Null },
        "diff_mode": job.diff_mode,
        "job_slice_number": job.slice_number,
        "job_slice_count": job.slice_count,
        "passwords_needed_to_start": [],
    })));
    row
}

fn workflow_job(state: &State, job: &Job, root: &str) -> Map<String, Value> {
    let mut row = common(state, job, root);
    if let Some(related) = row.get_mut("related") {
        put(related, "workflow_nodes", format!("{root}/workflow_jobs/{}/workflow_nodes/", job.id).into());
    }
    row.extend(object(json!({
        "workflow_job_template": if job.is_sliced { None } else { job.template },
        "job_template": if job.is_sliced { job.template } else { None },
        "is_sliced_job": job.is_sliced,
        "allow_simultaneous": job.allow_simultaneous,
    })));
    row
}

fn approval(state: &State, job: &Job, root: &str) -> Map<String, Value> {
    let mut row = common(state, job, root);
    let approving = job.approving.as_ref();
    row.extend(object(json!({
        "unified_job_template": approving.map(|approving| approving.template),
        "can_approve_or_deny": job.status.is_active(),
        "approval_expiration": expiration(job).map(stamp),
        "timed_out": approving.is_some_and(|approving| approving.timed_out),
    })));
    row
}

/// One node of a running workflow.
pub(crate) fn node(state: &State, parent: &Job, node: &Node, root: &str) -> Value {
    let ids =
        |list: &[usize]| -> Vec<u64> { list.iter().filter_map(|at| parent.nodes.get(*at)).map(|n| n.id).collect() };
    let url = format!("{root}/workflow_job_nodes/{}/", node.id);
    let template = state.templates.get(&node.template);
    let mut related = json!({"workflow_job": format!("{root}/workflow_jobs/{}/", parent.id), "unified_job_template": format!("{root}/job_templates/{}/", node.template)});
    let mut summaries = json!({
        "workflow_job": {"id": parent.id, "name": parent.name, "description": parent.description},
        "unified_job_template": match &node.approval {
            Some(approval) => approval_template(node.template, approval),
            None => template.map(template_summary).into(),
        },
    });
    if let Some(run) = node.job.and_then(|id| state.jobs.get(&id)) {
        put(&mut related, "job", format!("{root}/{}/{}/", run.kind.collection(), run.id).into());
        put(
            &mut summaries,
            "job",
            json!({"id": run.id, "name": run.name, "description": run.description, "status": run.status.name(), "failed": run.status.is_bad(), "elapsed": run.elapsed(state.now()), "type": run.kind.type_name()}),
        );
        if let (Some(approving), Some(job)) = (&run.approving, summaries.get_mut("job")) {
            put(job, "timed_out", approving.timed_out.into());
        }
    }
    json!({
        "id": node.id, "type": "workflow_job_node", "url": url, "related": related, "summary_fields": summaries,
        "created": stamp(parent.created), "modified": stamp(parent.modified), "extra_data": node.extra_data, "inventory": null, "scm_branch": null,
        "job_type": null, "job_tags": null, "skip_tags": null, "limit": null, "diff_mode": null, "verbosity": null,
        "job": node.job, "workflow_job": parent.id, "unified_job_template": node.template, "success_nodes": ids(&node.success),
        "failure_nodes": ids(&node.failure), "always_nodes": ids(&node.always), "all_parents_must_converge": false,
        "do_not_run": node.do_not_run, "identifier": node.identifier,
    })
}

/// A template; `created` is the same for all, they come with the sandbox.
pub(crate) fn template(state: &State, template: &Template, root: &str) -> Value {
    let collection = template.kind.collection();
    let url = format!("{root}/{collection}/{}/", template.id);
    let last = state.jobs.of_template(template.id, 0).rev().find(|j| j.parent.is_none() || j.slice_count < 2);
    let last_summary = last.map(|j| json!({"id": j.id, "name": j.name, "description": "", "status": j.status.name(), "failed": j.status.is_bad(), "finished": j.finished.map(stamp)}));
    let mut related = json!({
        "launch": format!("{url}launch/"), "survey_spec": format!("{url}survey_spec/"), "labels": format!("{url}labels/"),
        "organization": format!("{root}/organizations/{}/", template.organization),
    });
    let mut summaries = json!({
        "organization": summary(state, "organizations", template.organization), "labels": label_summary(state, &template.labels),
        "user_capabilities": {"edit": false, "delete": false, "start": true, "schedule": false, "copy": false},
        "recent_jobs": [],
    });
    if let Some(last) = last_summary {
        put(&mut summaries, "last_job", last);
    }
    let mut row = object(json!({
        "id": template.id, "type": template.kind.type_name(), "url": url,
        "created": "2024-07-02T08:00:00.000000Z", "modified": "2024-07-02T08:00:00.000000Z",
        "name": template.name, "description": template.description, "extra_vars": own_variables(template),
        "last_job_run": last.and_then(|j| j.finished.map(stamp)), "last_job_failed": last.is_some_and(|j| j.status.is_bad()), "next_job_run": null,
        "status": last.map_or("never updated", |j| j.status.name()), "organization": template.organization, "survey_enabled": template.survey_enabled,
        "allow_simultaneous": template.allow_simultaneous, "inventory": template.inventory, "limit": template.limit, "scm_branch": template.scm_branch,
        "job_tags": template.job_tags, "skip_tags": template.skip_tags, "webhook_service": "", "webhook_credential": null,
    }));
    match template.kind {
        TemplateKind::Job => {
            put(&mut related, "jobs", format!("{url}jobs/").into());
            put(&mut related, "credentials", format!("{url}credentials/").into());
            put(&mut related, "instance_groups", format!("{url}instance_groups/").into());
            put(&mut summaries, "credentials", credential_summaries(state, &template.credentials).into());
            if let Some(inventory) = template.inventory {
                put(&mut related, "inventory", format!("{root}/inventories/{inventory}/").into());
                let mut told = summary(state, "inventories", inventory);
                let hosts = state.row("inventories", inventory).and_then(|row| row.get("total_hosts")).cloned();
                put(&mut told, "total_hosts", hosts.unwrap_or(Value::Null));
                put(&mut summaries, "inventory", told);
            }
            if let Some(project) = template.project {
                put(&mut related, "project", format!("{root}/projects/{project}/").into());
                let mut told = summary(state, "projects", project);
                for field in ["status", "scm_type", "allow_override"] {
                    let value = state.row("projects", project).and_then(|row| row.get(field)).cloned();
                    put(&mut told, field, value.unwrap_or(Value::Null));
                }
                put(&mut summaries, "project", told);
            }
            row.extend(object(json!({
                "job_type": template.job_type, "project": template.project, "playbook": template.playbook, "forks": template.forks,
                "verbosity": template.verbosity, "force_handlers": false, "start_at_task": "", "timeout": template.timeout, "use_fact_cache": false,
                "execution_environment": template.execution_environment, "host_config_key": "", "become_enabled": false,
                "diff_mode": template.diff_mode, "custom_virtualenv": null, "job_slice_count": template.job_slice_count,
                "prevent_instance_group_fallback": false,
            })));
        }
        TemplateKind::Workflow => {
            put(&mut related, "workflow_jobs", format!("{url}workflow_jobs/").into());
            put(&mut related, "workflow_nodes", format!("{url}workflow_nodes/").into());
        }
    }
    for (field, flag) in template.kind.prompts() {
        row.insert((*flag).to_owned(), template.asks(field).into());
    }
    row.insert("related".to_owned(), related);
    row.insert("summary_fields".to_owned(), summaries);
    Value::Object(row)
}

fn template_summary(template: &Template) -> Value {
    let kind = match template.kind {
        TemplateKind::Job => JobKind::Job,
        TemplateKind::Workflow => JobKind::Workflow,
    };
    json!({"id": template.id, "name": template.name, "description": template.description, "unified_job_type": kind.type_name()})
}

fn approval_template(id: u64, approval: &Approval) -> Value {
    let kind = JobKind::Approval.type_name();
    json!({"id": id, "name": approval.name, "description": approval.description, "unified_job_type": kind, "timeout": approval.timeout})
}

/// A template's own variables: the text that was saved.
fn own_variables(template: &Template) -> String {
    match template.extra_vars_text.as_str() {
        "" => python::dumps_map(&template.extra_vars),
        text => text.to_owned(),
    }
}

/// A step of a workflow template.
pub(crate) fn step(state: &State, template: &Template, at: usize, root: &str) -> Option<Value> {
    let step = template.steps.get(at)?;
    let id = |at: usize| template.id * 100 + u64::try_from(at).unwrap_or(0);
    let ids = |list: &[usize]| -> Vec<u64> { list.iter().map(|at| id(*at)).collect() };
    let target = state.templates.get(&step.template);
    Some(json!({
        "id": id(at), "type": "workflow_job_template_node", "url": format!("{root}/workflow_job_template_nodes/{}/", id(at)),
        "related": {"unified_job_template": format!("{root}/job_templates/{}/", step.template), "workflow_job_template": format!("{root}/workflow_job_templates/{}/", template.id)},
        "summary_fields": {
            "workflow_job_template": {"id": template.id, "name": template.name, "description": template.description},
            "unified_job_template": match &step.approval {
                Some(approval) => approval_template(step.template, approval),
                None => target.map(template_summary).into(),
            },
        },
        "workflow_job_template": template.id, "unified_job_template": step.template, "identifier": step.identifier, "extra_data": step.extra_data,
        "success_nodes": ids(&step.success), "failure_nodes": ids(&step.failure), "always_nodes": ids(&step.always), "all_parents_must_converge": false,
    }))
}

/// A job event; without `whole` its text is cut at 1024 bytes.
pub(crate) fn event(job: &Job, event: &Event, root: &str, whole: bool) -> Value {
    let mut stdout = event.stdout.clone();
    if !whole && stdout.len() > 1024 {
        let mut end = 1024;
        while !stdout.is_char_boundary(end) {
            end -= 1;
        }
        stdout.truncate(end);
        stdout.push('…');
    }
    let level = match event.event.as_str() {
        "playbook_on_start" => 0,
        "playbook_on_play_start" | "playbook_on_stats" => 1,
        "playbook_on_task_start" => 2,
        _ => 3,
    };
    json!({
        "id": event.id, "type": "job_event", "url": format!("{root}/job_events/{}/", event.id),
        "related": {"job": format!("{root}/jobs/{}/", job.id)},
        "summary_fields": {"job": {"id": job.id, "name": job.name, "description": job.description, "status": job.status.name(), "failed": job.status.is_bad(), "type": "job"}},
        "created": stamp(event.created), "modified": stamp(event.created), "job": job.id, "event": event.event, "counter": event.counter,
        "event_display": event.event, "event_data": {"playbook": job.playbook, "play": event.play, "task": event.task, "host": event.host, "guid": job.guid},
        "event_level": level, "failed": event.failed, "changed": event.changed, "uuid": event.uuid, "parent_uuid": "", "host": null, "host_name": event.host,
        "playbook": job.playbook, "play": event.play, "task": event.task, "role": "", "stdout": stdout, "start_line": event.start_line,
        "end_line": event.end_line, "verbosity": 0,
    })
}

/// The map inside of a value that is one by construction.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn put(into: &mut Value, name: &str, value: Value) {
    if let Value::Object(map) = into {
        map.insert(name.to_owned(), value);
    }
}
