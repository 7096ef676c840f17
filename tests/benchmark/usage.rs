//! What processes cost, by Linux's `/proc`.

use std::fs;
use std::time::Duration;

/// How many ticks of processor time a second has: Linux tells programs of hundredths whatever the kernel counts in.
pub(crate) const TICKS: u64 = 100;

/// What a process and all that it started have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Memory now, MiB: shared pages are counted in proportion.
    pub(crate) memory: f64,
}

impl Usage {
    /// Of a process with its children, those that have ended included.
    pub(crate) fn of(pid: u32) -> Self {
        let all = processes();
        let mut family = vec![pid];
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            family.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
            at += 1;
        }
        let ours = || all.iter().filter(|process| family.contains(&process.pid));
        let ticks: u64 = ours().map(|process| process.ticks).sum();
        Self { cpu: Duration::from_millis(ticks * 1000 / TICKS), memory: ours().map(|p| memory_of(p.pid)).sum() }
    }

    /// How much of one core was used from an earlier look to this one, in percent.
    pub(crate) fn percent_since(&self, earlier: &Self, took: Duration) -> f64 {
        self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / took.as_secs_f64() * 100.0
    }
}

/// The process that this one started with a first argument.
pub(crate) fn child(argument: &str) -> u32 {
    let own = std::process::id();
    let is_it = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(argument.as_bytes())
    };
    let found = processes().into_iter().find(|process| process.parent == own && is_it(process.pid));
    found.expect("the process that was started").pid
}

struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn processes() -> Vec<Process> {
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    folders.filter_map(|folder| process(folder.file_name().to_str()?.parse().ok()?)).collect()
}

/// Fields 4 and 14 to 17 of proc_pid_stat(5): parent, and ticks of itself and of children that have ended.
fn process(pid: u32) -> Option<Process> {
    let stat = Stat::read(&format!("/proc/{pid}"))?;
    let ticks = (14..=17).map_while(|field| stat.number(field)).sum();
    Some(Process { pid, parent: u32::try_from(stat.number(4)?).ok()?, ticks })
}

/// proc_pid_stat(5) of a process, or of one of its threads.
pub(crate) struct Stat {
    /// Its name.
    pub(crate) name: String,
    /// The fields after that, from the third on.
    fields: Vec<String>,
}

impl Stat {
    /// Reads that of a folder of `/proc`.
    pub(crate) fn read(folder: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
        // The name may have anything in it, brackets included.
        let (before, after) = stat.rsplit_once(')')?;
        let fields = after.split_whitespace().map(str::to_owned).collect();
        Some(Self { name: before.split_once('(')?.1.to_owned(), fields })
    }

    /// A field by its number in the manual.
    pub(crate) fn number(&self, field: usize) -> Option<u64> {
        self.fields.get(field - 3)?.parse().ok()
    }
}

/// What a process has in memory, MiB: of what it shares with others (code, PostgreSQL's buffers) its proportional part.
fn memory_of(pid: u32) -> f64 {
    let kib = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    kib("smaps_rollup", "Pss:").or_else(|| kib("status", "VmRSS:")).unwrap_or_default() / 1024.0
}
