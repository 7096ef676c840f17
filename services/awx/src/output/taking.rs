//! Events made into text: what each of them adds to a run's output, and taking as much of that as there is room for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::whole::Lines;
use crate::ansi::plain;
use crate::read;

/// How far a job's events have been taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// The counter of the last event that was taken whole.
    pub(super) counter: u64,
    /// How many bytes of the next one's text were taken.
    #[serde(skip_serializing_if = "is_zero")]
    within: usize,
    /// What was taken, as the controller's whole text should show it.
    pub(super) lines: Lines,
    /// How many lines an earlier version took, which counted lines.
    #[serde(rename = "line", skip_serializing_if = "is_zero")]
    lines_before: u64,
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

/// One event, as far as it is output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    counter: u64,
    /// The line after its last, counted over all events.
    end_line: u64,
    /// Whether its text ends a line. A prompt does not, nor does `10%\r`: then it starts and ends on the same line.
    ends_line: bool,
    stdout: String,
}

impl Event {
    /// Reads a row. What has no counter is not an event.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let number = |key| read::integer(row, key).and_then(|n| u64::try_from(n).ok());
        let counter = number("counter").filter(|counter| *counter > 0)?;
        let stdout = read::text(row, "stdout");
        let end_line = number("end_line");
        let ends_line = match (number("start_line"), end_line) {
            (Some(start), Some(end)) => end > start,
            _ => !stdout.is_empty(),
        };
        Some(Self { counter, end_line: end_line.unwrap_or(0), ends_line, stdout })
    }

    /// What it adds to the output: whole lines. Text that ends no line gets one of its own, as in the controller's text.
    fn shown(&self) -> String {
        let mut shown = plain(self.stdout.strip_suffix('\r').unwrap_or(&self.stdout));
        if self.ends_line || !(shown.is_empty() || shown.ends_with('\n')) {
            shown.push('\n');
        }
        shown
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// It was taken, or had been before.
    All,
    /// One before it has not arrived yet.
    Gap,
    /// There was no room for all of it.
    Part,
}

/// Text that is being taken, within a budget.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) at: Position,
    pub(super) text: String,
    /// How many bytes of text there may be.
    budget: usize,
    /// Whether events are taken although some before them are missing.
    passes_gaps: bool,
    /// Whether something is missing.
    pub(super) lacks: bool,
}

impl Taking {
    pub(super) fn from(at: Position, budget: usize, passes_gaps: bool) -> Self {
        Self { at, text: String::new(), budget, passes_gaps, lacks: false }
    }

    /// Takes the next event, or as much of it as fits.
    pub(super) fn event(&mut self, event: &Event) -> Took {
        if event.counter <= self.at.counter {
            return Took::All;
        }
        if event.counter > self.at.counter + 1 {
            if !self.passes_gaps {
                return Took::Gap;
            }
            self.at.within = 0;
        }
        if event.end_line > self.at.lines_before || self.at.lines_before == 0 {
            let shown = event.shown();
            let rest = shown.get(self.at.within..).unwrap_or_default();
            let room = self.budget.saturating_sub(self.text.len());
            if rest.len() > room {
                let cut = cut(rest, room, self.text.is_empty());
                self.text.push_str(rest.get(..cut).unwrap_or_default());
                self.at.within += cut;
                return Took::Part;
            }
            self.text.push_str(rest);
        }
        self.at.lines.add(&event.stdout);
        self.at.counter = event.counter;
        self.at.within = 0;
        Took::All
    }

