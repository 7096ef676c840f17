//! The templates of a fresh sandbox. Their ids are fixed: tests and the demo rely on them (see README.md).

use serde_json::{Value, json};

use super::template::{Approval, Question, Step, Template, TemplateKind};

fn template(id: u64, kind: TemplateKind, name: &str, description: &str, playbook: &str) -> Template {
    Template {
        id,
        kind,
        name: name.to_owned(),
        description: description.to_owned(),
        playbook: playbook.to_owned(),
        job_type: "run".to_owned(),
        inventory: (kind == TemplateKind::Job).then_some(1),
        project: (kind == TemplateKind::Job).then_some(8),
        limit: String::new(),
        job_tags: String::new(),
        skip_tags: String::new(),
        scm_branch: String::new(),
        verbosity: 0,
        forks: 0,
        timeout: 0,
        diff_mode: false,
        job_slice_count: 1,
        extra_vars: serde_json::Map::new(),
        extra_vars_text: String::new(),
        organization: 1,
        credentials: if kind == TemplateKind::Job { vec![1] } else { Vec::new() },
        labels: Vec::new(),
        instance_groups: Vec::new(),
        execution_environment: None,
        ask: std::collections::BTreeSet::new(),
        survey_enabled: false,
        survey: Vec::new(),
        allow_simultaneous: true,
        passwords_needed: Vec::new(),
        restricted: false,
        steps: Vec::new(),
    }
}

fn job(id: u64, name: &str, description: &str, playbook: &str) -> Template {
    template(id, TemplateKind::Job, name, description, playbook)
}

fn asking(mut template: Template, fields: &[&str]) -> Template {
    template.ask = fields.iter().map(|f| (*f).to_owned()).collect();
    template
}

fn question(variable: &str, name: &str, kind: &str, required: bool, default: Value) -> Question {
    Question {
        question_name: name.to_owned(),
        required,
        kind: kind.to_owned(),
        variable: variable.to_owned(),
        default,
        ..Question::default()
    }
}

fn surveyed(mut template: Template, survey: Vec<Question>) -> Template {
    template.survey_enabled = true;
    template.survey = survey;
    template
}

fn choices(list: &[&str]) -> Vec<String> {
    list.iter().map(|c| (*c).to_owned()).collect()
}

fn deploy_survey() -> Vec<Question> {
    vec![
        Question {
            question_description: "Where the release goes.".to_owned(),
            choices: choices(&["dev", "staging", "prod"]),
            ..question("environment", "Environment", "multiplechoice", true, json!("dev"))
        },
        Question {
            question_description: "What to release, as it is tagged.".to_owned(),
            min: Some(1),
            max: Some(32),
            ..question("version", "Version", "text", true, json!(""))
        },
        Question {
            question_description: "How many copies to run.".to_owned(),
            min: Some(1),
            max: Some(10),
            ..question("replicas", "Replicas", "integer", false, json!(2))
        },
        Question { max: Some(1024), ..question("notes", "Notes", "textarea", false, json!("")) },
        Question {
            question_description: "Read by the playbook, never printed.".to_owned(),
            min: Some(0),
            max: Some(64),
            ..question("deploy_password", "Deploy password", "password", false, json!("sandbox-default-password"))
        },
    ]
}

fn small_survey() -> Vec<Question> {
    vec![
        Question { min: Some(2), max: Some(16), ..question("who", "Who", "text", true, json!("")) },
        Question { min: Some(1), max: Some(5), ..question("count", "Count", "integer", false, json!(3)) },
        Question {
            choices: choices(&["dev", "prod"]),
            ..question("envname", "Environment", "multiplechoice", false, json!("dev"))
        },
        Question {
            choices: choices(&["web", "db", "cache"]),
            ..question("parts", "Parts", "multiselect", false, json!(["web"]))
        },
        question("ratio", "Ratio", "float", false, json!(0.5)),
        question("gw_correlation_id", "Correlation", "text", false, json!("")),
    ]
}

fn step(template: u64, identifier: &str, success: &[usize], failure: &[usize], always: &[usize]) -> Step {
    Step {
        template,
        identifier: identifier.to_owned(),
        success: success.to_vec(),
        failure: failure.to_vec(),
        always: always.to_vec(),
        extra_data: serde_json::Map::new(),
        approval: None,
    }
}

/// A step that waits for the release manager, for so many seconds; 0 for ever.
fn approval(timeout: u64, success: &[usize], failure: &[usize]) -> Step {
    let name = "Release manager says yes".to_owned();
    let approval = Some(Approval { name, description: "to prod".to_owned(), timeout });
    Step { approval, ..step(140, "5a0f2b1e-94d7-4c56-8a3f-0c5f7d1b2e90", success, failure, &[]) }
}

fn workflow(id: u64, name: &str, description: &str, steps: Vec<Step>) -> Template {
    let mut made = template(id, TemplateKind::Workflow, name, description, "");
    made.steps = steps;
    made
}

