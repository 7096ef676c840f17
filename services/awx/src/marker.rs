use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::RunRow;
use super::survey::QuestionKind;
use super::template::TemplateSummary;

/// The variable that carries a marker: freely, or as an optional survey question an operator may add for it.
pub const MARKER_VARIABLE: &str = "runwarden_attempt";

/// What every marker begins with.
const PREFIX: &str = "rw_";
/// How many hexadecimal digits the id of a job has.
const JOB_ID_DIGITS: usize = 32;

/// What distinguishes one launch from another that looks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    text: String,
}

/// Where a launch can carry its marker, depending on what the template accepts.
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
        fine.then(|| Self { text: format!("{PREFIX}{attempt}") })
    }

    /// A marker as it travels.
    pub fn of(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX).and_then(Self::new)
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

    /// Whether a run carries any marker of Runwarden's: then it is some attempt's, and certainly not that of one that
    /// carries another or none.
    pub fn any_in(row: &RunRow) -> bool {
        let variable = row.extra_vars.as_ref().and_then(|vars| vars.get(MARKER_VARIABLE)).and_then(Value::as_str);
        variable.is_some_and(|text| text.starts_with(PREFIX)) || row.skip_tags.split(',').any(is_marker_tag)
    }
}

/// Whether a skip tag is an attempt's marker: `rw_`, the digits of a job's id, and what may follow them. Anybody may
/// have tags of their own that begin with `rw_`, and their runs must not be taken for ours.
pub(super) fn is_marker_tag(tag: &str) -> bool {
    let Some(attempt) = tag.trim().strip_prefix(PREFIX).filter(|attempt| Marker::new(attempt).is_some()) else {
        return false;
    };
    let (id, rest) = attempt.split_at_checked(JOB_ID_DIGITS).unwrap_or_default();
    !id.is_empty()
        && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && (rest.is_empty() || rest.starts_with('-'))
}

/// Names of what a controller dropped, as far as it was asked for: a launch without its marker is still that.
pub fn asked_for(dropped: Vec<String>) -> Vec<String> {
    let marker = format!("{}.{MARKER_VARIABLE}", LaunchField::ExtraVars.name());
    dropped.into_iter().filter(|name| *name != marker).collect()
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
