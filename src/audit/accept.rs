//! `runwarden audit accept-restore`.

use std::collections::BTreeSet;

use runwarden_audit::accept_restore;
use runwarden_audit::cli::{Against, Known, verify_database};
use runwarden_audit::verify::{Finding, tenant_of};
use runwarden_kit::audit::{PLATFORM, log_name, tenant_of as tenant_of_log};

use super::{audit_folder, print_line, stores};
use crate::cli::AcceptRestore;

pub(super) async fn run(accept: AcceptRestore) -> anyhow::Result<bool> {
    let known = stores::known(&accept.folder, &accept.seen).await?;
    let folder = audit_folder(&accept.folder.data_dir);
    let older = older(&runwarden_audit::database_path(&folder), &known).await?;
    let mut logs: BTreeSet<String> = accept.tenant.iter().map(|tenant| log_name(tenant).to_owned()).collect();
    if accept.platform {
        logs.insert(PLATFORM.to_owned());
    }
    if accept.all {
        logs.clone_from(&older);
        anyhow::ensure!(!logs.is_empty(), "every log continues what services saw of it: there is nothing to accept");
    }
    if let Some(log) = logs.iter().find(|log| !known.asked.is_empty() && !older.contains(*log)) {
        anyhow::bail!("the log of {log} continues what services saw of it: there is nothing to accept");
    }
    let tenants: Vec<String> = logs.iter().map(|log| tenant_of_log(log).to_owned()).collect();
    for accepted in accept_restore(&folder, &tenants, &who(), &accept.reason, &known.seen).await? {
        print_line(format_args!("{}: accepted; it continues from {} records", accepted.log, accepted.size))?;
    }
    Ok(true)
}

/// The logs that do not continue what services saw of them.
async fn older(path: &std::path::Path, known: &Known) -> anyhow::Result<BTreeSet<String>> {
    if !path.is_file() {
        return Ok(known.seen.iter().map(|seen| seen.log.clone()).collect());
    }
    let known = Known { tenants: None, ..known.clone() };
    let verdict = match verify_database(path, Against { known, ..Against::default() }).await {
        Err(runwarden_audit::cli::CliError::NoLogs(_)) => return Ok(BTreeSet::new()),
        verdict => verdict?,
    };
    let is_older = |finding: &Finding| {
        matches!(
            finding,
            Finding::Older { .. }
                | Finding::Differs { .. }
                | Finding::RestoresMissing { .. }
                | Finding::OtherKey { .. }
        )
    };
    Ok(verdict
        .reports
        .iter()
        .filter(|report| report.findings.iter().any(is_older))
        .map(|report| tenant_of(&report.log).to_owned())
        .collect())
}

/// Who does this, as far as the environment says.
fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let mut name = named.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    name.retain(|c| c.is_ascii_graphic());
    name.truncate(64);
    name
}
