//! The query string, read strictly: unknown, repeated and ill-typed parameters are all named at once.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use prost_types::Timestamp;
use runwarden_kit::clock::Moment;
use runwarden_kit::{ErrorReason, FieldError, page, slug};

use super::form::{self, FormError};
use crate::problem::{Problem, Result};

/// The longest wait for a job's end that may be asked for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A set of query parameters that knows how to read itself.
pub trait FromQuery: Sized {
    /// Takes its parameters out of the reader. Mistakes are collected there, so every parameter is looked at.
    fn from_query(query: &mut Query) -> Self;
}

/// The query parameters of a call.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: FromQuery, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a set of parameters from a query string.
///
/// # Errors
///
/// 400 for one that cannot be decoded, 422 with all that is wrong otherwise.
pub fn read<T: FromQuery>(query: &str) -> Result<T> {
    let pairs = form::pairs(query.as_bytes()).map_err(|error| {
        let reason = match error {
            FormError::Nul => ErrorReason::ValidationFailed,
            FormError::BrokenEscape | FormError::NotUtf8 | FormError::TooMany => ErrorReason::MalformedRequest,
        };
        Problem::new(reason, format!("The query string cannot be read: {error}."))
    })?;
    let mut query = Query { pairs, errors: Vec::new() };
    let read = T::from_query(&mut query);
    for (name, _) in std::mem::take(&mut query.pairs) {
        query.wrong(&name, "is not a parameter of this call, or is given more than once");
    }
    if query.errors.is_empty() { Ok(read) } else { Err(Problem::invalid_fields(query.errors)) }
}

/// The parameters that have not been read yet, and what was wrong with those that have.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    fn wrong(&mut self, name: &str, detail: &str) {
        let pointer = runwarden_kit::json::pointer_step(name);
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    /// Takes a text; `None` if it is not given. A second one of the name stays and is refused in the end.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(given, _)| given == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Takes all texts of a name; each may list several, separated by commas.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.pairs.retain(|(given, value)| {
            let mine = given == name;
            if mine {
                taken.extend(value.split(',').map(str::to_owned));
            }
            !mine
        });
        taken
    }

    fn parsed<T>(&mut self, name: &str, wanted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.wrong(name, wanted);
        }
        parsed
    }

    /// Takes a name; empty if it is not given.
    pub fn slug(&mut self, name: &str) -> String {
        let Some(text) = self.text(name) else { return String::new() };
        match slug::check("", &text) {
            Ok(()) => text,
            Err(error) => {
                self.wrong(name, error.detail());
                String::new()
            }
        }
    }

    /// Takes a short token such as an id or an action; empty if it is not given.
    pub fn word(&mut self, name: &str) -> String {
        let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'*' | b':');
        self.parsed(name, "must be 1 to 128 letters, digits, dots, underscores or hyphens", |text| {
            ((1..=128).contains(&text.len()) && text.bytes().all(sane)).then(|| text.to_owned())
        })
        .unwrap_or_default()
    }

    /// Takes a whole number within bounds; the default if it is not given.
    pub fn number(&mut self, name: &str, from: i64, to: i64, default: i64) -> i64 {
        self.parsed(name, &format!("must be a whole number from {from} to {to}"), |text| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<i64>().ok()).flatten().filter(|number| (from..=to).contains(number))
        })
        .unwrap_or(default)
    }

    /// Takes a whole number within bounds; the default if it is not given, or is empty.
    pub fn number_or_empty(&mut self, name: &str, from: i64, to: i64, default: i64) -> i64 {
        self.pairs.retain(|(given, value)| given != name || !value.is_empty());
        self.number(name, from, to, default)
    }

    /// Takes a moment; `None` if it is not given.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(name, "must be a time such as 2026-01-31T12:00:00Z; write + as %2B in a query", Moment::parse)
            .map(Moment::to_proto)
    }

    /// Takes some of several values by their names.
    pub fn choices<T: Copy>(&mut self, name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Vec<T> {
        let mut chosen = Vec::new();
        for text in self.texts(name) {
            match all.iter().find(|value| name_of(**value) == text) {
                Some(value) => chosen.push(*value),
                None => {
                    let words = all.iter().map(|value| name_of(*value)).collect::<Vec<_>>().join(", ");
                    self.wrong(name, &format!("must be one of {words}"));
                    return chosen;
                }
            }
        }
        chosen
    }

    /// Takes `page_size` and `page_token`.
    pub fn page(&mut self) -> (i32, String) {
        let largest = i64::try_from(page::MAX_SIZE).unwrap_or(200);
        let size = self.number("page_size", 1, largest, i64::try_from(page::DEFAULT_SIZE).unwrap_or(50));
        let token = self.text("page_token").unwrap_or_default();
        if !page::is_token(&token) {
            self.wrong("page_token", page::BAD_TOKEN);
        }
        (i32::try_from(size).unwrap_or(50), token)
    }
}

