//! What a run's output says of its hosts and of the tasks that failed.
//!
//! The output is text for people, and playbooks write into it: everything here is a best effort, nothing decides on it,
//! and all of it is escaped.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::verdict::{Label, Level, Outcome, clipped};

/// Hosts that are told of one by one; one more outcome says how many there are besides.
const MAX_HOSTS: usize = 240;
/// Failing tasks that are told of for one host.
const MAX_FAILURES: usize = 10;
/// Failing tasks that are kept of a run.
const MAX_KEPT: usize = 10_000;
/// The longest message of one.
const MAX_MESSAGE: usize = 800;
/// Lines of output that are looked at.
const MAX_LINES: usize = 200_000;

/// What the output says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hosts of the recap.
    pub hosts: Vec<Host>,
    /// Tasks that failed and were not ignored, in their order.
    pub failures: Vec<Failure>,
}

/// A line of the recap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The host.
    pub name: String,
    /// Counts by name, in their order: `ok`, `changed`, `unreachable`, `failed`, …
    pub counts: Vec<(String, u64)>,
}

/// A task that failed on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The host.
    pub host: String,
    /// The task.
    pub task: String,
    /// Whether the host could not be reached.
    pub unreachable: bool,
    /// What it says.
    pub message: String,
}

impl Report {
    /// Reads a run's output.
    pub fn of(output: &str) -> Self {
        let mut report = Self::default();
        let (mut task, mut recap, mut beyond) = (String::new(), false, 0_usize);
        for line in output.lines().take(MAX_LINES) {
            let line = uncoloured(line);
            let line = line.as_str();
            if let Some(name) = headline(line, "TASK [").or_else(|| headline(line, "RUNNING HANDLER [")) {
                name.clone_into(&mut task);
                recap = false;
            } else if line.starts_with("PLAY [") {
                recap = false;
            } else if line.starts_with("PLAY RECAP") {
                recap = true;
            } else if recap {
                report.hosts.extend(Host::of(line));
            } else if line == "...ignoring" {
                // The last one, which may be one that was not kept.
                match beyond.checked_sub(1) {
                    Some(fewer) => beyond = fewer,
                    None => drop(report.failures.pop()),
                }
            } else if let Some(failure) = Failure::of(line, &task) {
                if report.failures.len() < MAX_KEPT {
                    report.failures.push(failure);
                } else {
                    beyond += 1;
                }
            }
        }
        report
    }

    /// One outcome for each host, those that failed first.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let mut hosts = self.hosts.clone();
        let mut known: HashSet<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        for failure in &self.failures {
            // A run that was cut off has no recap.
            if known.insert(&failure.host) {
                hosts.push(Host { name: failure.host.clone(), counts: Vec::new() });
            }
        }
        hosts.sort_by_key(|host| !self.is_bad(host));
        let more = hosts.len().saturating_sub(MAX_HOSTS);
        let mut outcomes: Vec<_> =
            hosts.iter().take(MAX_HOSTS).enumerate().map(|(at, host)| self.outcome(at + 1, host)).collect();
        if more > 0 {
            outcomes.push(Outcome {
                id: "more".into(),
                description: format!("{more} more hosts"),
                body: format!("{more} more hosts are not listed here."),
                tags: vec![("Status".into(), vec![Label::new("Not listed", Level::Info)])],
            });
        }
        outcomes
    }

    fn is_bad(&self, host: &Host) -> bool {
        host.count("failed") + host.count("unreachable") > 0 || host.counts.is_empty()
    }

    fn outcome(&self, number: usize, host: &Host) -> Outcome {
        let (status, level) = match host {
            _ if host.count("unreachable") > 0 => ("Unreachable", Level::Error),
            _ if self.is_bad(host) => ("Failed", Level::Error),
            _ if host.count("changed") > 0 => ("Changed", Level::Info),
            _ => ("OK", Level::Info),
        };
        let mut body = String::new();
        if !host.counts.is_empty() {
            let names: Vec<_> = host.counts.iter().map(|(name, _)| escaped(name)).collect();
            let counts: Vec<_> = host.counts.iter().map(|(_, count)| count.to_string()).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(
                body,
                "| {} |\n|{}\n| {} |\n",
                names.join(" | "),
                "---|".repeat(names.len()),
                counts.join(" | ")
            );
        }
        let failures: Vec<_> = self.failures.iter().filter(|failure| failure.host == host.name).collect();
        for failure in failures.iter().take(MAX_FAILURES) {
            let what = if failure.unreachable { "could not be reached" } else { "failed" };
            let _ = writeln!(body, "**{}** {what}:\n\n{}\n", escaped(&failure.task), fenced(&failure.message));
        }
        if failures.len() > MAX_FAILURES {
            let _ = writeln!(body, "{} more tasks failed.", failures.len() - MAX_FAILURES);
        }
        if body.is_empty() {
            body.push_str("There are no details.");
        }
        let counts = host.counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| {
            let bad = matches!(name.as_str(), "failed" | "unreachable");
            Label::new(format!("{name} {count}"), if bad { Level::Error } else { Level::None })
        });
        let mut tags = vec![("Status".to_owned(), vec![Label::new(status, level)])];
        let counts: Vec<_> = counts.collect();
        if !counts.is_empty() {
            tags.push(("Tasks".to_owned(), counts));
        }
        let description = match failures.first() {
            Some(failure) => format!("{}: {} failed", host.name, failure.task),
            None => format!("{}: {}", host.name, status.to_lowercase()),
        };
        Outcome { id: format!("host-{number}"), description, body, tags }
    }
}

