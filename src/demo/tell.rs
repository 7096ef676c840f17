//! Telling the story on a terminal: steps, what was called, what came back. Colours only where somebody sees them.

use std::time::Instant;

use crate::terminal::{Colours, announce, print};

/// Who tells the story.
pub(super) struct Teller {
    colours: Colours,
    started: Instant,
    step: std::cell::Cell<u32>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { colours: Colours::on(&std::io::stdout()), started: Instant::now(), step: std::cell::Cell::new(0) }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        self.colours.paint(code, text)
    }

    /// Begins a step.
    pub(super) fn step(&self, title: &str) {
        self.step.set(self.step.get() + 1);
        let number = self.step.get();
        println!("\n{} {}", self.paint("1;36", &format!("{number}.")), self.paint("1", title));
    }

    /// A call and how it went.
    pub(super) fn call(&self, call: &str, answer: &str) {
        announce(format_args!("   {} {call}\n     {}", self.paint("36", "→"), self.paint("2", answer)));
    }

    /// Something to know.
    pub(super) fn say(&self, text: &str) {
        announce(format_args!("   {text}"));
    }

    /// Something that went well.
    pub(super) fn good(&self, text: &str) {
        announce(format_args!("   {} {text}", self.paint("32", "✓")));
    }

    /// Something that did not.
    pub(super) fn bad(&self, text: &str) {
        announce(format_args!("   {} {text}", self.paint("31", "✗")));
    }

    /// A part of a line, at once.
    pub(super) fn part(&self, text: &str) {
        let _gone = print(self.paint("2", text).as_bytes());
    }

    /// What a run prints, indented, at once.
    pub(super) fn output(&self, text: &str) {
        let bar = self.paint("34", "│");
        let mut shown: String = text.split_inclusive('\n').map(|line| format!("     {bar} {line}")).collect();
        if !text.ends_with('\n') {
            shown.push('\n');
        }
        let _gone = print(shown.as_bytes());
    }

    /// How long it has taken so far, seconds.
    pub(super) fn elapsed(&self) -> f32 {
        self.started.elapsed().as_secs_f32()
    }
}
