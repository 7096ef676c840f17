//! Whether a controller's template would honour what is to be sent to it. AWX drops what it does not prompt for and
//! launches all the same, so this is found out when a template is mapped, not when somebody's `limit` is gone.

use runwarden_kit::contract::RequestInfo;
use runwarden_kit::json::pointer_step;
use runwarden_kit::launch_field::LaunchField;
use runwarden_kit::request_info::VARIABLES;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, json};
use serde_json::{Map, Value};

use super::fixed::Fixed;
use super::schema::{self, Schema};
use crate::port::{Description, Offer};

/// Refuses a mapping that the controller's template would not honour. Answers the schema, held to what it takes.
pub(super) fn check(found: &Description, written: &Schema, fixed: &Fixed, info: RequestInfo) -> Result<Schema> {
    check_overlap(written, fixed)?;
    let offer = &found.offer;
    let survey = Survey::read(offer)?;
    let taken = if found.taken.is_empty() { Value::Null } else { read(&found.taken)? };
    let mut wrong = problems(offer, fixed);
    let schema = written.narrowed(|name, target, property| {
        let refusal = passage(offer, &survey, name, target).or_else(|| {
            let limits = match target {
                LaunchField::ExtraVars => survey.questions.get(name),
                field => taken.get(field.name()),
            };
            limits.and_then(|limits| schema::tighten(property, limits).err())
        });
        let place = format!("/parameters/properties{}", pointer_step(name));
        wrong.extend(refusal.map(|detail| FieldError { pointer: place, detail }));
    });
    for (name, target, value) in fixed.iter() {
        let place = format!("/fixed{}", pointer_step(name));
        let detail = passage(offer, &survey, name, target).or_else(|| survey.misfit(name, target, value));
        wrong.extend(detail.map(|detail| FieldError { pointer: place, detail }));
    }
    for (name, detail) in &found.fixed_problems {
        wrong.push(FieldError { pointer: format!("/fixed{}", pointer_step(name)), detail: detail.clone() });
    }
    let info_problem = request_info(offer, written, fixed, info);
    wrong.extend(info_problem.map(|detail| FieldError { pointer: "/request_info".to_owned(), detail }));
    for name in &survey.required {
        if !answered(written, name) && !fixed.has(name) {
            let default = survey.questions.get(name).is_some_and(|question| question.get("default").is_some());
            let even = if default { ", even though it has a default" } else { "" };
            let detail = format!(
                "the survey requires an answer to `{name}` in every launch{even}: make it a required parameter, or fix it"
            );
            wrong.push(FieldError { pointer: "/parameters/required".to_owned(), detail });
        }
    }
    if !wrong.is_empty() {
        let detail = format!("The controller's template `{}` would not honour this mapping.", offer.name);
        return Err(Error::new(ErrorReason::TemplateUnsuitable, detail).with_fields(wrong));
    }
    schema.check_size(&offer.name)?;
    Ok(schema)
}

fn read(text: &str) -> Result<Value> {
    json::parse(text.as_bytes()).map_err(Error::internal)
}

/// Refuses what would be sent twice.
fn check_overlap(schema: &Schema, fixed: &Fixed) -> Result<()> {
    for (name, field, _) in fixed.iter() {
        let twice = schema
            .properties()
            .any(|(other, target, _)| other == name || (target == field && field != LaunchField::ExtraVars));
        if twice {
            let detail = "is also something callers may send; it can be one or the other";
            return Err(Error::invalid(format!("/fixed{}", pointer_step(name)), detail));
        }
    }
    Ok(())
}

/// Why the template cannot be launched as it is, apart from what fixed values solve.
fn problems(offer: &Offer, fixed: &Fixed) -> Vec<FieldError> {
    // The description of the template names what a fixed value would solve: "… so fix `inventory`".
    let mended = |problem: &str| fixed.iter().any(|(name, ..)| problem.ends_with(&format!("so fix `{name}`")));
    offer
        .obstacles
        .iter()
        .filter(|problem| !mended(problem))
        .map(|problem| FieldError { pointer: "/controller_template/id".to_owned(), detail: problem.clone() })
        .collect()
}

