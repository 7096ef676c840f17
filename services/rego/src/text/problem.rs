//! What is wrong with a module, and where.

use serde::{Deserialize, Serialize};

/// The longest detail that is passed on.
const MAX_DETAIL_CHARS: usize = 400;
/// A tab's width where the engine counts columns.
const ENGINE_TAB: u32 = 4;

/// One thing that is wrong with a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The module's name; empty when it is about the set as a whole.
    pub module: String,
    /// Counted from 1; 0 when there is no single place.
    pub line: u32,
    /// Counted from 1, in characters; 0 when there is no single place.
    pub column: u32,
    /// What is wrong, for the author.
    pub detail: String,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(module: &str, line: u32, column: u32, detail: impl AsRef<str>) -> Self {
        Self { module: module.to_owned(), line, column, detail: tidy(detail.as_ref()) }
    }

    /// A problem of the modules as a whole.
    #[must_use]
    pub fn of_set(detail: impl AsRef<str>) -> Self {
        Self::new("", 0, 0, detail)
    }

    /// Reads what the engine says: a message that begins with `--> module:line:column`, an excerpt,
    /// and `error: …`. `text_of` finds a module's text, to turn the engine's columns into ours.
    /// Whatever does not look like that becomes a problem without a place.
    pub fn from_engine<'a>(message: &str, text_of: impl Fn(&str) -> Option<&'a str>) -> Self {
        let located = message.lines().find_map(|line| {
            let mut parts = line.strip_prefix("--> ")?.rsplitn(3, ':');
            let column: u32 = parts.next()?.trim().parse().ok()?;
            let number: u32 = parts.next()?.trim().parse().ok()?;
            Some((parts.next()?, number, column))
        });
        let detail = message.split_once("error: ").map_or(message, |(_, detail)| detail);
        let detail = detail.lines().next().unwrap_or_default();
        let detail = &in_plain_words(detail);
        match located {
            Some((module, line, column)) => {
                let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
                let column = text_of(module)
                    .and_then(|text| text.split('\n').nth(index))
                    .map_or(column, |text| character_column(text, column));
                Self::new(module, line, column, detail)
            }
            None => Self::of_set(detail),
        }
    }

    /// The problem in one sentence, as seen from `module`.
    #[must_use]
    pub fn sentence(&self, module: &str) -> String {
        let elsewhere = if self.module.is_empty() || self.module == module {
            String::new()
        } else {
            format!("module `{}`, ", self.module)
        };
        if self.line == 0 {
            format!("{elsewhere}{}", self.detail)
        } else {
            format!("{elsewhere}line {}, column {}: {}", self.line, self.column, self.detail)
        }
    }
}

/// The engine's words, without what it says about its own insides.
fn in_plain_words(detail: &str) -> String {
    // `var x is unsafe (path ["runwarden", …], scopes […])`
    if let Some((name, _)) = detail.strip_prefix("var ").and_then(|rest| rest.split_once(" is unsafe")) {
        return format!(
            "`{name}` is not defined: no rule, import, parameter or assignment before this gives it a value"
        );
    }
    let detail = detail.trim().trim_start_matches("internal error: ");
    let plain = match detail {
        "" => "the engine refuses it",
        // Rego as it was before version 1.
        "`if` keyword is required before rule body" => {
            "`if` keyword is required before rule body: write `allow if { … }`, and `deny contains msg if { … }` for `deny[msg] { … }`"
        }
        _ => detail,
    };
    plain.to_owned()
}

/// The engine counts bytes, and a tab as four; people count characters.
fn character_column(line: &str, engine_column: u32) -> u32 {
    let mut width = 1_u32;
    let mut column = 1_u32;
    for character in line.chars() {
        if width >= engine_column {
            break;
        }
        width = width.saturating_add(if character == '\t' {
            ENGINE_TAB
        } else {
            u32::try_from(character.len_utf8()).unwrap_or(1)
        });
        column = column.saturating_add(1);
    }
    column
}

fn tidy(detail: &str) -> String {
    let flat = detail.trim().chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut short: String = flat.clone().take(MAX_DETAIL_CHARS).collect();
    if flat.count() > MAX_DETAIL_CHARS {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_engines_message_becomes_line_and_column() {
        let message = "\n--> env:4:12\n  |\n4 | \t\tallow fi\n  |            ^\nerror: expecting `if`";
        let text = "package x\n\n\n\t\tallow fi\n";
        let problem = Problem::from_engine(message, |name| (name == "env").then_some(text));
        assert_eq!(problem, Problem::new("env", 4, 6, "expecting `if`"));
        assert_eq!(problem.sentence("env"), "line 4, column 6: expecting `if`");
        assert_eq!(problem.sentence("other"), "module `env`, line 4, column 6: expecting `if`");
    }

    #[test]
    fn what_the_engine_says_about_its_insides_is_left_out() {
        let message = "\n--> m:3:5\n  |\nerror: var usr is unsafe (path [\"runwarden\", \"authz\"], scopes [Scope { locals: {} }])";
        let problem = Problem::from_engine(message, |_| None);
        assert!(problem.detail.starts_with("`usr` is not defined"), "{}", problem.detail);
        assert!(!problem.detail.contains("path") && !problem.detail.contains("scopes"), "{}", problem.detail);
        assert_eq!(Problem::from_engine("internal error: no", |_| None).detail, "no");
    }

    #[test]
    fn a_message_of_another_shape_keeps_its_words() {
        let problem = Problem::from_engine("no such rule", |_| None);
        assert_eq!(problem, Problem::of_set("no such rule"));
        assert_eq!(problem.sentence("m"), "no such rule");
        assert_eq!(Problem::from_engine("", |_| None).detail, "the engine refuses it");
    }

    #[test]
    fn details_are_one_short_line() {
        let problem = Problem::of_set("a\nb\u{1b}[31m".to_owned() + &"x".repeat(1000));
        assert!(problem.detail.chars().count() <= MAX_DETAIL_CHARS + 1);
        assert!(!problem.detail.chars().any(char::is_control));
    }

    proptest! {
        #[test]
        fn any_message_becomes_a_problem(message in any::<String>(), text in any::<String>()) {
            let problem = Problem::from_engine(&message, |_| Some(text.as_str()));
            prop_assert!(!problem.detail.chars().any(char::is_control));
        }

        #[test]
        fn places_survive(line in 1_u32..9, column in 1_u32..40) {
            let message = format!("\n--> a:b:{line}:{column}\nerror: no");
            let text = format!("{}\n", "x".repeat(80)).repeat(9);
            let problem = Problem::from_engine(&message, |_| Some(text.as_str()));
            prop_assert_eq!(problem, Problem::new("a:b", line, column, "no"));
        }
    }
}
