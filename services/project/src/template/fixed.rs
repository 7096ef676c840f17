//! Values that are always sent and that callers cannot set.

use runwarden_kit::json::{canonical, find_nul, pointer_step};
use runwarden_kit::launch_field::{LONGEST_TEXT, LaunchField, check_name, target_of};
use runwarden_kit::{Error, ErrorReason, FieldError, Result, json};
use serde_json::{Map, Value};

const LONGEST: usize = 64 * 1024;

/// Checked fixed values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fixed(Value, Map<String, Value>);

impl Fixed {
    /// Reads a JSON object; empty is none.
    pub(super) fn parse(given: &str) -> Result<Self> {
        let wrong = |detail: String| Error::invalid("/fixed", detail);
        if given.len() > LONGEST {
            return Err(wrong("is longer than 64 KiB".to_owned()));
        }
        let given = if given.trim().is_empty() { "{}" } else { given };
        let value = json::parse(given.as_bytes()).map_err(|error| wrong(error.detail().to_owned()))?;
        let Value::Object(values) = &value else { return Err(wrong("must be a JSON object".to_owned())) };
        if let Some(place) = find_nul(&value) {
            return Err(Error::invalid(format!("/fixed{place}"), "must not contain a NUL character"));
        }
        if let Some(place) = find_placeholder(&value) {
            let detail = "must not be `$encrypted$`, which a controller reads as its own default";
            return Err(Error::invalid(format!("/fixed{place}"), detail));
        }
        let wrong: Vec<FieldError> = values
            .iter()
            .filter_map(|(name, value)| {
                let detail = check_name(name, target_of(name, None)).err().or_else(|| misfit(name, value))?;
                Some(FieldError { pointer: format!("/fixed{}", pointer_step(name)), detail })
            })
            .collect();
        if !wrong.is_empty() {
            let error = Error::new(ErrorReason::ValidationFailed, "Some fixed values are wrong.");
            return Err(error.with_fields(wrong));
        }
        let values = values.clone();
        Ok(Self(value, values))
    }

    /// The values as one JSON object.
    pub(super) fn values(&self) -> &Value {
        &self.0
    }

    /// Each value with the launch field it goes into.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, LaunchField, &Value)> {
        self.1.iter().map(|(name, value)| (name.as_str(), target_of(name, None), value))
    }

    /// Whether a value of this name is fixed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.1.contains_key(name)
    }

    /// Its canonical JSON.
    pub(super) fn text(&self) -> String {
        canonical(&self.0)
    }
}

/// Where a string is what AWX shows in place of a secret: sent, it would mean something else than it says.
fn find_placeholder(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (text == "$encrypted$").then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| find_placeholder(item).map(|rest| format!("/{at}{rest}")))
        }
        Value::Object(map) => {
            map.iter().find_map(|(key, item)| find_placeholder(item).map(|rest| format!("{}{rest}", pointer_step(key))))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// What is wrong with a value for the launch field its name stands for: AWX would refuse every launch.
fn misfit(name: &str, value: &Value) -> Option<String> {
    use LaunchField as F;
    let id = |value: &Value| value.as_i64().is_some_and(|id| id > 0);
    let count = |value: &Value| value.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n));
    let short = |value: &Value| value.as_str().is_some_and(|text| text.chars().count() <= LONGEST_TEXT);
    let (fits, want) = match target_of(name, None) {
        F::ExtraVars => return None,
        F::Limit => (value.is_string(), "a string"),
        F::JobTags | F::SkipTags | F::ScmBranch => (short(value), "a string of at most 1024 characters"),
        F::JobType => (matches!(value.as_str(), Some("run" | "check")), "`run` or `check`"),
        F::Verbosity => (value.as_i64().is_some_and(|n| (0..=5).contains(&n)), "an integer from 0 to 5"),
        F::DiffMode => (value.is_boolean(), "true or false"),
        F::Forks | F::Timeout | F::JobSliceCount => (count(value), "a non-negative integer"),
        F::Inventory | F::ExecutionEnvironment => (id(value), "the id of an AWX object"),
        F::Credentials | F::Labels | F::InstanceGroups => {
            (value.as_array().is_some_and(|ids| ids.iter().all(id)), "an array of ids of AWX objects")
        }
    };
    (!fits).then(|| format!("must be {want}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fixed_values_know_their_launch_fields() {
        let fixed = Fixed::parse(r#"{"limit":"web*","env":"prod","inventory":3,"credentials":[1,2]}"#).unwrap();
        let fields: Vec<_> = fixed.iter().map(|(name, field, _)| (name, field)).collect();
        assert_eq!(
            fields,
            [
                ("credentials", LaunchField::Credentials),
                ("env", LaunchField::ExtraVars),
                ("inventory", LaunchField::Inventory),
                ("limit", LaunchField::Limit),
            ]
        );
        assert_eq!(Fixed::parse(" ").unwrap().values(), &json!({}));
    }

    #[test]
    fn what_awx_would_refuse_or_misread_is_refused_with_its_place() {
        for (bad, pointer) in [
            ("[]", "/fixed"),
            ("{", "/fixed"),
            (r#"{"a":1,"a":2}"#, "/fixed"),
            (r#"{"limit":1}"#, "/fixed/limit"),
            (r#"{"verbosity":6}"#, "/fixed/verbosity"),
            (r#"{"verbosity":"1"}"#, "/fixed/verbosity"),
            (r#"{"diff_mode":"yes"}"#, "/fixed/diff_mode"),
            (r#"{"job_type":"scan"}"#, "/fixed/job_type"),
            (r#"{"inventory":"3"}"#, "/fixed/inventory"),
            (r#"{"inventory":0}"#, "/fixed/inventory"),
            (r#"{"credentials":3}"#, "/fixed/credentials"),
            (r#"{"labels":["x"]}"#, "/fixed/labels"),
            (r#"{"a":{"b":"x\u0000"}}"#, "/fixed/a/b"),
            (r#"{"a":["x","$encrypted$"]}"#, "/fixed/a/1"),
            (r#"{"":1}"#, "/fixed/"),
            (r#"{"runwarden_attempt":"x"}"#, "/fixed/runwarden_attempt"),
        ] {
            assert_eq!(Fixed::parse(bad).unwrap_err().fields()[0].pointer, pointer, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_without_panic(given in "\\PC{0,60}") {
            let _ = Fixed::parse(&given);
        }
    }
}
