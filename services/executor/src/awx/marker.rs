use runwarden_kit::launch_field::LaunchField;

use super::RunRow;
use super::survey::QuestionKind;
use super::template::TemplateSummary;

/// The variable that carries a marker: freely, or as an optional survey question an operator may add for it.
pub const MARKER_VARIABLE: &str = "runwarden_attempt";

/// What tells one launch from another that looks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    text: String,
}

/// Where a launch can carry its marker, by what the template lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerPlacement {
    /// As an extra variable: the template takes any.
    ExtraVar,
    /// As the answer to an optional question of the survey.
    Survey,
    /// As a tag to skip, which no task has.
    SkipTag,
    /// Nowhere.
    None,
}

impl Marker {
    /// A marker for an attempt. `None` unless the id is made of letters, digits, `_` and `-`, at most 61.
    pub fn new(attempt: &str) -> Option<Self> {
        let fine = (1..=61).contains(&attempt.len())
            && attempt.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        fine.then(|| Self { text: format!("rw_{attempt}") })
    }

    /// As it travels.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a run carries it.
    pub fn is_in(&self, row: &RunRow, placement: MarkerPlacement) -> bool {
        match placement {
            MarkerPlacement::ExtraVar | MarkerPlacement::Survey => row
                .extra_vars
                .as_ref()
                .and_then(|vars| vars.get(MARKER_VARIABLE))
                .is_some_and(|value| value == self.text.as_str()),
            MarkerPlacement::SkipTag => row.skip_tags.split(',').any(|tag| tag.trim() == self.text),
            MarkerPlacement::None => false,
        }
    }
}

impl MarkerPlacement {
    /// The most dependable place a template has.
    pub fn choose(template: &TemplateSummary) -> Self {
        let question = template.survey.as_ref().and_then(|survey| survey.question(MARKER_VARIABLE));
        let answerable = question.is_some_and(|question| {
            matches!(question.kind, QuestionKind::Text | QuestionKind::Textarea)
                && question.max.is_none_or(|max| max >= 64.0)
                && question.min.is_none_or(|min| min <= 3.0)
        });
        if answerable {
            Self::Survey
        } else if template.asks.has(LaunchField::ExtraVars) && question.is_none() {
            Self::ExtraVar
        } else if template.asks.has(LaunchField::SkipTags) {
            Self::SkipTag
        } else {
            Self::None
        }
    }

    /// For a store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExtraVar => "extra_var",
            Self::Survey => "survey",
            Self::SkipTag => "skip_tag",
            Self::None => "none",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ExtraVar, Self::Survey, Self::SkipTag, Self::None]
            .into_iter()
            .find(|placement| placement.as_str() == text)
    }
}
