//! What a process wrote.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of it is shown when a test fails.
const SHOWN: usize = 60;

/// The lines of a process so far, of both its outputs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in everything that is read from there, in a thread of its own.
    pub(crate) fn drain(&self, from: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                log.lines().push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
    }

    /// The first line with this in it.
    #[must_use]
    pub fn find(&self, part: &str) -> Option<String> {
        self.lines().iter().find(|line| line.contains(part)).cloned()
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Lines that tell of a failure of the program itself.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let bad = |line: &&String| line.contains(r#""level":"ERROR""#) || line.contains("panicked at");
        self.lines().iter().filter(bad).cloned().collect()
    }

    /// Its end, for people.
    #[must_use]
    pub fn end(&self) -> String {
        let lines = self.lines();
        lines.iter().skip(lines.len().saturating_sub(SHOWN)).fold(String::new(), |text, line| text + "  " + line + "\n")
    }
}
