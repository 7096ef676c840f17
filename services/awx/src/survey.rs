use std::collections::HashSet;

use runwarden_kit::launch_field::{self, LaunchField};
use runwarden_kit::request_info::{self, VARIABLES};
use serde_json::Value;

use super::marker::MARKER_VARIABLE;
use super::read;

/// The most choices that all questions of a survey have together; surveys with thousands are seen.
const MOST_CHOICES: usize = 50_000;
/// The most problems reported for one.
const MOST_PROBLEMS: usize = 100;

/// What AWX asks before a launch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// The questions, in order.
    pub questions: Vec<SurveyQuestion>,
    /// Why nothing can be launched with it as it is, in words.
    pub problems: Vec<String>,
    /// Which questions cannot be answered through Runwarden and need not be, in words.
    pub notes: Vec<String>,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct SurveyQuestion {
    /// The variable its answer sets.
    pub variable: String,
    /// The question.
    pub name: String,
    /// More about it.
    pub description: String,
    /// Whether it must be answered. AWX wants the answer even where there is a default.
    pub required: bool,
    /// What kind of answer it takes.
    pub kind: QuestionKind,
    /// Least value, or least length of a text.
    pub min: Option<f64>,
    /// Greatest value, or greatest length of a text.
    pub max: Option<f64>,
    /// What may be chosen.
    pub choices: Vec<Value>,
    /// The answer if none is given; never that of a password.
    pub default: Option<Value>,
}

/// The kinds of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// A line.
    Text,
    /// Several lines.
    Textarea,
    /// A secret.
    Password,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// One of the choices.
    MultipleChoice,
    /// Some of the choices.
    MultiSelect,
    /// A kind AWX may have invented since.
    Other(String),
}

impl QuestionKind {
    fn read(text: &str) -> Self {
        match text {
            "text" => Self::Text,
            "textarea" => Self::Textarea,
            "password" => Self::Password,
            "integer" => Self::Integer,
            "float" => Self::Float,
            "multiplechoice" => Self::MultipleChoice,
            "multiselect" => Self::MultiSelect,
            other => Self::Other(read::shown(other, 64)),
        }
    }

    /// AWX's name for it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text => "text",
            Self::Textarea => "textarea",
            Self::Password => "password",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::MultipleChoice => "multiplechoice",
            Self::MultiSelect => "multiselect",
            Self::Other(other) => other,
        }
    }
}

impl Survey {
    /// Reads `survey_spec`. Whatever it holds, it yields a survey; what could not be understood is a problem.
    pub fn read(spec: &Value) -> Self {
        let mut survey = Self::default();
        let Some(questions) = spec.get("spec").and_then(Value::as_array) else {
            survey.problems.push("its survey is on but has no questions".to_owned());
            return survey;
        };
        let mut asked = HashSet::new();
        let mut choices = MOST_CHOICES;
        for question in questions {
            let variable = read::text(question, "variable");
            if variable.is_empty() {
                survey.problems.push("its survey has a question without a variable".to_owned());
            } else if !asked.insert(variable.clone()) {
                survey.problems.push(format!("its survey asks for `{}` twice", read::shown(&variable, 100)));
            } else {
                let question = SurveyQuestion::read(variable, question, choices);
                choices = choices.saturating_sub(question.choices.len());
                survey.note(&question);
                survey.questions.push(question);
            }
            if choices == 0 || survey.problems.len() >= MOST_PROBLEMS {
                survey.problems.push("its survey is larger than Runwarden reads".to_owned());
                break;
            }
        }
        survey
    }

    pub(super) fn unreadable() -> Self {
        let problem = "its survey cannot be read by Runwarden's account".to_owned();
        Self { problems: vec![problem], ..Self::default() }
    }

    /// A question that cannot be answered does not prevent answers to the others, unless it is required.
    fn note(&mut self, question: &SurveyQuestion) {
        let Some(why) = question.unanswerable() else { return };
        let variable = read::shown(&question.variable, 100);
        if question.required {
            self.problems.push(format!("its survey requires an answer to `{variable}`, which {why}"));
        } else if self.notes.len() < MOST_PROBLEMS {
            self.notes.push(format!("its survey's question for `{variable}` is left out: it {why}"));
        }
    }

    /// The question for a variable.
    pub fn question(&self, variable: &str) -> Option<&SurveyQuestion> {
        self.questions.iter().find(|question| question.variable == variable)
    }
}

