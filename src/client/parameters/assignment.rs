//! What is written after the template: `KEY=VALUE` and its kin.

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: Source,
    /// `KEY:=VALUE`: the value is JSON, whatever the schema says.
    pub(super) is_json: bool,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// On the command line.
    Here(String),
    /// In a file.
    File(String),
    /// On standard input.
    Input,
}

impl Assignment {
    /// Reads one. What is wrong is said without quoting it: it may be a secret in the wrong place.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("is not KEY=VALUE")?;
        let (name, is_json) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
        if name.is_empty() {
            return Err("is not KEY=VALUE: it has no key");
        }
        let value = match value.strip_prefix('@') {
            Some("") => return Err("names no file after the @"),
            Some("-") => Source::Input,
            Some(path) => Source::File(path.to_owned()),
            None => Source::Here(value.to_owned()),
        };
        Ok(Self { name: name.to_owned(), value, is_json })
    }
}

#[cfg(test)]
mod tests {
    use super::{Assignment, Source};
    use proptest::prelude::*;

    fn read(text: &str) -> (String, Source, bool) {
        let Assignment { name, value, is_json } = Assignment::read(text).unwrap();
        (name, value, is_json)
    }

    #[test]
    fn a_value_is_here_in_a_file_or_on_standard_input() {
        let here = |text: &str| Source::Here(text.to_owned());
        assert_eq!(read("a=1"), ("a".into(), here("1"), false));
        assert_eq!(read("a="), ("a".into(), here(""), false));
        assert_eq!(read("a=b=c"), ("a".into(), here("b=c"), false));
        assert_eq!(read("a:=[1]"), ("a".into(), here("[1]"), true));
        assert_eq!(read("a=@b"), ("a".into(), Source::File("b".into()), false));
        assert_eq!(read("a:=@b"), ("a".into(), Source::File("b".into()), true));
        assert_eq!(read("a=@-"), ("a".into(), Source::Input, false));
        assert_eq!(read("a=b@c"), ("a".into(), here("b@c"), false));
        for bad in ["", "a", "=1", ":=1", "a=@"] {
            assert!(Assignment::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_quoting_it(text in "\\PC{0,40}") {
            if let Err(why) = Assignment::read(&text) {
                prop_assert!(text.len() < 4 || !why.contains(&text));
            }
        }
    }
}
