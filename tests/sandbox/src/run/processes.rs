//! Ending a run with everything it started. Linux only, like the controller it stands in for.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// All living descendants of a process.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(id) = id else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(id) = next.pop() {
        let below = children.remove(&id).unwrap_or_default();
        next.extend(&below);
        found.extend(below);
    }
    found
}

/// The parent in a line of `/proc/PID/stat`; the command before it may contain anything, brackets too.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Kills a process group. One that is gone already is as good.
pub(crate) fn kill_group(id: u32) {
    if let Some(group) = pid(id) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Kills one process. One that is gone already is as good.
pub(crate) fn kill(id: u32) {
    if let Some(process) = pid(id) {
        let _ = kill_process(process, Signal::KILL);
    }
}

fn pid(id: u32) -> Option<Pid> {
    // 0 and 1 would mean something else than one process of ours.
    i32::try_from(id).ok().filter(|id| *id > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent(""), None);
    }
}
