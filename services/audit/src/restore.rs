//! After logs were restored from a copy: an operator accepts that they are older than what services saw, by a record in
//! each of those logs. Done beside the stopped service, because the platform's own log may be one of them, and without
//! it nobody gets a token.

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};
use runwarden_engines::{EngineSettings, Engines};
use runwarden_kit::audit::log_name;
use runwarden_kit::clock::SystemClock;
use runwarden_kit::{id, slug};
use serde_json::json;

use crate::log::{JournalLimits, Writer};
use crate::record::{ACCEPT_RESTORE, Actor, Details, Entry, Outcome, Timestamp};
use crate::seen::SeenHead;
use crate::store::Logs;
use crate::{only_one, signing_key};

/// The longest reason, in bytes.
const MOST_REASON: usize = runwarden_kit::limits::LONGEST_REASON;

/// What was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whose log.
    pub log: String,
    /// How many records it continues from.
    pub size: u64,
}

/// Records in each of these logs (by tenant, empty for the platform's) that `who` accepts that it was restored from a
/// copy, and why. From then on services go on with it, whatever they saw before; `seen` is what is known of that, and
/// becomes part of the record.
///
/// # Errors
/// When the audit service is running, a log does not verify, or there is no reason.
pub async fn accept_restore(
    data_dir: &Path,
    tenants: &[String],
    who: &str,
    reason: &str,
    seen: &[SeenHead],
) -> anyhow::Result<Vec<Accepted>> {
    let reason = reason.trim();
    ensure!(
        !reason.is_empty() && reason.len() <= MOST_REASON && !reason.chars().any(char::is_control),
        "the reason must be one line of at most {MOST_REASON} bytes"
    );
    for tenant in tenants.iter().filter(|tenant| !tenant.is_empty()) {
        slug::check("", tenant).map_err(|_| anyhow::anyhow!("{tenant:?} is not a valid tenant name"))?;
    }
    let _lock = only_one(data_dir)?;
    let logs = Logs::open(&Engines::open(EngineSettings::embedded(data_dir))?).await?;
    let accepted = accept_all(&logs, data_dir, tenants, who, reason, seen).await;
    logs.close().await;
    accepted
}

async fn accept_all(
    logs: &Logs,
    data_dir: &Path,
    tenants: &[String],
    who: &str,
    reason: &str,
    seen: &[SeenHead],
) -> anyhow::Result<Vec<Accepted>> {
    let key = Arc::new(signing_key::read_or_make(data_dir, !logs.reads.tenants().await?.is_empty())?);
    let (journal, writer) =
        Writer::start(logs.writes.clone(), key, Arc::new(SystemClock), JournalLimits::default()).await?;
    let doubts = writer.doubts();
    let writer = tokio::spawn(writer.run());
    let mut accepted = Vec::new();
    let logs: Vec<&str> = tenants.iter().map(|tenant| log_name(tenant)).collect();
    if let Some(log) = logs.iter().find(|log| doubts.list().contains_key(**log)) {
        bail!(
            "the log of {log} does not verify; restore a copy that does: `runwarden audit verify` says what is wrong"
        );
    }
    for log in logs {
        let entry = entry(log, who, reason, seen)?;
        let answer = journal.hand_in(vec![(log.to_owned(), entry)], Vec::new()).await?;
        match answer.heads.first() {
            Some(head) => accepted.push(Accepted { log: log.to_owned(), size: head.size - 1 }),
            None => bail!("nothing could be recorded in the log of {log}"),
        }
    }
    drop(journal);
    writer.await?;
    Ok(accepted)
}

fn entry(log: &str, who: &str, reason: &str, seen: &[SeenHead]) -> anyhow::Result<Entry> {
    let saw: Vec<_> = seen
        .iter()
        .filter(|seen| seen.log == log)
        .map(|seen| json!({"service": seen.by, "size": seen.size, "root": seen.root}))
        .collect();
    let now = runwarden_kit::clock::Clock::now(&SystemClock);
    Ok(Entry {
        entry_id: id::new("rec"),
        occurred_at: Timestamp::from_micros(now.micros())?,
        service: "audit".to_owned(),
        actor: Actor {
            principal: format!("operator:{who}"),
            name: who.to_owned(),
            authenticated_by: "data_folder".to_owned(),
            ..Actor::default()
        },
        action: ACCEPT_RESTORE.to_owned(),
        object_type: "log".to_owned(),
        object_id: log.to_owned(),
        outcome: Outcome::Success,
        decision_id: String::new(),
        policy_digest: String::new(),
        payload_digest: String::new(),
        details: Details::parse(&json!({"reason": reason, "seen": saw}).to_string())?,
        source_address: String::new(),
        request_id: String::new(),
        trace_id: String::new(),
    })
}

#[cfg(test)]
mod tests;
