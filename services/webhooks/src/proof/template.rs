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
    /// What is signed can be cut in one way only, or a captured request could be cut differently, with the same
    /// signature. So a part before the body ends where the text after it is found first, and a part after the body
    /// begins where the text before it is found last.
    pub(crate) fn feed<'a>(
        &'a self,
        received: &'a Received,
        timestamp: Option<&'a str>,
    ) -> Result<Vec<&'a [u8]>, Refusal> {
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(self.0.len());
        let mut is_after_body = false;
        for (at, part) in self.0.iter().enumerate() {
            let value = match part {
                Part::Text(text) => {
                    pieces.push(text.as_bytes());
                    continue;
                }
                Part::Body => {
                    pieces.push(&received.body);
                    is_after_body = true;
                    continue;
                }
                Part::Timestamp => timestamp.unwrap_or_default(),
                Part::Method => &received.method,
                Part::Header(name) => received.headers.one(name)?.ok_or_else(|| {
                    Refusal::new(Reason::SignatureMalformed, "A header that must be signed is not there.")
                })?,
            };
            let neighbour = if is_after_body { at.checked_sub(1) } else { at.checked_add(1) };
            let is_clear = match neighbour.and_then(|at| self.0.get(at)) {
                Some(Part::Text(text)) if is_after_body => format!("{text}{value}").rfind(text) == Some(0),
                Some(Part::Text(text)) => format!("{value}{text}").find(text) == Some(value.len()),
                _ => false,
            };
            if !is_clear {
                return Err(Refusal::new(
                    Reason::SignatureMalformed,
                    "A signed header contains the text that separates it, so that it could be read in two ways.",
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

    /// What is signed of a request with this `X-Id` and body.
    fn signed(template: &str, id: &str, body: &str) -> Result<Vec<u8>, Reason> {
        let template = Template::parse(template).unwrap();
        let received = Received {
            method: "POST".into(),
            headers: [("x-id", id)].into_iter().collect(),
            query: String::new(),
            body: body.into(),
            at: 0,
            caller: None,
        };
        template.feed(&received, Some("1700000000")).map(|pieces| pieces.concat()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn what_is_signed_can_be_cut_in_one_way_only() {
        // Each pair would be the same text.
        for (template, one, other) in [
            ("{body}.{header:X-Id}", ("1", "a.b"), ("b.1", "a")),
            ("{body}.{header:X-Id};{timestamp}", ("1", "a.b"), ("b.1", "a")),
            ("{header:X-Id}.{body}", ("1", "2.a"), ("1.2", "a")),
            // A separator that overlaps itself.
            ("{header:X-Id}::{body}", ("1", ":a"), ("1:", "a")),
            ("{body}::{header:X-Id}", ("1", "a:"), (":1", "a")),
        ] {
            let taken = signed(template, one.0, one.1);
            assert!(taken.is_ok(), "{template}");
            assert_eq!(signed(template, other.0, other.1), Err(Reason::SignatureMalformed), "{template}");
        }
        assert_eq!(signed("{timestamp}.{body}.{header:X-Id}\n", "7", "a.b").unwrap(), b"1700000000.a.b.7\n");
    }

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
