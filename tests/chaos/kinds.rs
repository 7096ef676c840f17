//! The templates of the round: one for each way in which a launch can be told from others, or cannot.

use runwarden_harness::{Controller, Tenant};
use serde_json::{Value, json};

/// Where the number of a job shows in the run it became, whatever Runwarden says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As a variable.
    Variable(&'static str),
    /// As a tag to skip.
    SkipTag,
    /// Nowhere: its runs all look the same.
    Nowhere,
}

/// How its runs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Well.
    Succeeds,
    /// The playbook says no.
    Fails,
    /// Until it is cancelled.
    Hangs,
    /// Until Runwarden stops it because it takes too long.
    TakesTooLong,
}

/// A template, as Runwarden and the controller know it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Runwarden's name for it.
    pub(crate) name: &'static str,
    /// The controller's.
    pub(crate) sandbox: &'static str,
    /// Where a job's number shows.
    pub(crate) shown: Shown,
    /// Whether it has room for a marker.
    pub(crate) marked: bool,
    /// Whether the controller launches it all the same when what was asked, marker and all, is dropped.
    pub(crate) can_drop: bool,
    /// How its runs go.
    pub(crate) course: Course,
    /// How many of a hundred jobs or so are of it.
    pub(crate) weight: u64,
}

const fn kind(name: &'static str, sandbox: &'static str, shown: Shown, marked: bool, weight: u64) -> Kind {
    Kind { name, sandbox, shown, marked, can_drop: false, course: Course::Succeeds, weight }
}

const fn dropping(kind: Kind) -> Kind {
    Kind { can_drop: true, ..kind }
}

const fn that(course: Course, kind: Kind) -> Kind {
    Kind { course, ..kind }
}

/// The one that others launch by hand with Runwarden's account, so that some of its launches cannot be known.
pub(crate) const SHARED: &Kind = &kind("shared", "preset", Shown::Nowhere, false, 0);

/// All that are submitted at random.
pub(crate) const KINDS: &[Kind] = &[
    dropping(kind("variables", "ask-variables", Shown::Variable("number"), true, 30)),
    kind("deploy", "deploy", Shown::Variable("version"), true, 14),
    kind("question", "restricted", Shown::Variable("who"), true, 8),
    dropping(kind("tags", "ask-skip-tags", Shown::SkipTag, true, 10)),
    kind("sliced", "sliced", Shown::Variable("number"), true, 4),
    kind("alone", "one-at-a-time", Shown::Variable("number"), true, 4),
    kind("workflow", "release-with-variables", Shown::Variable("number"), true, 6),
    that(Course::Fails, kind("fails", "fails", Shown::Variable("number"), true, 4)),
    that(Course::Hangs, kind("hangs", "hangs", Shown::Variable("number"), true, 4)),
    that(Course::TakesTooLong, kind("too-long", "hangs", Shown::Variable("number"), true, 2)),
    // Without room for a marker they go one after the other, so there are few: the wait for a lost one is long.
    kind("plain", "plain", Shown::Nowhere, false, 6),
    kind("survey", "survey-only", Shown::Variable("who"), false, 5),
    kind("release", "release", Shown::Nowhere, false, 3),
];

impl Kind {
    /// What a job with this number asks for.
    pub(crate) fn parameters(&self, number: u32) -> Value {
        match self.name {
            "deploy" => json!({"environment": "dev", "version": format!("v{number}")}),
            "question" | "survey" => json!({"who": format!("n{number}")}),
            "tags" => json!({"tag": format!("t{number}")}),
            "plain" | "release" | "shared" => json!({}),
            _ => json!({"number": number}),
        }
    }

    /// The number that shows in a run's variables and tags to skip.
    pub(crate) fn number(&self, variables: &Value, skip_tags: &str) -> Option<u32> {
        match self.shown {
            Shown::Nowhere => None,
            Shown::SkipTag => skip_tags.split(',').find_map(|tag| tag.trim().strip_prefix('t')?.parse().ok()),
            Shown::Variable(name) => match variables.get(name)? {
                Value::String(text) => text.get(1..)?.parse().ok(),
                value => u32::try_from(value.as_u64()?).ok(),
            },
        }
    }

    /// The controller's id for it.
    pub(crate) fn id(&self) -> u64 {
        Controller::template(self.sandbox)
    }

    /// Where its launches go.
    pub(crate) fn launch_path(&self) -> String {
        format!("/{}/launch", self.id())
    }

    fn settings(&self) -> Value {
        match self.name {
            "deploy" | "question" | "survey" => json!({"parameters": "import"}),
            "tags" => json!({"parameters": {
                "type": "object", "properties": {"tag": {"type": "string", "x-runwarden-target": "skip_tags"}},
            }}),
            "plain" | "release" | "shared" => json!({"parameters": {"type": "object", "properties": {}}}),
            "too-long" => {
                json!({"max_duration_seconds": 2, "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}}})
            }
            _ => json!({"parameters": {"type": "object", "properties": {"number": {"type": "integer"}}}}),
        }
    }
}

/// Makes the controller's templates what the round needs; it forgets that when it is started again.
pub(crate) async fn prepare(controller: &Controller) {
    let question = |variable: &str, required: bool, max: u32| {
        json!({
            "question_name": variable, "question_description": "", "required": required, "type": "text",
            "variable": variable, "min": 0, "max": max, "default": "", "choices": [], "new_question": false,
        })
    };
    let survey = json!([question("who", true, 16), question("runwarden_attempt", false, 64)]);
    let change = json!({"restricted": false, "survey_enabled": true, "survey": survey});
    controller.change_template("restricted", change).await;
}

/// Maps them all.
pub(crate) async fn map(tenant: &Tenant) {
    for kind in KINDS.iter().chain([SHARED]) {
        tenant.map_with(kind.name, kind.sandbox, kind.settings()).await;
    }
}

#[test]
fn a_number_is_found_again_in_what_a_run_got() {
    for kind in KINDS {
        let parameters = kind.parameters(417);
        let tag = parameters.get("tag").and_then(Value::as_str).unwrap_or_default();
        let found = kind.number(&parameters, &format!("{tag},rw_0199-1"));
        assert_eq!(found, (kind.shown != Shown::Nowhere).then_some(417), "{}", kind.name);
    }
}
