//! What a result says, within the limits of Terraform's schema.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The content type of results.
pub const CONTENT_TYPE: &str = "application/vnd.api+json";

const MAX_MESSAGE: usize = 1000;
const MAX_URL: usize = 500;
const MAX_OUTCOMES: usize = 250;
const MAX_ID: usize = 64;
const MAX_DESCRIPTION: usize = 1000;
const MAX_BODY: usize = 10_000;
const MAX_TAGS: usize = 10;
const MAX_LABEL: usize = 32;
/// All outcomes together, in bytes: Terraform recommends less than 1 MB.
const MAX_ALL: usize = 900_000;

/// A final result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the run may go on.
    pub passed: bool,
    /// One line.
    pub message: String,
    /// Where more can be read.
    pub url: Option<String>,
    /// Details, the most important ones first.
    pub outcomes: Vec<Outcome>,
}

/// A detail of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Unique within the result.
    pub id: String,
    /// One line.
    pub description: String,
    /// Markdown.
    pub body: String,
    /// Tags by name; there is at least one.
    pub tags: Vec<(String, Vec<Label>)>,
}

/// One value of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What it says.
    pub label: String,
    /// How Terraform colours it.
    pub level: Level,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A value, neither good nor bad.
    None,
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// Wrong.
    Error,
}

impl Verdict {
    /// The body of the request that says so.
    pub fn body(&self, with_outcomes: bool) -> String {
        let mut data = result(if self.passed { "passed" } else { "failed" }, &self.message, self.url.as_deref());
        if with_outcomes && !self.outcomes.is_empty() {
            let mut left = MAX_ALL;
            let outcomes = self.outcomes.iter().take(MAX_OUTCOMES).map(Outcome::json);
            let outcomes: Vec<_> = outcomes
                .take_while(|outcome| {
                    let size = outcome.to_string().len();
                    let fits = size <= left;
                    left = left.saturating_sub(size);
                    fits
                })
                .collect();
            data.insert("relationships".into(), json!({"outcomes": {"data": outcomes}}));
        }
        json!({"data": data}).to_string()
    }
}

/// The body of a request that says that it goes on.
pub fn running(message: &str, url: Option<&str>) -> String {
    json!({"data": result("running", message, url)}).to_string()
}

fn result(status: &str, message: &str, url: Option<&str>) -> Map<String, Value> {
    let message = if message.trim().is_empty() { "There is nothing more to say." } else { message };
    let mut attributes = Map::from_iter([
        ("status".to_owned(), status.into()),
        ("message".to_owned(), clipped(message, MAX_MESSAGE).into()),
    ]);
    // Anything else breaks the page that shows it.
    if let Some(url) =
        url.filter(|url| (url.starts_with("https://") || url.starts_with("http://")) && url.len() <= MAX_URL)
    {
        attributes.insert("url".to_owned(), url.into());
    }
    Map::from_iter([("type".to_owned(), "task-results".into()), ("attributes".to_owned(), Value::Object(attributes))])
}

impl Outcome {
    fn json(&self) -> Value {
        let tags: Map<_, _> = self
            .tags
            .iter()
            .take(MAX_TAGS)
            .map(|(name, labels)| (clipped(name, MAX_LABEL), labels.iter().map(Label::json).collect()))
            .collect();
        json!({"type": "task-result-outcomes", "attributes": {
            "outcome-id": clipped(&self.id, MAX_ID),
            "description": clipped(&self.description, MAX_DESCRIPTION),
            "body": clipped(&self.body, MAX_BODY),
            "tags": tags,
        }})
    }
}

impl Label {
    /// A label.
    pub fn new(label: impl Into<String>, level: Level) -> Self {
        Self { label: label.into(), level }
    }

    fn json(&self) -> Value {
        json!({"label": clipped(&self.label, MAX_LABEL), "level": self.level})
    }
}

/// At most so many characters; what is left out shows.
pub(super) fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_result_is_written_as_terraform_documents_it() {
        let verdict = Verdict {
            passed: false,
            message: "0 passed, 1 failed".into(),
            url: Some("https://gw.example/jobs/42".into()),
            outcomes: vec![Outcome {
                id: "host-1".into(),
                description: "web1 failed".into(),
                body: "# Fix".into(),
                tags: vec![("Status".into(), vec![Label::new("Failed", Level::Error)])],
            }],
        };
        let expected = json!({"data": {"type": "task-results",
            "attributes": {"status": "failed", "message": "0 passed, 1 failed", "url": "https://gw.example/jobs/42"},
            "relationships": {"outcomes": {"data": [{"type": "task-result-outcomes", "attributes": {
                "outcome-id": "host-1", "description": "web1 failed", "body": "# Fix",
                "tags": {"Status": [{"label": "Failed", "level": "error"}]}}}]}}}});
        assert_eq!(serde_json::from_str::<Value>(&verdict.body(true)).unwrap(), expected);
        let plain: Value = serde_json::from_str(&verdict.body(false)).unwrap();
        assert!(plain["data"].get("relationships").is_none());
        let running: Value = serde_json::from_str(&running("", Some("javascript:x"))).unwrap();
        assert_eq!(
            running["data"]["attributes"],
            json!({"status": "running", "message": "There is nothing more to say."})
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_said_stays_within_the_limits(
            message in "\\PC{0,1200}", id in "\\PC{0,80}", body in "\\PC{0,11000}", tags in 0..20_usize, count in 0..400_usize,
        ) {
            let tags = (0..tags).map(|n| (format!("{n}{id}"), vec![Label::new(id.as_str(), Level::Info)])).collect();
            let outcome = Outcome { id, description: message.clone(), body, tags };
            let verdict = Verdict { passed: true, message, url: Some("x".repeat(600)), outcomes: vec![outcome; count] };
            let sent = verdict.body(true);
            prop_assert!(sent.len() < 1_000_000);
            let sent: Value = serde_json::from_str(&sent).unwrap();
            let length = |value: &Value| value.as_str().unwrap().chars().count();
            prop_assert!((1..=1000).contains(&length(&sent["data"]["attributes"]["message"])));
            prop_assert!(sent["data"]["attributes"].get("url").is_none());
            for outcome in sent["data"]["relationships"]["outcomes"]["data"].as_array().unwrap_or(&Vec::new()) {
                let outcome = &outcome["attributes"];
                prop_assert!(length(&outcome["outcome-id"]) <= 64 && length(&outcome["description"]) <= 1000);
                prop_assert!(length(&outcome["body"]) <= 10_000);
                let tags = outcome["tags"].as_object().unwrap();
                prop_assert!(tags.len() <= 10);
                prop_assert!(tags.values().all(|labels| length(&labels[0]["label"]) <= 32));
            }
        }
    }
}
