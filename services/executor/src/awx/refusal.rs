//! AWX has no common error envelope. This flattens every shape seen into one list of reasons.

use serde_json::Value;

use super::read::shown;

const LONGEST_MESSAGE: usize = 400;
const LONGEST_REASON: usize = 2000;
const MOST_MESSAGES: usize = 32;
const DEEPEST: usize = 8;

/// Why a controller refused, readable: `limit: Field is not configured to prompt on launch.`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Field (empty when about the whole) and message, in the controller's order.
    pub reasons: Vec<(String, String)>,
}

impl Refusal {
    /// Reads a body of any shape; what is not JSON (an HTML page of a proxy) becomes one plain sentence.
    pub fn read(body: &[u8]) -> Self {
        let mut refusal = Self::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => refusal.collect("", &value, 0),
            Err(_) if body.is_empty() => {}
            Err(_) => refusal.push("", "it answered with a page instead of a reason"),
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
            return;
        }
        match value {
            Value::Null => {}
            Value::Bool(b) => self.push(field, if *b { "true" } else { "false" }),
            Value::Number(n) => self.push(field, &n.to_string()),
            Value::String(text) => self.push(field, text),
            Value::Array(items) => {
                for item in items {
                    self.collect(field, item, depth + 1);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    let key = shown(key, 64);
                    let name = match key.as_str() {
                        "detail" | "error" | "msg" | "__all__" | "non_field_errors" => field.to_owned(),
                        _ if field.is_empty() => key,
                        _ => format!("{field}.{key}"),
                    };
                    self.collect(&name, value, depth + 1);
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

    /// The same with every message passed through `mend`, for taking out what must not be shown.
    pub(super) fn map(mut self, mend: impl Fn(&str) -> String) -> Self {
        for (_, message) in &mut self.reasons {
            *message = mend(message);
        }
        self
    }
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
                "active_jobs.id: 27; active_jobs.type: job; Resource is being used by running jobs.",
            ),
            (r#"["plain"]"#, "plain"),
            (r#""text""#, "text"),
            ("", "it gave no reason"),
            ("{}", "it gave no reason"),
            ("<html><h1>413</h1></html>", "it answered with a page instead of a reason"),
        ] {
            let mut want: Vec<&str> = reason.split("; ").collect();
            let got = read(body);
            let mut got: Vec<&str> = got.split("; ").collect();
            want.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, want, "{body}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic_and_shown_short_and_on_one_line(body in any::<Vec<u8>>()) {
            let reason = Refusal::read(&body).to_string();
            prop_assert!(!reason.is_empty());
            prop_assert!(!reason.chars().any(char::is_control));
        }

        #[test]
        fn long_refusals_are_cut(field in "[a-z]{1,90}", message in "\\PC{0,900}", n in 0usize..200) {
            let body = serde_json::json!({ field: vec![message; n] }).to_string();
            prop_assert!(Refusal::read(body.as_bytes()).to_string().len() < 4 * LONGEST_REASON);
        }
    }
}