/// A call without query parameters.
#[derive(Debug)]
pub struct NoParams;

impl FromQuery for NoParams {
    fn from_query(_: &mut Query) -> Self {
        Self
    }
}

/// The page that is wanted.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    pub page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    pub page_token: String,
}

impl FromQuery for PageParams {
    fn from_query(query: &mut Query) -> Self {
        let (page_size, page_token) = query.page();
        Self { page_size, page_token }
    }
}

/// What a query adds to the time a request may take: the seconds of `wait`, if they are sane.
#[must_use]
pub fn wait_of(query: Option<&str>) -> Duration {
    let pairs = form::pairs(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let wait = pairs.iter().find(|(name, _)| name == "wait").and_then(|(_, value)| value.parse().ok());
    Duration::from_secs(wait.unwrap_or_default()).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::{FromQuery, PageParams, Query, read, wait_of};
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Filter {
        states: Vec<u8>,
        project: String,
        wait: i64,
        after: Option<prost_types::Timestamp>,
    }

    impl FromQuery for Filter {
        fn from_query(query: &mut Query) -> Self {
            Self {
                states: query.choices("state", &[1, 2], |state| if state == 1 { "new" } else { "running" }),
                project: query.slug("project"),
                wait: query.number("wait", 0, 60, 0),
                after: query.time("after"),
            }
        }
    }

    fn pointers(query: &str) -> Vec<String> {
        let problem = read::<Filter>(query).unwrap_err();
        problem.error().fields().iter().map(|field| field.pointer.clone()).collect()
    }

    #[test]
    fn parameters_are_read_by_their_types() {
        let filter: Filter =
            read("state=new,running&state=new&project=web&wait=60&after=2026-01-31T12:00:00%2B01:00").unwrap();
        assert_eq!((filter.states, filter.project.as_str(), filter.wait), (vec![1, 2, 1], "web", 60));
        assert_eq!(filter.after.unwrap().seconds, 1_769_857_200);
        let empty: Filter = read("").unwrap();
        assert!(empty.states.is_empty() && empty.project.is_empty() && empty.wait == 0 && empty.after.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        assert_eq!(
            pointers("state=NEW&project=a/b&wait=61&after=yesterday&what=1"),
            ["/state", "/project", "/wait", "/after", "/what"]
        );
        assert_eq!(pointers("wait=1&wait=2"), ["/wait"]);
        assert_eq!(pointers("wait=%2B5"), ["/wait"]);
        assert_eq!(pointers("wait=99999999999999999999"), ["/wait"]);
        // A query that names thousands of unknown parameters does not get an answer that names them all.
        let many = read::<Filter>(&"x&".repeat(1000)).unwrap_err();
        assert_eq!((many.status().as_u16(), many.error().fields().len()), (400, 0));
    }

    #[test]
    fn pages_have_bounds() {
        let page: PageParams = read("").unwrap();
        assert_eq!((page.page_size, page.page_token.as_str()), (50, ""));
        for bad in ["page_size=0", "page_size=201", "page_size=-1", "page_size=x", "page_token=%20"] {
            assert!(read::<PageParams>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_extends_the_deadline_within_reason() {
        assert_eq!(wait_of(Some("a=1&wait=20")).as_secs(), 20);
        assert_eq!(wait_of(Some("wait=4000000000")).as_secs(), 60);
        assert_eq!(wait_of(Some("wait=-3")).as_secs(), 0);
        assert_eq!(wait_of(None).as_secs(), 0);
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[ -~]{0,120}") {
            let _ = (read::<Filter>(&query).is_ok(), read::<PageParams>(&query).is_ok(), wait_of(Some(&query)));
        }
    }
}
