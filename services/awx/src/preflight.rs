//! What AWX would drop or refuse, reported before anything is launched.
//!
//! A job template silently drops what it does not prompt for and runs without it: who asked for one host gets the
//! whole inventory. So whatever is predictable is refused here, and the answer's `ignored_fields` is only the net below.

use runwarden_kit::json::{find_nul, pointer_step};
use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::launch_body::{ENCRYPTED, LaunchBody, too_long};
use super::survey::{QuestionKind, SurveyQuestion};
use super::template::{NO_EXECUTE, TemplateKind, TemplateView};
use super::{MARKER_VARIABLE, Problem};

/// The largest request a controller takes is 5 MB behind its usual proxy.
const LARGEST: usize = 4 * 1024 * 1024;

/// Checks a launch against the template as it is now. `Ok` means: AWX will take all of it, as far as can be known.
pub fn preflight(template: &TemplateView, body: &LaunchBody) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    check_template(template, body, &mut problems);
    check_fields(template, body, &mut problems);
    check_variables(template, body, &mut problems);
    if body.bytes().len() > LARGEST {
        problems.push(Problem::template("the parameters are larger than a controller accepts"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_template(template: &TemplateView, body: &LaunchBody, problems: &mut Vec<Problem>) {
    let about = |what: &str| Problem::template(format!("the controller's template cannot be launched: {what}"));
    if !template.can_start {
        problems.push(about(NO_EXECUTE));
    }
    if template.kind == TemplateKind::Job {
        if !template.has("project") {
            problems.push(about("it has no project"));
        }
        if !template.has("inventory") && body.field(LaunchField::Inventory).is_none() {
            problems.push(about("it has no inventory"));
        }
    }
    // Other credentials ask for what they ask for: that is seen when they are looked up.
    if !template.passwords_needed.is_empty() && body.field(LaunchField::Credentials).is_none() {
        problems.push(about("its credentials ask for passwords at launch, which Runwarden cannot supply"));
    }
    if template.survey_enabled && template.survey.as_ref().is_none_or(|survey| survey.questions.is_empty()) {
        // It is not known what its survey allows, so nothing that relies on it can be promised.
        let relies = !template.asks.has(LaunchField::ExtraVars) && !body.variables().is_empty();
        if relies {
            problems.push(about("its survey cannot be read"));
        }
    }
}

fn check_fields(template: &TemplateView, body: &LaunchBody, problems: &mut Vec<Problem>) {
    for (field, value) in body.fields() {
        let parameter = body.origin(field);
        if !template.asks.has(field) {
            problems.push(Problem::of(
                parameter,
                format!("the controller's template does not prompt for `{}` on launch and would drop it", field.name()),
            ));
        }
        if find_nul(value).is_some() {
            problems.push(Problem::of(parameter, "must not contain NUL characters"));
        }
        problems.extend(too_long(field, value).map(|detail| Problem::of(parameter, detail)));
    }
}

fn check_variables(template: &TemplateView, body: &LaunchBody, problems: &mut Vec<Problem>) {
    let survey = template.survey.as_ref().filter(|_| template.survey_enabled);
    let free = template.asks.has(LaunchField::ExtraVars);
    for (name, value) in body.variables() {
        let question = survey.and_then(|survey| survey.question(name));
        match question {
            Some(question) => {
                if let Some(detail) = refused(question, value) {
                    problems.push(Problem::of(name, detail));
                }
            }
            None if free => {}
            None if survey.is_some() => problems.push(Problem::of(
                name,
                "the controller's template has no survey question for this variable and would drop it",
            )),
            None => problems.push(Problem::of(
                name,
                "the controller's template does not prompt for variables on launch and would drop it",
            )),
        }
        if let Some(at) = find_nul(value) {
            problems.push(Problem::new(format!("{}{at}", pointer_step(name)), "must not contain NUL characters"));
        }
        if name.contains('\0') {
            problems.push(Problem::of(name, "its name must not contain NUL characters"));
        }
        if let Some(at) = find_placeholder(value) {
            problems.push(Problem::new(
                format!("{}{at}", pointer_step(name)),
                "must not be `$encrypted$`, which the controller reads as its default",
            ));
        }
    }
    for question in survey.into_iter().flat_map(|survey| &survey.questions) {
        if question.required && !body.variables().contains_key(&question.variable) {
            let detail = if question.variable == MARKER_VARIABLE {
                "the survey's question for Runwarden's marker cannot hold it; make it an optional text question"
            } else {
                "the controller's survey requires this variable"
            };
            problems.push(Problem::of(&question.variable, detail));
        }
    }
}

/// Where a string is AWX's placeholder for secrets, as a JSON pointer: AWX takes it for "use the default".
#[must_use]
pub fn find_placeholder(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (text == ENCRYPTED).then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| find_placeholder(item).map(|rest| format!("/{n}{rest}")))
        }
        Value::Object(map) => {
            map.iter().find_map(|(key, item)| find_placeholder(item).map(|rest| format!("{}{rest}", pointer_step(key))))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// What AWX's survey would say against an answer. Never quotes the answer: it may be a secret.
#[expect(clippy::cast_precision_loss, reason = "bounds beyond 2^53 are no bounds anybody sets")]
fn refused(question: &SurveyQuestion, value: &Value) -> Option<String> {
    // AWX cuts the fraction off all bounds but those of floats.
    let bound = |bound: Option<f64>| match question.kind {
        QuestionKind::Float => bound,
        _ => bound.map(f64::trunc),
    };
    let too_small = |n: f64| bound(question.min).filter(|min| n < *min);
    let too_large = |n: f64| bound(question.max).filter(|max| n > *max);
    match &question.kind {
        QuestionKind::Text | QuestionKind::Textarea | QuestionKind::Password => {
            let Some(text) = value.as_str() else { return Some("must be a string".into()) };
            let length = text.chars().count() as f64;
            too_small(length)
                .map(|min| format!("must be at least {min} characters long"))
                .or_else(|| too_large(length).map(|max| format!("must be at most {max} characters long")))
        }
        QuestionKind::Integer | QuestionKind::Float => {
            let fits = match question.kind {
                QuestionKind::Integer => value.is_i64() || value.is_u64(),
                _ => value.is_number(),
            };
            let Some(n) = value.as_f64().filter(|_| fits) else {
                return Some(match question.kind {
                    QuestionKind::Integer => "must be an integer".into(),
                    _ => "must be a number".into(),
                });
            };
            too_small(n)
                .map(|min| format!("must be at least {min}"))
                .or_else(|| too_large(n).map(|max| format!("must be at most {max}")))
        }
        QuestionKind::MultipleChoice => {
            (!question.choices.contains(value)).then(|| "is not one of the survey's choices".into())
        }
        QuestionKind::MultiSelect => {
            let Some(chosen) = value.as_array() else { return Some("must be a list".into()) };
            chosen
                .iter()
                .any(|choice| !question.choices.contains(choice))
                .then(|| "contains something that is not one of the survey's choices".into())
        }
        QuestionKind::Other(_) => None,
    }
}
