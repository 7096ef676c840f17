//! What arrived, exactly as it was sent.

use std::fmt;

use crate::refusal::{Reason, Refusal};

/// One request to a hook. The body is what the sender signed: nobody has parsed or changed it.
#[derive(Clone)]
pub struct Received {
    /// The HTTP method, in capitals.
    pub method: String,
    /// All headers.
    pub headers: Headers,
    /// The query of the address, without `?`, still encoded.
    pub query: String,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// When it arrived, in seconds since 1970.
    pub at: i64,
    /// The service account of the request's access token, if the edge verified one. Never taken from anything that the
    /// request says of itself.
    pub caller: Option<String>,
}

impl fmt::Debug for Received {
    /// Neither headers, query nor body: each of them may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("method", &self.method).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A request's headers: names in lower case, values as bytes, in the order in which they came.
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The value of a header that may be there once. Two of a name are refused: two readers of the request could take
    /// different ones.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::new(Reason::HeaderAmbiguous, format!("The header {name} is there more than once.")));
        }
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
            Err(_) => Err(Refusal::new(Reason::HeaderAmbiguous, format!("The header {name} is not text."))),
        }
    }

    /// The same, owned; `None` if it is empty, too.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.one(name)?.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// All names with their values, as far as they are text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value).ok()?)))
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into())).collect())
    }
}
