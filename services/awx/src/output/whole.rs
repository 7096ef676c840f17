//! Comparing what was read with the controller's own complete text.
//!
//! `stdout/` is made from the same events, by a database's `COPY`: those without text are left out, every other one is a
//! line (more if it has line ends inside), in order of their first lines and of equal ones in any; backslashes are
//! doubled and control characters written as escapes. So lines are compared, as a set that counts, and not their order.

use serde::{Deserialize, Serialize};

use crate::AwxError;
use crate::http::{Http, Query};
use crate::run::RunRef;

/// The longest line that is kept while it is read, bytes. No event is longer than an answer may be.
const LONGEST_LINE: usize = 32 * 1024 * 1024;

/// Lines as a set that counts: the same lines in whatever order are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lines {
    count: u64,
    /// The sum of what the lines hash to.
    sum: u64,
}

impl Lines {
    /// Adds what an event with this text is in `stdout/`.
    pub(super) fn add(&mut self, stdout: &str) {
        if stdout.is_empty() {
            return;
        }
        for line in copied(stdout).split('\n') {
            self.line(line.as_bytes());
        }
    }

    fn line(&mut self, line: &[u8]) {
        let hash = runwarden_kit::json::sha256_hex(line);
        let hash = hash.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// A text as `COPY` writes it, with its inner line ends made line ends again, as AWX does.
fn copied(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        out.push_str(match c {
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{b}' => "\\v",
            c => {
                out.push(c);
                continue;
            }
        });
    }
    out.replace("\\r\\n", "\n")
}

/// Reads a job's whole text and says whether it has these lines.
pub(super) async fn has(http: &Http, run: RunRef, lines: &Lines) -> Result<bool, AwxError> {
    let query: Query = vec![("format", "ansi_download".into())];
    let mut response = http.download(&run.path().then("stdout"), &query).await?;
    let limit = http.limits().download_bytes;
    let (mut read, mut found, mut pending) = (0, Lines::default(), Vec::new());
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) if error.is_timeout() => return Err(AwxError::Timeout),
            Err(_) => return Err(AwxError::bad("it ended before it was complete")),
        };
        read += chunk.len();
        if read > limit {
            return Err(AwxError::TooLarge { limit });
        }
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if pending.len() + piece.len() > LONGEST_LINE {
                return Err(AwxError::TooLarge { limit: LONGEST_LINE });
            }
            pending.extend_from_slice(piece);
            if let Some(line) = pending.strip_suffix(b"\n") {
                found.line(line.strip_suffix(b"\r").unwrap_or(line));
                pending.clear();
            }
        }
    }
    if !pending.is_empty() {
        found.line(&pending);
    }
    Ok(found == *lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        for text in texts {
            lines.add(text);
        }
        lines
    }

    #[test]
    fn lines_are_what_the_controller_writes_in_any_order() {
        assert_eq!(of(&["a", "", "b\r\nc"]), of(&["c", "b", "a"]));
        assert_ne!(of(&["a", "a"]), of(&["a"]));
        assert_ne!(of(&["ab"]), of(&["a", "b"]));
        assert_eq!(copied("C:\\dir\\\r\n\tx\r"), "C:\\\\dir\\\\\n\\tx\\r");
    }
}
