//! What a service's health mentions although the service serves: something that an operator should look at and that
//! concerns some callers only.

use std::sync::{Arc, Mutex, PoisonError};

/// The header of a health answer (grpc.health.v1) that carries the notes, in one line.
pub const NOTES: &str = "runwarden-notes";
/// The most bytes of notes: they travel in a header.
const MOST: usize = 2048;

type Note = (&'static str, Box<dyn Fn() -> Option<String> + Send + Sync>);

/// The notes of a service. Clones are one.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<Note>>>);

impl Notes {
    /// Adds something to mention as long as `note` says so. It is asked at every look at the service's health, so it
    /// must answer at once.
    pub fn add(&self, name: &'static str, note: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(note)));
    }

    /// All of them in one line of printable ASCII; `None` if there is nothing to mention.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<String> =
            notes.iter().filter_map(|(name, note)| note().map(|said| format!("{name}: {said}"))).collect();
        let mut line = told.join("; ").replace(|c: char| !(c == ' ' || c.is_ascii_graphic()), "?");
        line.truncate(MOST);
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_mentioned_fits_a_header() {
        let notes = Notes::default();
        assert_eq!(notes.line(), None);
        notes.add("logs", || Some("damaged: acme\r\nä".to_owned()));
        notes.add("quiet", || None);
        notes.add("more", || Some("x".repeat(5000)));
        let line = notes.line().unwrap();
        assert!(line.starts_with("logs: damaged: acme???; more: xxx"), "{line}");
        assert_eq!(line.len(), MOST);
        assert!(http::HeaderValue::from_str(&line).is_ok());
    }
}
