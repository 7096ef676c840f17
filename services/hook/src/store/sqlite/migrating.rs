//! What an earlier version kept, after its tables were changed.

use anyhow::{Context as _, Result};
use runwarden_engines::sqlite::open;
use runwarden_kit::tenant::TenantId;
use serde_json::json;

use super::{MIGRATIONS, SqliteInbox};
use crate::inbox::delivery::{Arrival, DeliveryState};
use crate::store::conformance::{arrival, asked};
use crate::store::engine::{Engine as _, Stock};
use crate::store::{DeliveryFilter, InboxStore as _};

/// Deliveries of three hooks of two tenants: one waits, one was mapped, one became a job, one was not wanted.
fn deliveries() -> Vec<Arrival> {
    let mut all = Vec::new();
    for (tenant, hook) in [("acme", "hook_1"), ("acme", "hook_2"), ("zeta", "hook_3")] {
        for number in 0..4 {
            let mut one = arrival(&number.to_string());
            (one.delivery.tenant, one.delivery.hook_id) = (TenantId::trusted(tenant), hook.to_owned());
            if number == 2 {
                one.delivery.finish(DeliveryState::Submitted, one.delivery.received_at);
            }
            if number == 3 {
                one.delivery.finish(DeliveryState::Filtered, one.delivery.received_at);
            } else if number > 0 {
                one.delivery.asked = Some(asked(json!({"password": "s3cr3t-value", "version": "1"})));
            }
            if number == 1 {
                one.delivery.state = DeliveryState::Mapped;
            }
            all.push(one);
        }
    }
    all
}

#[tokio::test]
async fn what_an_earlier_version_kept_is_counted_as_it_is_and_its_parameters_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("inbox.db");
    open(&path, &MIGRATIONS[..3]).await?.close().await;
    let earlier = rusqlite::Connection::open(&path)?;
    for Arrival { delivery, content, .. } in deliveries() {
        earlier.execute(
            "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rusqlite::params![
                delivery.id,
                delivery.tenant.as_str(),
                delivery.hook_id,
                delivery.mark,
                delivery.state.name(),
                delivery.due_at.map(runwarden_kit::clock::Moment::micros),
                delivery.received_at.micros(),
                content.size(),
                serde_json::to_string(&delivery)?,
                content.event,
                serde_json::to_string(&content.sealed)?,
            ],
        )?;
    }
    // What was counted has drifted away from what there is, and counts a tenant that has nothing.
    earlier.execute("INSERT INTO stocks VALUES ('acme', 77, 3, 12), ('gone', 1, 1, 1)", ())?;
    drop(earlier);

    let store = SqliteInbox::on(open(&path, MIGRATIONS).await?);
    are_counted(&store).await?;
    // House-keeping takes out what is of no use any more, and only that.
    let mut dropped = 0;
    while store.drop_parameters(2).await? > 0 {
        dropped += 1;
    }
    assert!(dropped > 1);
    are_counted(&store).await?;
    for Arrival { delivery, .. } in deliveries() {
        for kept in store.list(&delivery.tenant, &delivery.hook_id, all()).await? {
            let has_them = serde_json::to_string(&kept)?.contains("s3cr3t-value");
            assert_eq!(has_them, kept.state == DeliveryState::Mapped);
        }
    }
    Ok(())
}

fn all() -> DeliveryFilter {
    DeliveryFilter { limit: 100, ..DeliveryFilter::default() }
}

/// What is counted of tenants and hooks is what there is of them.
async fn are_counted(store: &SqliteInbox) -> Result<()> {
    let mut rows = store.engine.read().await?;
    for (tenant, hooks) in [("acme", vec!["hook_1", "hook_2"]), ("zeta", vec!["hook_3"]), ("gone", Vec::new())] {
        let tenant = TenantId::trusted(tenant);
        let mut of_tenant = Stock::default();
        for hook in hooks {
            let mut of_hook = Stock::default();
            for delivery in store.list(&tenant, hook, all()).await? {
                let content = store.content(&tenant, &delivery.id).await?.context("it contains nothing")?;
                let waiting = i64::from(delivery.due_at.is_some());
                of_hook = of_hook.plus(Stock { waiting, kept: 1, bytes: delivery.size() + content.size() });
            }
            assert_eq!((of_hook.kept, of_hook.waiting), (4, 2));
            assert_eq!(rows.stocks(&tenant, hook).await?.hook, of_hook, "{hook}");
            of_tenant = of_tenant.plus(of_hook);
        }
        assert_eq!(rows.stocks(&tenant, "").await?.tenant, of_tenant, "{tenant}");
    }
    Ok(())
}
