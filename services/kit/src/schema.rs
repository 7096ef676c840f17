//! JSON Schemas of parameters: how they are compiled, wherever that is done, and which formats they may name.
//!
//! What `project` accepts is what `executor` validates with, so both compile here.

mod write_only;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

pub use write_only::{WriteOnly, is_write_only};

/// The dialect that every schema is read as.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The formats of JSON Schema 2020-12. Those of earlier drafts are among them. Each is asserted.
pub const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Compiled size of one regular expression, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Compiles a schema: offline, with regular expressions that take linear time, and with formats asserted.
///
/// An unknown format asserts nothing here, so that a schema that was stored before unknown ones were refused still
/// works.
///
/// # Errors
/// When it is not a valid schema of [`DIALECT`], or a regular expression needs look-around or back-references.
pub fn compile(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(REGEX_SIZE))
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .build(schema)
}

/// The known word that `given` most resembles, apart from case and punctuation; none if it resembles none of them.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, two words share some letters and no meaning.
    const ALIKE: f64 = 0.85;
    let plain = |word: &str| {
        word.chars().filter(|c| c.is_alphanumeric()).take(64).flat_map(char::to_lowercase).collect::<String>()
    };
    let given = plain(given);
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&given, &plain(word)), word))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score >= ALIKE)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::{FORMATS, compile, nearest};
    use serde_json::json;

    #[test]
    fn every_format_of_the_standard_is_asserted() {
        let samples = [
            ("date", "2026-02-28", "2026-02-30"),
            ("date-time", "2026-02-28T12:00:00Z", "2026-02-28 12:00"),
            ("duration", "P1DT12H", "1 day"),
            ("email", "ann@example.com", "ann at example.com"),
            ("hostname", "web-1.example.com", "web_1.example.com"),
            ("idn-email", "jörg@bücher.example", "jörg"),
            ("idn-hostname", "bücher.example", "-bücher.example"),
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::1", "2001:db8:::1"),
            ("iri", "https://bücher.example/ü", "/ü"),
            ("iri-reference", "/ü", "a\\b"),
            ("json-pointer", "/a/0", "a/0"),
            ("regex", "^a+$", "("),
            ("relative-json-pointer", "1/a", "/a"),
            ("time", "12:00:00Z", "noon"),
            ("uri", "https://example.com/a", "example.com"),
            ("uri-reference", "/a", "a b"),
            ("uri-template", "/a/{id}", "/a/{id"),
            ("uuid", "01990f9a-0c6f-7c52-b8f5-4ee30bd5d1a1", "01990f9a0c6f7c52b8f54ee30bd5d1a1"),
        ];
        assert_eq!(samples.map(|(format, ..)| format), *FORMATS);
        for (format, good, bad) in samples {
            let validator = compile(&json!({ "format": format })).unwrap();
            assert!(validator.is_valid(&json!(good)), "{format}: {good}");
            assert!(!validator.is_valid(&json!(bad)), "{format}: {bad}");
            assert!(validator.is_valid(&json!(7)), "{format} is about strings");
        }
    }

    #[test]
    fn a_format_nobody_knows_asserts_nothing() {
        assert!(compile(&json!({ "format": "made-up" })).unwrap().is_valid(&json!("anything")));
    }

    #[test]
    fn the_nearest_word_is_one_a_person_may_have_meant() {
        let known = ["maxLength", "maximum", "minimum", "pattern"];
        for (given, meant) in [
            ("maxlength", Some("maxLength")),
            ("max_length", Some("maxLength")),
            ("maximun", Some("maximum")),
            ("patern", Some("pattern")),
            ("nullable", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }
}