/// All templates of a fresh sandbox.
pub(crate) fn templates() -> Vec<Template> {
    let every: Vec<&str> = TemplateKind::Job.prompts().iter().map(|(field, _)| *field).collect();
    let mut sliced = asking(
        job(15, "sliced", "Three slices over three hosts; a launch answers with a workflow job.", "plain.yml"),
        &["extra_vars"],
    );
    sliced.job_slice_count = 3;
    sliced.inventory = Some(2);
    let mut alone = asking(
        job(17, "one-at-a-time", "Never runs twice at once; the second launch waits.", "variables.yml"),
        &["extra_vars"],
    );
    alone.allow_simultaneous = false;
    let mut homeless = job(18, "no-inventory", "Its inventory is missing; it cannot be launched.", "plain.yml");
    homeless.inventory = None;
    let mut hidden = job(19, "restricted", "Only superusers see it; all others get 403.", "plain.yml");
    hidden.restricted = true;
    let mut locked = job(26, "asks-password", "Its credential asks for ssh_password at launch.", "plain.yml");
    locked.passwords_needed = vec!["ssh_password".to_owned()];
    locked.credentials = vec![2];
    let mut preset = job(27, "preset", "Carries variables of its own and prompts for none.", "variables.yml");
    preset.extra_vars.insert("colour".to_owned(), json!("green"));
    vec![
        job(9, "plain", "No prompts: whatever is asked is dropped.", "plain.yml"),
        surveyed(
            asking(
                job(10, "deploy", "Deploys a release; the demo's template.", "deploy.yml"),
                &["extra_vars", "limit"],
            ),
            deploy_survey(),
        ),
        asking(job(11, "ask-everything", "Prompts for all that AWX can prompt for.", "variables.yml"), &every),
        asking(job(12, "fails", "Its second task says no.", "fails.yml"), &["extra_vars"]),
        asking(job(13, "hangs", "Runs until it is cancelled.", "hangs.yml"), &["extra_vars"]),
        asking(job(14, "prints-a-lot", "Prints about four megabytes.", "prints.yml"), &["extra_vars"]),
        sliced,
        surveyed(job(16, "survey-only", "A survey, and no other variables.", "variables.yml"), small_survey()),
        alone,
        homeless,
        hidden,
        workflow(
            20,
            "release",
            "Prepare, deploy, announce; no prompts.",
            vec![
                step(9, "prepare", &[1], &[2], &[]),
                step(22, "deploy", &[], &[2], &[]),
                step(9, "roll-back", &[], &[], &[]),
            ],
        ),
        asking(
            workflow(
                21,
                "release-with-variables",
                "The same with variables and limit.",
                vec![
                    step(22, "prepare", &[1], &[], &[]),
                    step(22, "deploy", &[], &[], &[2]),
                    step(9, "announce", &[], &[], &[]),
                ],
            ),
            &["extra_vars", "limit"],
        ),
        asking(job(22, "ask-variables", "Variables, and nothing else.", "variables.yml"), &["extra_vars"]),
        asking(job(23, "errors", "Ends in status error: it could not be run.", "errors.yml"), &["extra_vars"]),
        workflow(
            24,
            "release-fails",
            "Its first step fails and nobody handles it.",
            vec![step(12, "fails", &[1], &[], &[]), step(9, "never", &[], &[], &[])],
        ),
        asking(
            job(25, "ask-skip-tags", "Skip tags only: room for a marker that can be searched.", "plain.yml"),
            &["skip_tags"],
        ),
        locked,
        preset,
        surveyed(
            workflow(28, "release-with-survey", "A workflow that asks who.", vec![step(22, "only", &[], &[], &[])]),
            small_survey(),
        ),
        workflow(
            40,
            "release-approved",
            "Waits for an approval before it deploys.",
            vec![step(9, "build", &[1], &[], &[]), approval(0, &[2], &[]), step(9, "deploy", &[], &[], &[])],
        ),
        workflow(
            41,
            "release-approved-in-time",
            "Waits for an approval, for 20 seconds.",
            vec![approval(20, &[1], &[]), step(9, "deploy", &[], &[], &[])],
        ),
        workflow(
            42,
            "release-approved-or-not",
            "What to do if it is not approved is a step of its own.",
            vec![approval(0, &[1], &[2]), step(9, "deploy", &[], &[], &[]), step(9, "roll-back", &[], &[], &[])],
        ),
        workflow(
            43,
            "release-inside",
            "Runs a workflow that fails, and goes on; then one that waits for an approval.",
            vec![step(24, "try", &[], &[], &[1]), step(40, "release", &[], &[], &[])],
        ),
        workflow(
            44,
            "release-hangs",
            "Its only step runs until somebody ends it.",
            vec![step(13, "deploy", &[], &[], &[])],
        ),
        asking(
            job(45, "says-for-whom", "Says which request it answers, as Runwarden tells it.", "request.yml"),
            &["extra_vars"],
        ),
    ]
}