impl Host {
    /// `web1 : ok=2 changed=1 unreachable=0 failed=0`
    fn of(line: &str) -> Option<Self> {
        let (name, counts) =
            line.split_once(" : ").or_else(|| line.split_once(" :")).or_else(|| line.split_once(": "))?;
        let counts = counts
            .split_whitespace()
            .map(|count| {
                let (name, count) = count.split_once('=')?;
                Some((name.to_owned(), count.parse().ok()?))
            })
            .collect::<Option<Vec<_>>>()?;
        let name = name.trim();
        (!name.is_empty() && (1..=16).contains(&counts.len())).then(|| Self { name: clipped(name, 200), counts })
    }

    fn count(&self, wanted: &str) -> u64 {
        self.counts.iter().filter(|(name, _)| name == wanted).map(|(_, count)| *count).sum()
    }
}

impl Failure {
    /// `fatal: [web1]: FAILED! => {"msg": "…"}`, or `failed: [web1] (item=a) => {…}`
    fn of(line: &str, task: &str) -> Option<Self> {
        let rest = line.strip_prefix("fatal: [").or_else(|| line.strip_prefix("failed: ["))?;
        let (host, rest) = rest.split_once(']')?;
        let (how, said) = rest.split_once("=> ").unwrap_or((rest, ""));
        // Delegated: `web1 -> db1`.
        let host = host.split(" -> ").next().unwrap_or(host);
        Some(Self {
            host: clipped(host, 200),
            task: clipped(if task.is_empty() { "A task" } else { task }, 200),
            unreachable: how.contains("UNREACHABLE"),
            message: clipped(&message(said), MAX_MESSAGE),
        })
    }
}

/// What a failed task says: its `msg` and what it wrote to stderr, or all of it.
fn message(said: &str) -> String {
    let Ok(value) = crate::json::parse(said.as_bytes()) else { return said.to_owned() };
    let text =
        |field: &str| value.get(field).and_then(|text| text.as_str()).map(str::trim).filter(|text| !text.is_empty());
    let parts: Vec<_> = [text("msg"), text("stderr").or_else(|| text("module_stderr"))].into_iter().flatten().collect();
    if parts.is_empty() { said.to_owned() } else { parts.join("\n") }
}

fn headline<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(prefix)?;
    rest.rsplit_once(']').map(|(name, _)| name)
}

/// Without colours.
fn uncoloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.trim_end();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        rest = after.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A text that is no Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// A block of code that nothing within can end.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
PLAY [all] *********************************************************************

