//! A survey as a JSON Schema of the parameters callers may send ("import").

use runwarden_kit::launch_field::{LaunchField, TARGET_KEYWORD};
use serde_json::{Map, Value, json};

use super::marker::MARKER_VARIABLE;
use super::survey::{QuestionKind, SurveyQuestion};
use super::template::TemplateSummary;

impl TemplateSummary {
    /// The parameters callers may send if nothing else is said: exactly the questions of the survey. What the
    /// template prompts for besides is opened only by naming it, and a comment says so.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for question in self.survey.iter().flat_map(|survey| &survey.questions) {
            // Runwarden itself answers these; unanswerable questions are listed apart.
            let own = question.variable == MARKER_VARIABLE || question.is_about_the_request();
            if own || question.unanswerable().is_some() {
                continue;
            }
            if question.required {
                required.push(Value::from(question.variable.clone()));
            }
            properties.insert(question.variable.clone(), property(question));
        }
        let mut schema = Map::new();
        schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        let more = self.not_imported();
        if !more.is_empty() {
            schema.insert("$comment".into(), more.into());
        }
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), properties.into());
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        schema.insert("additionalProperties".into(), false.into());
        schema.into()
    }

    /// Which of the variables about a request its survey asks for.
    pub fn request_questions(&self) -> Vec<String> {
        self.about_the_request().map(|question| question.variable.clone()).collect()
    }

    /// Which of these questions cannot take what a run would be told, in words.
    pub fn request_misfits(&self) -> Vec<String> {
        let misfit = |question: &SurveyQuestion| {
            question.request_misfit().map(|why| format!("the question for `{}` {why}", question.variable))
        };
        self.about_the_request().filter_map(misfit).collect()
    }

    fn about_the_request(&self) -> impl Iterator<Item = &SurveyQuestion> {
        let questions = self.survey.iter().filter(|_| self.survey_enabled).flat_map(|survey| &survey.questions);
        questions.filter(|question| question.is_about_the_request())
    }

    fn not_imported(&self) -> String {
        let free = self.asks.has(LaunchField::ExtraVars);
        let prompts: Vec<&str> = LaunchField::ALL
            .iter()
            .filter(|field| **field != LaunchField::ExtraVars && !field.operators_only() && self.asks.has(**field))
            .map(|field| field.name())
            .collect();
        let mut comment = Vec::new();
        if free {
            comment.push("The template also takes variables of any name: add those that callers may send.".to_owned());
        }
        if !prompts.is_empty() {
            comment.push(format!("It also prompts for {}: add what callers may send.", prompts.join(", ")));
        }
        comment.join(" ")
    }
}

fn property(question: &SurveyQuestion) -> Value {
    let mut schema = Map::new();
    if !question.name.is_empty() {
        schema.insert("title".into(), question.name.clone().into());
    }
    if !question.description.is_empty() {
        schema.insert("description".into(), question.description.clone().into());
    }
    match &question.kind {
        QuestionKind::Text | QuestionKind::Textarea => text(&mut schema, question),
        QuestionKind::Password => {
            text(&mut schema, question);
            schema.insert("writeOnly".into(), true.into());
        }
        QuestionKind::Integer => {
            schema.insert("type".into(), "integer".into());
            // AWX cuts the fraction off its bounds.
            bound(&mut schema, "minimum", question.min.map(f64::trunc));
            bound(&mut schema, "maximum", question.max.map(f64::trunc));
        }
        QuestionKind::Float => {
            schema.insert("type".into(), "number".into());
            bound(&mut schema, "minimum", question.min);
            bound(&mut schema, "maximum", question.max);
        }
        QuestionKind::MultipleChoice => {
            schema.insert("enum".into(), question.choices.clone().into());
        }
        QuestionKind::MultiSelect => {
            schema.insert("type".into(), "array".into());
            schema.insert("items".into(), json!({ "enum": question.choices }));
            schema.insert("uniqueItems".into(), true.into());
        }
        QuestionKind::Other(kind) => {
            let note = format!("AWX asks for an answer of the kind `{kind}`, which Runwarden does not know.");
            schema.insert("$comment".into(), note.into());
        }
    }
    if let Some(default) = &question.default {
        schema.insert("default".into(), default.clone());
    }
    if LaunchField::by_name(&question.variable).is_some() {
        schema.insert(TARGET_KEYWORD.into(), LaunchField::ExtraVars.name().into());
    }
    schema.into()
}

/// The largest length a schema can name exactly; no text is as long.
const LONGEST: f64 = 9_007_199_254_740_991.0;

fn text(schema: &mut Map<String, Value>, question: &SurveyQuestion) {
    schema.insert("type".into(), "string".into());
    let length = |bound: Option<f64>| bound.map(|n| n.trunc().clamp(0.0, LONGEST));
    // Nothing is shorter than nothing.
    bound(schema, "minLength", length(question.min).filter(|n| *n > 0.0));
    bound(schema, "maxLength", length(question.max));
}

#[expect(clippy::cast_possible_truncation, reason = "only whole numbers within 2^53 are cast")]
fn bound(schema: &mut Map<String, Value>, keyword: &str, value: Option<f64>) {
    let Some(value) = value else { return };
    let exact = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    let number = if exact { Value::from(value as i64) } else { Value::from(value) };
    if exact || !keyword.ends_with("Length") {
        schema.insert(keyword.into(), number);
    }
}
