use runwarden_kit::FieldError;
use runwarden_kit::json::pointer_step;

/// One reason why a launch would not do what was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The parameter it is about as a JSON pointer into what the caller sent, such as `/limit`; empty when it is
    /// about the template itself.
    pub pointer: String,
    /// What is wrong, for people.
    pub detail: String,
}

impl Problem {
    pub(super) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// About a named parameter.
    pub(super) fn of(parameter: &str, detail: impl Into<String>) -> Self {
        Self::new(pointer_step(parameter), detail)
    }

    /// About the template itself.
    pub(super) fn template(detail: impl Into<String>) -> Self {
        Self::new(String::new(), detail)
    }
}

impl From<Problem> for FieldError {
    fn from(problem: Problem) -> Self {
        Self { pointer: problem.pointer, detail: problem.detail }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.pointer, self.detail) }
    }
}