TASK [Gathering Facts] *********************************************************
\u{1b}[0;32mok: [web1]\u{1b}[0m
\u{1b}[0;32mok: [web2]\u{1b}[0m
fatal: [web3]: UNREACHABLE! => {\"changed\": false, \"msg\": \"Failed to connect to the host via ssh\", \"unreachable\": true}

TASK [nginx : Look for the old one] ********************************************
fatal: [web1]: FAILED! => {\"changed\": false, \"msg\": \"not there\"}
...ignoring

TASK [Install [the package]] ***************************************************
\u{1b}[0;33mchanged: [web1]\u{1b}[0m
\u{1b}[0;31mfatal: [web2 -> repo]: FAILED! => {\"changed\": false, \"msg\": \"No package matching 'ngin*' ```\", \"rc\": 1}\u{1b}[0m

PLAY RECAP *********************************************************************
\u{1b}[0;33mweb1\u{1b}[0m                       : \u{1b}[0;32mok=3   \u{1b}[0m changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=1
web2                       : ok=1    changed=0    unreachable=0    failed=1    skipped=0    rescued=0    ignored=0
web3                       : ok=0    changed=0    unreachable=1    failed=0    skipped=0    rescued=0    ignored=0
";

    #[test]
    fn hosts_and_failures_are_found_and_what_was_ignored_is_not() {
        let report = Report::of(OUTPUT);
        let names: Vec<_> = report.hosts.iter().map(|host| (host.name.as_str(), host.count("ok"))).collect();
        assert_eq!(names, [("web1", 3), ("web2", 1), ("web3", 0)]);
        let failures: Vec<_> =
            report.failures.iter().map(|f| (f.host.as_str(), f.task.as_str(), f.unreachable)).collect();
        assert_eq!(failures, [("web3", "Gathering Facts", true), ("web2", "Install [the package]", false)]);
        assert_eq!(report.failures[1].message, "No package matching 'ngin*' ```");
    }

    #[test]
    fn each_host_is_an_outcome_and_those_that_failed_come_first() {
        let outcomes = Report::of(OUTPUT).outcomes();
        let described: Vec<_> = outcomes.iter().map(|outcome| outcome.description.as_str()).collect();
        assert_eq!(described, ["web2: Install [the package] failed", "web3: Gathering Facts failed", "web1: changed"]);
        let labels = |at: usize, tag: usize| {
            outcomes[at].tags[tag].1.iter().map(|l| (l.label.as_str(), l.level)).collect::<Vec<_>>()
        };
        assert_eq!(labels(0, 0), [("Failed", Level::Error)]);
        assert_eq!(labels(0, 1), [("ok 1", Level::None), ("failed 1", Level::Error)]);
        assert_eq!(labels(1, 0), [("Unreachable", Level::Error)]);
        let body = &outcomes[0].body;
        assert!(body.contains("**Install \\[the package\\]** failed:"), "{body}");
        assert!(body.contains("````text\nNo package matching 'ngin*' ```\n````"), "{body}");
        assert!(body.starts_with("| ok | changed | unreachable | failed |"), "{body}");
    }

    #[test]
    fn a_run_that_was_cut_off_tells_what_failed_so_far() {
        let outcomes = Report::of("TASK [x] **\nfatal: [web1]: FAILED! => changed=false\n").outcomes();
        assert_eq!(outcomes[0].description, "web1: x failed");
        assert!(outcomes[0].body.contains("changed=false"));
        assert!(Report::of("").outcomes().is_empty());
    }

    #[test]
    fn an_output_full_of_failures_is_read_in_part() {
        let failed = |n: usize| format!("fatal: [h{n}]: FAILED! => {{}}\n");
        let mut output: String = (0..150_000).map(failed).collect();
        // Both of them are not kept any more, and neither of those that are kept was ignored.
        output.push_str("...ignoring\n...ignoring\n");
        let report = Report::of(&output);
        assert_eq!(report.failures.len(), MAX_KEPT);
        let outcomes = report.outcomes();
        assert_eq!(outcomes[MAX_HOSTS].description, format!("{} more hosts", MAX_KEPT - MAX_HOSTS));
    }

    #[test]
    fn many_hosts_are_told_of_in_part() {
        let hosts: String =
            (0..300).map(|n| format!("h{n} : ok=1 changed=0 unreachable=0 failed={}\n", n % 2)).collect();
        let outcomes = Report::of(&format!("PLAY RECAP ***\n{hosts}")).outcomes();
        assert_eq!(outcomes.len(), 241);
        assert!(outcomes[149].description.ends_with("failed") && outcomes[150].description.ends_with("ok"));
        assert_eq!(outcomes[240].description, "60 more hosts");
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_it_panic(output in "((TASK \\[|fatal: \\[|failed: \\[|PLAY RECAP|PLAY \\[|\\]|=> | : |ok=1|\u{1b}\\[|\n|[ -~]|\\PC){0,8}){0,12}") {
            for outcome in Report::of(&output).outcomes() {
                proptest::prop_assert!(!outcome.tags.is_empty() && !outcome.body.is_empty());
            }
        }
    }
}
