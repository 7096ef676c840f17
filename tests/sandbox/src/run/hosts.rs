//! Which hosts a run is for: its inventory's, its slice of them, its limit.

use crate::state::State;
use crate::state::job::Job;

/// All hosts of the job's slice; the limit is left to the engine.
pub(crate) fn of(state: &State, job: &Job) -> Vec<String> {
    let all = job.inventory.map(|id| state.hosts(id)).unwrap_or_default();
    let (Ok(number), Ok(count)) = (usize::try_from(job.slice_number), usize::try_from(job.slice_count)) else {
        return all;
    };
    if count < 2 || number < 1 {
        return all;
    }
    all.into_iter().skip(number - 1).step_by(count).collect()
}

/// What a limit leaves: names, `all`, a trailing `*`, and `!name`.
pub(crate) fn limited(hosts: Vec<String>, limit: &str) -> Vec<String> {
    let patterns: Vec<&str> = limit.split([',', ':']).map(str::trim).filter(|p| !p.is_empty()).collect();
    if patterns.is_empty() {
        return hosts;
    }
    let fits = |host: &str, pattern: &str| {
        pattern == "all" || pattern == host || pattern.strip_suffix('*').is_some_and(|start| host.starts_with(start))
    };
    let (out, into): (Vec<&str>, Vec<&str>) = patterns.into_iter().partition(|p| p.starts_with('!'));
    hosts
        .into_iter()
        .filter(|host| into.is_empty() || into.iter().any(|p| fits(host, p)))
        .filter(|host| !out.iter().any(|p| fits(host, p.trim_start_matches('!'))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_narrows_and_excludes() {
        let hosts = || ["web1", "web2", "db1"].map(str::to_owned).to_vec();
        assert_eq!(limited(hosts(), ""), hosts());
        assert_eq!(limited(hosts(), "web*,!web2"), ["web1"]);
        assert_eq!(limited(hosts(), "nohost"), Vec::<String>::new());
    }
}