/// Why a value would not get through; nothing if it does.
fn passage(offer: &Offer, survey: &Survey, name: &str, target: LaunchField) -> Option<String> {
    let prompts = |field: LaunchField| offer.prompts.iter().any(|prompt| prompt == field.name());
    match target {
        LaunchField::ExtraVars if prompts(target) || survey.asks(name) => None,
        LaunchField::ExtraVars => Some(format!(
            "the template does not accept the variable `{name}`: it neither prompts for variables on launch nor asks for it in its survey"
        )),
        field if prompts(field) => None,
        field => Some(format!(
            "the template does not prompt for `{}` on launch (`{}` is off)",
            field.name(),
            field.ask_flag()
        )),
    }
}

/// Why what a run is to be told about its request would not get through; nothing if it does.
fn request_info(offer: &Offer, schema: &Schema, fixed: &Fixed, info: RequestInfo) -> Option<String> {
    let prompts = |field: LaunchField| offer.prompts.iter().any(|prompt| prompt == field.name());
    match info {
        RequestInfo::None => None,
        // Whatever it prompts for: AWX holds a variable to the question of its name.
        RequestInfo::Variables if !offer.request_misfits.is_empty() => {
            Some(format!("the template's survey cannot take what its runs would be told: {}", offer.request_misfits.join("; ")))
        }
        RequestInfo::Variables => {
            let lacks: Vec<&str> = VARIABLES
                .into_iter()
                .filter(|name| !offer.request_questions.iter().any(|asked| asked == name))
                .collect();
            if lacks.is_empty() || prompts(LaunchField::ExtraVars) {
                return None;
            }
            Some(format!(
                "the template does not prompt for variables on launch, so these would be dropped: {}. Switch on \
                 `{}` (Prompt on launch, at Variables), or add an optional text question for each of them to its survey",
                lacks.join(", "),
                LaunchField::ExtraVars.ask_flag()
            ))
        }
        RequestInfo::Labels if !prompts(LaunchField::Labels) => Some(format!(
            "the template does not prompt for labels on launch, so they would be dropped: switch on `{}` (Prompt on \
             launch, at Labels)",
            LaunchField::Labels.ask_flag()
        )),
        RequestInfo::Labels if offer.organization.is_empty() => Some(
            "the template has no organization, so it can have no labels of its own: give it, or the project of its playbook, \
             one"
                .to_owned(),
        ),
        RequestInfo::Labels => {
            let fixed = fixed.iter().any(|(_, field, _)| field == LaunchField::Labels);
            let sent = schema.properties().any(|(_, field, _)| field == LaunchField::Labels);
            (fixed || sent).then(|| "labels are fixed already; a launch has one list of them".to_owned())
        }
    }
}

/// Whether every request answers a question of the survey.
fn answered(schema: &Schema, name: &str) -> bool {
    schema
        .properties()
        .any(|(other, target, _)| other == name && target == LaunchField::ExtraVars && schema.requires(name))
}

/// A survey, as far as a mapping needs to know it.
struct Survey {
    questions: Map<String, Value>,
    /// AWX wants an answer to these in every launch, even though it has a default.
    required: Vec<String>,
}

impl Survey {
    fn read(offer: &Offer) -> Result<Self> {
        let mut survey = Self { questions: Map::new(), required: Vec::new() };
        if !offer.survey_enabled || offer.survey_schema.is_empty() {
            return Ok(survey);
        }
        let schema = read(&offer.survey_schema)?;
        if let Some(Value::Object(questions)) = schema.get("properties") {
            survey.questions.clone_from(questions);
        }
        let required = schema.get("required").and_then(Value::as_array);
        survey.required = required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(survey)
    }

    fn asks(&self, name: &str) -> bool {
        self.questions.contains_key(name)
    }

    /// Why a fixed value is not a valid answer.
    fn misfit(&self, name: &str, target: LaunchField, value: &Value) -> Option<String> {
        let question = self.questions.get(name).filter(|_| target == LaunchField::ExtraVars)?;
        if question.get("writeOnly") == Some(&Value::Bool(true)) {
            return Some(
                "is a password question; anyone who may see the template can read fixed values, so let callers send \
                 it, or set its default on the controller"
                    .to_owned(),
            );
        }
        schema::misfit(question, value)
    }
}

#[cfg(test)]
mod tests;
