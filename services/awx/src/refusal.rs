//! AWX has no common error envelope. This flattens every shape seen into one list of reasons, and passes on only what
//! AWX is known to say: a server behind a mapped address must not become readable through a refusal.

use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::read::shown;

const LONGEST_MESSAGE: usize = 400;
const LONGEST_REASON: usize = 2000;
const MOST_MESSAGES: usize = 32;
const DEEPEST: usize = 8;

/// What AWX refuses a launch over besides the fields of a launch.
const ALSO_KNOWN: &[&str] = &[
    "variables_needed_to_start",
    "resources_needed_to_start",
    "passwords_needed_to_start",
    "credential_needed_to_start",
    "inventory_needed_to_start",
    "credential_passwords",
    "credential",
    "inventory_id",
    "project",
    "playbook",
    "organization",
    "job_template",
    "workflow_job_template",
    "unified_job_template",
];
/// Fields that only say that there is a message.
const WRAPPERS: &[&str] = &["detail", "error", "msg", "__all__", "non_field_errors"];
/// The text for everything else.
const OTHER: &str = "other reasons, which are not shown";

/// Why a controller refused, readable: `limit: Field is not configured to prompt on launch.`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Field (empty when about the whole) and message, in the controller's order.
    pub reasons: Vec<(String, String)>,
    /// Whether there was something else, of which nothing is known.
    other: bool,
}

impl Refusal {
    /// Reads what AWX itself answered.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut refusal = Self::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => refusal.collect("", &value, 0),
            Err(_) if body.is_empty() => {}
            Err(_) => refusal.push("", "it answered with a web page instead of a reason"),
        }
        if refusal.other {
            refusal.reasons.push((String::new(), OTHER.to_owned()));
        }
        if refusal.reasons.is_empty() {
            refusal.push("", "it gave no reason");
        }
        refusal
    }

    /// Just one sentence.
    pub(super) fn plain(message: &str) -> Self {
        let mut refusal = Self::default();
        refusal.push("", message);
        refusal
    }

    fn collect(&mut self, field: &str, value: &Value, depth: usize) {
        if depth > DEEPEST || self.reasons.len() >= MOST_MESSAGES {
            self.other = true;
            return;
        }
        match value {
            Value::Null => {}
            Value::String(text) => self.push(field, text),
            // A reason is a text. AWX writes numbers and flags only into what goes with one.
            Value::Bool(_) | Value::Number(_) => self.other = true,
            Value::Array(items) => {
                for item in items {
                    self.collect(field, item, depth + 1);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    if WRAPPERS.contains(&key.as_str()) {
                        self.collect(field, value, depth + 1);
                    } else if field.is_empty() && is_known(key) {
                        self.collect(key, value, depth + 1);
                    } else if !field.is_empty() && key.len() <= 4 && key.bytes().all(|byte| byte.is_ascii_digit()) {
                        // Which of several: `{"credentials": {"0": ["A valid integer is required."]}}`.
                        self.collect(&format!("{field}.{key}"), value, depth + 1);
                    } else {
                        self.other = true;
                    }
                }
            }
        }
    }

    fn push(&mut self, field: &str, message: &str) {
        let message = shown(message, LONGEST_MESSAGE);
        if !message.is_empty() && self.reasons.len() < MOST_MESSAGES {
            self.reasons.push((field.to_owned(), message));
        }
    }

    /// The same with every message passed through `redact`, for taking out what must not be shown.
    pub(super) fn map(mut self, redact: impl Fn(&str) -> String) -> Self {
        for (_, message) in &mut self.reasons {
            *message = redact(message);
        }
        self
    }
}

