//! Turns the lines a playbook prints into job events, the way AWX's own callback would have cut them.

/// One event in the making: what happened, and the lines that say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Telling {
    pub(crate) event: &'static str,
    pub(crate) play: String,
    pub(crate) task: String,
    pub(crate) host: String,
    pub(crate) failed: bool,
    pub(crate) changed: bool,
    pub(crate) lines: Vec<String>,
    /// No line end comes after the last of its lines.
    pub(crate) open: bool,
}

/// What is printed outside of any task, cut as AWX cuts it: after each line end, and after each carriage return. What
/// remains without a line end is an event all the same.
pub(crate) fn pieces(text: &str) -> Vec<Telling> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\r', '\n']).map_or(rest.len(), |at| {
            if rest.get(at..).is_some_and(|end| end.starts_with("\r\n")) { at + 2 } else { at + 1 }
        });
        let (piece, after) = rest.split_at(end);
        let line = piece.strip_suffix("\r\n").or_else(|| piece.strip_suffix('\n'));
        let (text, open) = (line.unwrap_or(piece), line.is_none());
        all.push(Telling { event: "verbose", lines: vec![text.to_owned()], open, ..Telling::default() });
        rest = after;
    }
    all
}

/// Reads lines, hands out events as soon as the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    play: String,
    task: String,
    current: Option<Telling>,
}

impl Narrator {
    /// Takes one line without its end; answers with the event it closed.
    pub(crate) fn line(&mut self, raw: &str) -> Option<Telling> {
        let plain = strip_ansi(raw);
        let start = self.classify(&plain);
        let waits_for_header = self.current.as_ref().is_some_and(|t| t.event.is_empty());
        match (start, &mut self.current) {
            (Some(fresh), Some(blank)) if waits_for_header => {
                let mut lines = std::mem::take(&mut blank.lines);
                lines.push(raw.to_owned());
                self.current = Some(Telling { lines, ..fresh });
                None
            }
            (Some(fresh), _) => self.replace(Telling { lines: vec![raw.to_owned()], ..fresh }),
            // A blank line belongs to the header that follows it.
            (None, _) if raw.is_empty() => self.replace(Telling { lines: vec![String::new()], ..Telling::default() }),
            (None, Some(open)) if !open.event.is_empty() && open.event != "verbose" => {
                open.lines.push(raw.to_owned());
                None
            }
            // What belongs to nothing is an event for each line, an empty one also.
            (None, _) => self.replace(Telling { event: "verbose", lines: vec![raw.to_owned()], ..Telling::default() }),
        }
    }

    /// Hands out what is being told, whether or not more would follow. A lone blank line keeps waiting.
    pub(crate) fn flush(&mut self) -> Option<Telling> {
        match &self.current {
            Some(telling) if !telling.event.is_empty() => self.current.take(),
            _ => None,
        }
    }

    /// The last of it, blank lines included.
    pub(crate) fn finish(&mut self) -> Option<Telling> {
        self.current.take().map(|telling| Telling {
            event: if telling.event.is_empty() { "verbose" } else { telling.event },
            ..telling
        })
    }

    fn replace(&mut self, fresh: Telling) -> Option<Telling> {
        let old = self.finish();
        self.current = Some(fresh);
        old
    }

    fn classify(&mut self, plain: &str) -> Option<Telling> {
        if let Some(name) = header(plain, "PLAY [") {
            self.play = name;
            self.task = String::new();
            return Some(self.telling("playbook_on_play_start", String::new()));
        }
        if let Some(name) = header(plain, "TASK [").or_else(|| header(plain, "RUNNING HANDLER [")) {
            self.task = name;
            return Some(self.telling("playbook_on_task_start", String::new()));
        }
        if plain.starts_with("PLAY RECAP") {
            self.task = String::new();
            return Some(self.telling("playbook_on_stats", String::new()));
        }
        let results = [
            ("ok: [", "runner_on_ok", "runner_item_on_ok", false, false),
            ("changed: [", "runner_on_ok", "runner_item_on_ok", false, true),
            ("skipping: [", "runner_on_skipped", "runner_item_on_skipped", false, false),
            ("fatal: [", "runner_on_failed", "runner_item_on_failed", true, false),
            ("failed: [", "runner_on_failed", "runner_item_on_failed", true, false),
        ];
        for (prefix, event, item_event, failed, changed) in results {
            if let Some(rest) = plain.strip_prefix(prefix) {
                let host = rest.split([']', ' ']).next().unwrap_or_default().to_owned();
                let name = if rest.contains("(item=") { item_event } else { event };
                return Some(Telling { failed, changed, ..self.telling(name, host) });
            }
        }
        let warning = plain.starts_with("[WARNING]") || plain.starts_with("[ERROR]") || plain.starts_with("ERROR!");
        warning.then(|| self.telling("verbose", String::new()))
    }

