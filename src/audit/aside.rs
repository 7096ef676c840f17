//! `runwarden audit set-aside`: entries that the audit log refused.

use runwarden_kit::audit::log_name;
use runwarden_kit::clock::Moment;
use serde_json::json;

use super::print_line;
use super::stores::{Access, open};
use crate::cli::{Folder, SendAgain};
use crate::terminal::say;

pub(super) async fn list(folder: &Folder) -> anyhow::Result<bool> {
    let (stores, missing) = open(folder, Access::Read).await;
    for store in &stores {
        for aside in store.outbox.aside().await? {
            let entry = aside.entry.unwrap_or_default();
            print_line(json!({
                "service": store.service.name(),
                "tenant": log_name(&entry.tenant),
                "entry_id": entry.entry_id,
                "action": entry.action,
                "object": format!("{} {}", entry.object_type, entry.object_id),
                "principal": entry.actor.unwrap_or_default().principal,
                "details": entry.details_json,
                "refused_at": Moment::from_micros(aside.at_micros).rfc3339(),
                "why": aside.why,
            }))?;
        }
    }
    for missing in &missing {
        say(format_args!("Not asked: {missing}."));
    }
    Ok(!stores.is_empty())
}

pub(super) async fn send_again(again: &SendAgain) -> anyhow::Result<bool> {
    let (stores, missing) = open(&again.folder, Access::Write).await;
    let mut left: Vec<&String> = again.entry.iter().collect();
    for store in &stores {
        for aside in store.outbox.aside().await? {
            let entry = aside.entry.unwrap_or_default();
            if !again.all && !left.contains(&&entry.entry_id) {
                continue;
            }
            if store.outbox.send_again(&entry.tenant, &entry.entry_id).await? {
                left.retain(|id| **id != entry.entry_id);
                print_line(format_args!("{}: {} is sent again", store.service, entry.entry_id))?;
            }
        }
    }
    for missing in &missing {
        say(format_args!("Not asked: {missing}."));
    }
    anyhow::ensure!(
        left.is_empty(),
        "not set aside: {}",
        left.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
    );
    Ok(true)
}
