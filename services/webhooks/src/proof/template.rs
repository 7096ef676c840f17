//! What is signed: a text in which `{body}` and others stand for parts of the request.

use crate::headers::Received;
use crate::problem::Problem;
use crate::refusal::{Reason, Refusal};

/// A text such as `v0:{timestamp}:{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Timestamp,
    Body,
    Method,
    Header(String),
}

const FIELD: &str = "proof.signed";
const MAX_TEXT: usize = 256;

impl Template {
    /// Only the body.
    pub(crate) fn body() -> Self {
        Self(vec![Part::Body])
    }

    /// Reads a template: `{body}` once, and `{timestamp}`, `{method}`, `{header:NAME}`, with a text between any two.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_TEXT {
            return Err(Problem::new(FIELD, format!("It is longer than {MAX_TEXT} characters.")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, next)) = after.split_once('}') else {
                return Err(Problem::new(FIELD, "A `{` has no `}`."));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "timestamp" => Part::Timestamp,
                "body" => Part::Body,
                "method" => Part::Method,
                _ => match name.strip_prefix("header:").filter(|name| is_header_name(name)) {
                    Some(header) => Part::Header(header.to_ascii_lowercase()),
                    None => {
                        return Err(Problem::new(
                            FIELD,
                            "Use {body}, {timestamp}, {method} and {header:NAME}; nothing else can stand in braces.",
                        ));
                    }
                },
            });
            rest = next;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self(parts);
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), Problem> {
        let count = |wanted: &Part| self.0.iter().filter(|part| *part == wanted).count();
        if count(&Part::Body) != 1 {
            return Err(Problem::new(
                FIELD,
                "{body} must be in it exactly once: what is not signed, anybody may change.",
            ));
        }
        if count(&Part::Timestamp) > 1 {
            return Err(Problem::new(FIELD, "{timestamp} is in it more than once."));
        }
        let is_text = |part: &Part| matches!(part, Part::Text(_));
        if self.0.windows(2).any(|pair| pair.iter().all(|part| !is_text(part))) {
            return Err(Problem::new(
                FIELD,
                "Two parts follow each other without a text between them: nobody can tell where one ends.",
            ));
        }
        Ok(())
    }

    /// Whether the timestamp is signed.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    /// Whether this header (in lower case) is signed.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Header(header) if header == name))
    }

    /// Hands the signed bytes over, piece by piece.
    ///
    /// A part before the body may not contain the text that follows it: else a captured request could be cut
    /// differently, with the same signature.
    pub(crate) fn feed<'a>(
        &'a self,
        received: &'a Received,
        timestamp: Option<&'a str>,
    ) -> Result<Vec<&'a [u8]>, Refusal> {
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(self.0.len());
        for (at, part) in self.0.iter().enumerate() {
            let value = match part {
                Part::Text(text) => text.as_str(),
                Part::Body => {
                    pieces.push(&received.body);
                    continue;
                }
                Part::Timestamp => timestamp.unwrap_or_default(),
                Part::Method => &received.method,
                Part::Header(name) => received.headers.one(name)?.ok_or_else(|| {
                    Refusal::new(Reason::SignatureMalformed, "A header that must be signed is not there.")
                })?,
            };
            if let (false, Some(Part::Text(next))) = (matches!(part, Part::Text(_)), self.0.get(at + 1))
                && value.contains(next.as_str())
            {
                return Err(Refusal::new(
                    Reason::SignatureMalformed,
                    "A signed header contains the text that ends it, so that it could be read in two ways.",
                ));
            }
            pieces.push(value.as_bytes());
        }
        Ok(pieces)
    }
}

/// Whether a text can be the name of a header.
pub(crate) fn is_header_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_signs_too_little_or_can_be_read_in_two_ways_is_refused() {
        for good in ["{body}", "v0:{timestamp}:{body}", "{header:X-Id}.{timestamp}.{body}", "{method} {body}\n"] {
            Template::parse(good).unwrap();
        }
        for bad in
            ["", "{timestamp}", "{body}{body}", "{timestamp}{body}", "{nonsense}{body}", "{body", "{header:}.{body}"]
        {
            assert_eq!(Template::parse(bad).unwrap_err().field, FIELD, "{bad}");
        }
    }
}
