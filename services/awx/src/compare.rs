//! Whether a run carries what a launch sent.
//!
//! Two questions hang on it. Of a run that may be an unmarked attempt's: is it? And of one that is ours beyond doubt
//! but whose launch was never answered: was a setting dropped, so that the run has to be cancelled? A wrong yes is as
//! bad as a wrong no, so what AWX makes of a value before it shows it is undone here, and what a run does not show is
//! not evidence of anything.
//!
//! What AWX does to what it is sent (`api/serializers.py`, `main/models/mixins.py`, `main/models/jobs.py`):
//!
//! - variables are merged over the template's own and the survey's defaults, and shown as a JSON string; answers to
//!   password questions show as `$encrypted$`
//! - texts lose white space at both ends
//! - a sliced job template becomes a workflow job, which has fewer fields; in one of those a text that was not given is
//!   `null`
//! - the number of slices is reduced to the number of hosts, and the result is not shown
//! - an inventory that was deleted since is `null`; credentials, labels and instance groups are reported elsewhere

use std::collections::BTreeSet;

use runwarden_kit::launch_field::LaunchField;
use serde_json::{Number, Value};

use super::launch_body::{ENCRYPTED, LaunchBody};
use super::marker::is_marker_tag;
use super::{RunRow, read};

impl LaunchBody {
    /// Whether a run has these inputs, as far as it shows any. Secrets cannot be compared: AWX shows none.
    pub fn matches(&self, row: &RunRow) -> bool {
        self.dropped_in(row).is_empty()
    }

    /// What was sent and is visibly missing from a run, by name: `limit`, `extra_vars.version`. What the run does not
    /// show is not among it.
    pub fn dropped_in(&self, row: &RunRow) -> Vec<String> {
        let mut dropped = Vec::new();
        if let Some(seen) = &row.extra_vars {
            for (name, sent) in self.variables() {
                if !seen.get(name).is_some_and(|seen| same(seen, sent)) {
                    dropped.push(read::shown(&format!("{}.{name}", LaunchField::ExtraVars.name()), 200));
                }
            }
        }
        for (field, sent) in self.fields() {
            if row.field(field).is_some_and(|seen| self.differs(field, sent, seen)) {
                dropped.push(field.name().to_owned());
            }
        }
        dropped.sort();
        dropped
    }

    /// Whether a run visibly has another value in a field than was sent.
    fn differs(&self, field: LaunchField, sent: &Value, seen: &Value) -> bool {
        match field {
            LaunchField::Limit | LaunchField::ScmBranch => {
                text(seen).is_some_and(|seen| text(sent).is_some_and(|sent| trimmed(seen) != trimmed(sent)))
            }
            LaunchField::JobTags => {
                text(seen).is_some_and(|seen| text(sent).is_some_and(|sent| tags(seen) != tags(sent)))
            }
            LaunchField::SkipTags => {
                text(seen).is_some_and(|seen| text(sent).is_some_and(|sent| self.skips_other(&tags(sent), &tags(seen))))
            }
            LaunchField::JobType => seen.as_str().is_some_and(|seen| sent != seen),
            LaunchField::DiffMode => seen.as_bool().is_some_and(|seen| *sent != seen),
            LaunchField::Verbosity
            | LaunchField::Forks
            | LaunchField::Timeout
            | LaunchField::Inventory
            | LaunchField::ExecutionEnvironment => seen.is_number() && !same(seen, sent),
            LaunchField::ExtraVars
            | LaunchField::JobSliceCount
            | LaunchField::Credentials
            | LaunchField::Labels
            | LaunchField::InstanceGroups => false,
        }
    }

    /// A marker changes nothing about what is skipped, whether it is known here that the launch carried it or not, and
    /// next to ours may stand the template's own tags.
    fn skips_other(&self, sent: &BTreeSet<&str>, seen: &BTreeSet<&str>) -> bool {
        let more = || seen.difference(sent).any(|tag| !is_marker_tag(tag));
        !sent.is_subset(seen) || (!self.is_marked_by_tag() && more())
    }
}

/// A text field; AWX shows `null` in workflow jobs for a text that was not given.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => Some(""),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As Python trims, which takes some control characters for white space that Rust does not.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'))
}

fn tags(text: &str) -> BTreeSet<&str> {
    text.split(',').map(trimmed).filter(|tag| !tag.is_empty()).collect()
}

/// Whether a value shown may be the value sent.
fn same(seen: &Value, sent: &Value) -> bool {
    match (seen, sent) {
        (Value::String(seen), _) if seen == ENCRYPTED => true,
        (Value::Number(seen), Value::Number(sent)) => same_number(seen, sent),
        (Value::Array(seen), Value::Array(sent)) => {
            seen.len() == sent.len() && seen.iter().zip(sent).all(|(seen, sent)| same(seen, sent))
        }
        (Value::Object(seen), Value::Object(sent)) => {
            seen.len() == sent.len()
                && sent.iter().all(|(key, sent)| seen.get(key).is_some_and(|seen| same(seen, sent)))
        }
        _ => seen == sent,
    }
}

/// By value: AWX may show `2` for `2.0`. Fractions were written and read several times on their way, and may have lost
/// their last digit.
fn same_number(seen: &Number, sent: &Number) -> bool {
    if let (Some(seen), Some(sent)) = (seen.as_i128(), sent.as_i128()) {
        return seen == sent;
    }
    match (seen.as_f64(), sent.as_f64()) {
        (Some(seen), Some(sent)) => (seen - sent).abs() <= 4.0 * f64::EPSILON * seen.abs().max(sent.abs()),
        _ => false,
    }
}
