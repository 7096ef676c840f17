//! What asked for a job, and who wants to hear of it.

use runwarden_kit::{FieldError, slug};
use serde::{Deserialize, Serialize};

/// The longest reference, characters.
const LONGEST_REFERENCE: usize = 200;
/// How many callbacks a job may name.
const MOST_CALLBACKS: usize = 8;
/// The longest id of a delivery, bytes.
const LONGEST_ID: usize = 100;

/// What asked for a job, and who wants to hear of it. It decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The hook that a delivery came through; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hook: String,
    /// The delivery; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub delivery: String,
    /// What the caller calls it; empty for nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// Callbacks that are to be sent what becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<String>,
}

impl Origin {
    /// All that is wrong with it. `by_hook` says whether the hook service sent it, which alone may name a delivery.
    #[must_use]
    pub fn problems(&self, by_hook: bool) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut field = |pointer: &str, detail: &str| {
            wrong.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
        };
        if !(by_hook || self.hook.is_empty() && self.delivery.is_empty()) {
            field("/origin", "can only name a hook and its delivery if the hook service asks");
        }
        let plain = |text: &str| text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(&self.hook) || !plain(&self.delivery) {
            field("/origin", "does not name a hook and a delivery");
        }
        if self.reference.chars().count() > LONGEST_REFERENCE || self.reference.chars().any(char::is_control) {
            field("/reference", "must be at most 200 characters, without control characters");
        }
        if self.callbacks.len() > MOST_CALLBACKS {
            field("/callbacks", "must be at most 8 names");
        }
        for (n, name) in self.callbacks.iter().take(MOST_CALLBACKS).enumerate() {
            if slug::check("", name).is_err() {
                field(&format!("/callbacks/{n}"), "must be the name of a callback");
            } else if self.callbacks.iter().take(n).any(|earlier| earlier == name) {
                field(&format!("/callbacks/{n}"), "is named twice");
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(origin: &Origin, by_hook: bool) -> Vec<String> {
        origin.problems(by_hook).into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn only_the_hook_service_says_what_was_delivered() {
        let delivered = Origin { hook: "github".into(), delivery: "dlv_1".into(), ..Origin::default() };
        assert_eq!(pointers(&delivered, true), [""; 0]);
        assert_eq!(pointers(&delivered, false), ["/origin"]);
        let delivery_alone = Origin { delivery: "dlv_1".into(), ..Origin::default() };
        assert_eq!(pointers(&delivery_alone, false), ["/origin"]);
        let odd = Origin { hook: "a b".into(), ..Origin::default() };
        assert_eq!(pointers(&odd, true), ["/origin"]);
    }

    #[test]
    fn what_callers_say_is_bounded() {
        let fine =
            Origin { reference: "ä".repeat(200), callbacks: vec!["ci".into(), "chat".into()], ..Origin::default() };
        assert_eq!(pointers(&fine, false), [""; 0]);
        for reference in ["x".repeat(201), "a\nb".into(), "a\u{85}b".into()] {
            assert_eq!(pointers(&Origin { reference, ..Origin::default() }, false), ["/reference"]);
        }
        let callbacks =
            |names: &[&str]| Origin { callbacks: names.iter().map(|n| (*n).to_owned()).collect(), ..Origin::default() };
        assert_eq!(pointers(&callbacks(&["ci", "https://x", "ci"]), false), ["/callbacks/1", "/callbacks/2"]);
        assert_eq!(pointers(&callbacks(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]), false), ["/callbacks"]);
    }
}
