//! What a person or a program sees of a job that is followed: its output on standard output, all else on standard error.

use std::io::IsTerminal as _;

use serde_json::Value;

use super::failure::{Exit, Failure};
use super::render;
use crate::terminal::{Colours, Screen, aside, plain, print, say};

/// Where output and changes of state go.
pub(super) struct View {
    output: Output,
    /// Whether changes of state are shown.
    tells_states: bool,
    /// What was shown last.
    state: String,
    /// Whether the output shown so far ends within a line.
    within_line: bool,
}

enum Output {
    /// Nowhere.
    Hidden,
    /// To a program, as it is.
    Raw,
    /// To a person.
    Shown(Screen),
    /// Beside a document for programs, to the person who waits for it.
    Beside(Screen),
}

impl View {
    /// Shows output and states.
    pub(super) fn all(as_json: bool) -> Self {
        let output = if as_json {
            Output::Beside(Screen::new(Colours::on(&std::io::stderr())))
        } else if std::io::stdout().is_terminal() {
            Output::Shown(Screen::new(Colours::on(&std::io::stdout())))
        } else {
            Output::Raw
        };
        Self { output, tells_states: true, state: String::new(), within_line: false }
    }

    /// Shows states to a person, and nothing to a script.
    pub(super) fn quiet() -> Self {
        let tells_states = std::io::stderr().is_terminal();
        Self { output: Output::Hidden, tells_states, state: String::new(), within_line: false }
    }

    /// What the run printed.
    ///
    /// # Errors
    /// When nobody reads any more, or it cannot be written.
    pub(super) fn output(&mut self, text: &str) -> Result<(), Failure> {
        self.within_line = !text.is_empty() && !text.ends_with('\n') && !matches!(self.output, Output::Hidden);
        match &mut self.output {
            Output::Hidden => {}
            Output::Raw => print(text.as_bytes())?,
            Output::Shown(screen) => print(screen.shown(text).as_bytes())?,
            Output::Beside(screen) => aside(screen.shown(text)),
        }
        Ok(())
    }

    /// A change of the job.
    pub(super) fn state(&mut self, job: &Value) {
        let text = |key: &str| job.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
        let colours = Colours::on(&std::io::stderr());
        let told = match text("progress") {
            progress if progress.is_empty() => render::state(colours, &text("state")),
            progress => format!("{}: {progress}", render::state(colours, &text("state"))),
        };
        // The command that followed it says how it ended, with the reason.
        let is_end = Exit::of(job) != Exit::NotNow;
        if self.tells_states && !is_end && told != self.state {
            if std::mem::take(&mut self.within_line) && std::io::stdout().is_terminal() {
                say("");
            }
            say(format_args!("{} {told}", text("id")));
            self.state = told;
        }
    }
}