    /// Says in the text that something is missing here; the budget does not count that.
    pub(super) fn mark(&mut self, line: &str) {
        if self.at.within > 0 {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lacks = true;
    }
}

/// Where to cut a text so that at most `room` bytes are taken: after a line, else between letters. Nothing fits of what
/// is longer than the space that is left; but `first` is always started, since there will never be more space.
fn cut(text: &str, room: usize, first: bool) -> usize {
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = text.get(..end).unwrap_or_default();
    match head.rfind('\n') {
        Some(at) => at + 1,
        None if first && end == 0 => text.chars().next().map_or(0, char::len_utf8),
        None if first => end,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a run prints: a piece of text and whether a line end follows it. The events of it are as AWX's are.
    fn printed() -> impl Strategy<Value = Vec<(String, bool)>> {
        let text = prop_oneof![
            Just(String::new()),
            "[a-z ]{0,12}",
            "(\\\\|\\t|é|東|🚀|x|\\\\t|\\\\r\\\\n){1,8}",
            "[a-z]{1,4}(\r\n[a-z\\\\\t]{0,4}){1,4}",
            Just("x".repeat(300)),
        ];
        prop::collection::vec((text, prop::bool::weighted(0.8)), 0..40)
    }

    fn events(printed: &[(String, bool)]) -> Vec<Event> {
        let mut line = 0;
        let all = printed.iter().zip(1..).map(|((text, ends), counter)| {
            let start = line;
            line += text.matches('\n').count() as u64 + u64::from(*ends);
            let row = json!({"counter": counter, "start_line": start, "end_line": line, "stdout": text});
            // An inner line end without one at the end is none that a run can print: see `expected`.
            Event::read(&row).unwrap()
        });
        all.collect()
    }

    /// The same output, put together without events.
    fn expected(printed: &[(String, bool)]) -> String {
        let mut all = String::new();
        for (text, ends) in printed {
            let text = text.replace("\r\n", "\n");
            let counts = text.contains('\n') || *ends;
            all.push_str(&text);
            if counts || !(text.is_empty() || text.ends_with('\n')) {
                all.push('\n');
            }
        }
        all
    }

    proptest! {
        #[test]
        fn what_was_printed_comes_out_to_the_byte_however_it_arrives(
            printed in printed(),
            budget in 1usize..400,
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            page in 1usize..9,
        ) {
            let mut waiting = events(&printed);
            let total = waiting.len();
            let mut arrived: Vec<Event> = Vec::new();
            let (mut at, mut text) = (Position::default(), String::new());
            let mut order = order.into_iter();
            // Events arrive in any order; between arrivals what is there is read, page by page, piece by piece.
            loop {
                if !waiting.is_empty() {
                    let which = order.next().map_or(0, |index| index.index(waiting.len()));
                    arrived.push(waiting.remove(which));
                    arrived.sort_by_key(|event| event.counter);
                }
                loop {
                    // A position survives being written down.
                    let kept = serde_json::to_string(&at).unwrap();
                    let mut taking = Taking::from(serde_json::from_str(&kept).unwrap(), budget, false);
                    let rows: Vec<&Event> =
                        arrived.iter().filter(|event| event.counter > at.counter).take(page).collect();
                    let went_on = rows.into_iter().map(|event| taking.event(event)).all(|took| took == Took::All);
                    prop_assert!(taking.text.len() <= budget.max(4));
                    text.push_str(&taking.text);
                    let moved = taking.at != at;
                    at = taking.at;
                    if !moved || (went_on && at.counter as usize == total) {
                        break;
                    }
                }
                if waiting.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(&text, &expected(&printed));
            prop_assert_eq!(at.counter as usize, total);
        }
    }

    fn event(counter: u64, stdout: &str, ends: bool) -> Event {
        Event { counter, end_line: counter, ends_line: ends, stdout: stdout.into() }
    }

    #[test]
    fn text_that_ends_no_line_has_one_of_its_own() {
        let mut taking = Taking::from(Position::default(), 1000, false);
        for (n, (stdout, ends)) in
            (1..).zip([("10%\r", false), ("20%", false), ("", true), ("", false), ("a\tb\\c", true), ("Sure? ", false)])
        {
            assert_eq!(taking.event(&event(n, stdout, ends)), Took::All);
        }
        assert_eq!(taking.text, "10%\n20%\n\na\tb\\c\nSure? \n");
    }

    #[test]
    fn nothing_is_taken_past_a_gap_until_nothing_more_can_come() {
        let mut taking = Taking::from(Position::default(), 1000, false);
        assert_eq!(taking.event(&event(2, "second", true)), Took::Gap);
        let mut taking = Taking::from(taking.at, 1000, true);
        assert_eq!(taking.event(&event(2, "second", true)), Took::All);
        assert_eq!((taking.text.as_str(), taking.at.counter), ("second\n", 2));
    }

    #[test]
    fn what_an_earlier_version_took_is_not_taken_again() {
        let at: Position = serde_json::from_str("{\"line\":2,\"nodes\":[]}").unwrap();
        let mut taking = Taking::from(at, 1000, false);
        for n in 1..=3 {
            taking.event(&event(n, "line", true));
        }
        assert_eq!(taking.text, "line\n", "the third");
        let mut whole = Taking::from(Position::default(), 1000, false);
        for n in 1..=3 {
            whole.event(&event(n, "line", true));
        }
        assert_eq!(taking.at.lines, whole.at.lines, "what was taken earlier is part of the whole");
    }
}