    fn telling(&self, event: &'static str, host: String) -> Telling {
        Telling { event, play: self.play.clone(), task: self.task.clone(), host, ..Telling::default() }
    }
}

fn header(plain: &str, prefix: &str) -> Option<String> {
    let rest = plain.strip_prefix(prefix)?;
    let (name, _) = rest.rsplit_once(']')?;
    Some(name.to_owned())
}

/// Text without ANSI escape sequences.
pub(crate) fn strip_ansi(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        // CSI: up to the final byte; any other escape takes one character with it.
        if chars.next() == Some('[') {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tell(text: &str) -> Vec<Telling> {
        let mut narrator = Narrator::default();
        let mut all: Vec<Telling> = text.lines().filter_map(|line| narrator.line(line)).collect();
        all.extend(narrator.finish());
        all
    }

    #[test]
    fn a_playbook_is_cut_where_awx_cuts_it() {
        let told = tell(
            "\nPLAY [Say] ***\n\nTASK [Print] ***\n\u{1b}[0;32mok: [web1] => {\u{1b}[0m\n    \"msg\": 1\n}\nchanged: [web2] => (item=a)\n\nPLAY RECAP ***\nweb1 : ok=1\n",
        );
        let events: Vec<(&str, &str, usize)> = told.iter().map(|t| (t.event, t.host.as_str(), t.lines.len())).collect();
        assert_eq!(
            events,
            [
                ("playbook_on_play_start", "", 2),
                ("playbook_on_task_start", "", 2),
                ("runner_on_ok", "web1", 3),
                ("runner_item_on_ok", "web2", 1),
                ("playbook_on_stats", "", 3),
            ]
        );
        assert_eq!((told[2].play.as_str(), told[2].task.as_str()), ("Say", "Print"));
        assert!(told[3].changed);
    }

    #[test]
    fn what_belongs_to_no_task_is_an_event_for_each_line() {
        let told = tell("[WARNING]: one\n\ntwo\nthree\n");
        let lines: Vec<(&str, &[String])> = told.iter().map(|t| (t.event, t.lines.as_slice())).collect();
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(
            lines,
            [one("[WARNING]: one"), one(""), one("two"), one("three")].each_ref().map(|l| ("verbose", l.as_slice()))
        );
        let cut: Vec<(String, bool)> =
            pieces("a\r\n\r\n10%\r20%\rb\nSure? ").into_iter().map(|t| (t.lines.concat(), t.open)).collect();
        let cut: Vec<(&str, bool)> = cut.iter().map(|(text, open)| (text.as_str(), *open)).collect();
        assert_eq!(cut, [("a", false), ("", false), ("10%\r", true), ("20%\r", true), ("b", false), ("Sure? ", true)]);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_invented(lines in proptest::collection::vec("(PLAY \\[a\\]|TASK \\[b\\]|ok: \\[h\\]|fatal: \\[|x|\u{1b}\\[0m|)", 0..30)) {
            let mut narrator = Narrator::default();
            let mut seen = Vec::new();
            for line in &lines {
                seen.extend(narrator.line(line).into_iter().flat_map(|t| t.lines));
                seen.extend(narrator.flush().into_iter().flat_map(|t| t.lines));
            }
            seen.extend(narrator.finish().into_iter().flat_map(|t| t.lines));
            prop_assert_eq!(seen, lines);
        }
    }
}
