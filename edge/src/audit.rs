//! What the edge itself records: refusals of unknown callers, counted by address and minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::audit::{Actor, Entry, EntryBuilder, Outcome, Recorder};
use runwarden_kit::clock::Clock;
use runwarden_kit::mesh::Service;
use serde_json::json;

use crate::app::App;
use crate::limits::refusals::{Counted, Refusals};

const MINUTE: Duration = Duration::from_secs(60);

/// Each minute, and once more at the end: hands over the counts and forgets keys of limits that need no memory any more.
pub async fn keep(app: App, recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>) {
    loop {
        let stopping = app.shutdown.sleep(MINUTE).await.is_err();
        hand_over(&app.refusals, &*recorder, &*clock).await;
        if stopping {
            return;
        }
        if let Some(limit) = &app.by_address {
            limit.forget();
        }
        if let Some(limit) = &app.by_principal {
            limit.forget();
        }
    }
}

/// Records the counts; those that cannot be recorded now are kept and grow.
pub async fn hand_over(refusals: &Refusals, recorder: &dyn Recorder, clock: &dyn Clock) {
    let counted = refusals.take();
    for some in counted.chunks(200) {
        let entries = some.iter().map(|counted| entry(counted, clock)).collect();
        if let Err(error) = recorder.record_all(entries).await {
            tracing::warn!(reason = ?error.reason(), "refusals could not be recorded yet");
            some.iter().for_each(|counted| refusals.put_back(counted));
        }
    }
}

fn entry(counted: &Counted, clock: &dyn Clock) -> Entry {
    let address = counted.address.map(|address| address.to_string()).unwrap_or_default();
    let nobody = Actor { authenticated_by: "none".into(), ..Actor::default() };
    // Of IPv6 it is a network that was counted.
    let whose = match counted.address {
        Some(IpAddr::V6(_)) => format!("{address}/64"),
        Some(IpAddr::V4(_)) | None => address.clone(),
    };
    let mut entry = EntryBuilder::new(clock, Service::Edge, "auth.refuse", "address", &whose)
        .tenant("")
        .actor(nobody)
        .outcome(Outcome::Denied)
        .details(&json!({"count": counted.count, "within_seconds": MINUTE.as_secs()}))
        .build();
    entry.source_address = address;
    entry
}

#[cfg(test)]
mod tests {
    use super::hand_over;
    use crate::limits::refusals::Refusals;
    use runwarden_kit::audit::{MemoryRecorder, Outcome};
    use runwarden_kit::clock::SystemClock;

    #[tokio::test]
    async fn a_flood_of_refusals_becomes_one_entry_an_address() {
        let (refusals, recorder) = (Refusals::default(), MemoryRecorder::new());
        for _ in 0..500 {
            refusals.note("203.0.113.9".parse().unwrap());
        }
        hand_over(&refusals, &*recorder, &SystemClock).await;
        let entries = recorder.entries();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].action.as_str(), entries[0].source_address.as_str()), ("auth.refuse", "203.0.113.9"));
        assert_eq!(entries[0].outcome(), Outcome::Denied);
        assert!(entries[0].details_json.contains("500"));
    }

    #[tokio::test]
    async fn of_ipv6_a_network_is_recorded() {
        let (refusals, recorder) = (Refusals::default(), MemoryRecorder::new());
        refusals.note("2001:db8::1".parse().unwrap());
        hand_over(&refusals, &*recorder, &SystemClock).await;
        let entries = recorder.entries();
        assert_eq!(
            (entries[0].object_id.as_str(), entries[0].source_address.as_str()),
            ("2001:db8::/64", "2001:db8::")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_is_kept_for_later() {
        let (refusals, recorder) = (Refusals::default(), MemoryRecorder::new());
        refusals.note("203.0.113.9".parse().unwrap());
        recorder.set_down(true);
        hand_over(&refusals, &*recorder, &SystemClock).await;
        assert!(recorder.entries().is_empty());
        recorder.set_down(false);
        hand_over(&refusals, &*recorder, &SystemClock).await;
        assert_eq!(recorder.entries().len(), 1);
    }
}