fn is_known(field: &str) -> bool {
    LaunchField::by_name(field).is_some() || ALSO_KNOWN.contains(&field)
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut written = 0;
        for (n, (field, message)) in self.reasons.iter().enumerate() {
            if written > LONGEST_REASON {
                return f.write_str("; …");
            }
            if n > 0 {
                f.write_str("; ")?;
            }
            if !field.is_empty() {
                write!(f, "{field}: ")?;
            }
            f.write_str(message)?;
            written += field.len() + message.len() + 4;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> String {
        Refusal::read(body.as_bytes()).to_string()
    }

    #[test]
    fn every_shape_awx_uses_becomes_one_readable_reason() {
        for (body, reason) in [
            (
                r#"{"variables_needed_to_start":["'who' value missing"]}"#,
                "variables_needed_to_start: 'who' value missing",
            ),
            (
                r#"{"variables_needed_to_start":["Value three for 'count' expected to be an integer.","Value qa for 'envname' expected to be one of ['dev', 'prod']."]}"#,
                "variables_needed_to_start: Value three for 'count' expected to be an integer.; variables_needed_to_start: Value qa for 'envname' expected to be one of ['dev', 'prod'].",
            ),
            (
                r#"{"resources_needed_to_start":["Job Template inventory is missing or undefined."]}"#,
                "resources_needed_to_start: Job Template inventory is missing or undefined.",
            ),
            (
                r#"{"inventory":["Invalid pk \"999\" - object does not exist."]}"#,
                "inventory: Invalid pk \"999\" - object does not exist.",
            ),
            (
                r#"{"detail":"JSON parse error - Expecting value: line 1 column 6 (char 5)\nPossible cause: trailing comma."}"#,
                "JSON parse error - Expecting value: line 1 column 6 (char 5) Possible cause: trailing comma.",
            ),
            (r#"{"__all__":["User not part of any organization"]}"#, "User not part of any organization"),
            (
                r#"{"error":"Resource is being used by running jobs.","active_jobs":[{"id":27,"type":"job"}]}"#,
                "Resource is being used by running jobs.; other reasons, which are not shown",
            ),
            (
                r#"{"credentials":{"0":["A valid integer is required."]}}"#,
                "credentials.0: A valid integer is required.",
            ),
            (r#"["plain"]"#, "plain"),
            (r#""text""#, "text"),
            ("", "it gave no reason"),
            ("{}", "it gave no reason"),
            ("<html><h1>413</h1></html>", "it answered with a web page instead of a reason"),
        ] {
            let mut want: Vec<&str> = reason.split("; ").collect();
            let got = read(body);
            let mut got: Vec<&str> = got.split("; ").collect();
            want.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, want, "{body}");
        }
    }

    #[test]
    fn of_what_awx_does_not_say_nothing_is_passed_on() {
        for body in [
            r#"{"password": "hunter2"}"#,
            r#"{"hunter2": "hunter2", "detail": null}"#,
            r#"{"detail": {"password": "hunter2"}}"#,
            r#"{"limit": {"password": "hunter2", "hunter2": ["x"]}}"#,
            r#"{"errors": [{"detail": "hunter2"}]}"#,
            r#"[{"password": ["hunter2"]}]"#,
            r#"{"pin": 1234, "ok": true, "limit": 1234}"#,
        ] {
            assert_eq!(read(body), OTHER, "{body}");
        }
        assert_eq!(
            read(r#"{"limit": ["Null characters are not allowed."], "password": "hunter2"}"#),
            format!("limit: Null characters are not allowed.; {OTHER}")
        );
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic_and_shown_short_and_on_one_line(body in any::<Vec<u8>>()) {
            let reason = Refusal::read(&body).to_string();
            prop_assert!(!reason.is_empty());
            prop_assert!(!reason.chars().any(char::is_control));
        }

        #[test]
        fn long_refusals_are_cut(field in prop::sample::select(ALSO_KNOWN.to_vec()), message in "\\PC{0,900}", n in 0usize..200) {
            let body = serde_json::json!({ field: vec![message; n] }).to_string();
            prop_assert!(Refusal::read(body.as_bytes()).to_string().len() < 4 * LONGEST_REASON);
        }
    }
}