impl SurveyQuestion {
    /// Whether it asks for what Runwarden may tell a run about its request.
    pub fn is_about_the_request(&self) -> bool {
        VARIABLES.contains(&self.variable.as_str())
    }

    /// Why it cannot take what Runwarden would tell a run; `None` if it can.
    pub(super) fn request_misfit(&self) -> Option<String> {
        if !matches!(self.kind, QuestionKind::Text | QuestionKind::Textarea) {
            return Some(format!("is of the kind {}, and must be a text", self.kind.as_str()));
        }
        let room = request_info::room_for(&self.variable);
        if self.max.is_some_and(|max| max < f64::from(room)) {
            return Some(format!("must allow at least {room} characters"));
        }
        self.min
            .is_some_and(|min| min >= 1.0)
            .then(|| "must allow an empty answer: set its minimum length to 0".to_owned())
    }

    /// Why callers cannot answer it; `None` if they can, or need not because Runwarden does.
    pub fn unanswerable(&self) -> Option<String> {
        if self.variable == MARKER_VARIABLE {
            return None;
        }
        if self.is_about_the_request() {
            // Where a mapping does not have it answered, nobody does.
            return self.required.then(|| {
                "only Runwarden itself answers, and only where the mapping says so: make that question optional"
                    .to_owned()
            });
        }
        if let Err(why) = launch_field::check_name(&self.variable, LaunchField::ExtraVars) {
            return Some(why);
        }
        let none = match self.kind {
            QuestionKind::MultipleChoice => self.choices.is_empty(),
            QuestionKind::Text | QuestionKind::Textarea | QuestionKind::Password => {
                let max = self.max.map(f64::trunc);
                max.is_some_and(|max| max < self.min.map_or(0.0, f64::trunc).max(0.0))
            }
            QuestionKind::Integer => self.max.map(f64::trunc) < self.min.map(f64::trunc) && self.max.is_some(),
            QuestionKind::Float => self.max < self.min && self.max.is_some(),
            QuestionKind::MultiSelect | QuestionKind::Other(_) => false,
        };
        none.then(|| "has no possible answer: its bounds or choices allow none".to_owned())
    }

    fn read(variable: String, row: &Value, most_choices: usize) -> Self {
        let kind = QuestionKind::read(&read::text(row, "type"));
        let choices = choices(row.get("choices"), most_choices);
        let default = match kind {
            QuestionKind::Password => None,
            _ => row.get("default").and_then(|default| fit(&kind, &choices, default)),
        };
        Self {
            variable,
            name: read::text(row, "question_name"),
            description: read::text(row, "question_description"),
            required: read::flag(row, "required"),
            min: number(row.get("min")),
            max: number(row.get("max")),
            kind,
            choices,
            default,
        }
    }
}

/// A bound: a number, a number in a string, or nothing.
fn number(value: Option<&Value>) -> Option<f64> {
    let number = match value? {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| n.is_finite())
}

/// The choices: a list, or lines of a string.
fn choices(value: Option<&Value>, most: usize) -> Vec<Value> {
    let mut seen = HashSet::new();
    let mut fresh = |choice: &Value| seen.insert(choice.to_string());
    match value {
        Some(Value::Array(items)) => items.iter().filter(|item| fresh(item)).take(most).cloned().collect(),
        Some(Value::String(text)) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty()).map(Value::from);
            lines.filter(fresh).take(most).collect()
        }
        _ => Vec::new(),
    }
}

/// The default as an answer of its kind; `None` if it does not fit.
fn fit(kind: &QuestionKind, choices: &[Value], default: &Value) -> Option<Value> {
    if default.is_null() || default == "" || default == "$encrypted$" {
        return None;
    }
    match kind {
        QuestionKind::Text | QuestionKind::Textarea => default.as_str().map(Value::from),
        QuestionKind::Integer => {
            default.as_i64().or_else(|| default.as_str().and_then(|text| text.trim().parse().ok())).map(Value::from)
        }
        QuestionKind::Float => number(Some(default)).map(Value::from),
        QuestionKind::MultipleChoice => choices.contains(default).then(|| default.clone()),
        QuestionKind::MultiSelect => {
            let chosen = self::choices(Some(default), choices.len() + 1);
            let allowed: HashSet<String> = choices.iter().map(Value::to_string).collect();
            let fits = !chosen.is_empty() && chosen.iter().all(|choice| allowed.contains(&choice.to_string()));
            fits.then_some(Value::Array(chosen))
        }
        QuestionKind::Password | QuestionKind::Other(_) => None,
    }
}
