//! Entries for tests.

use super::{Actor, Details, Entry, Outcome, Record, Timestamp};

pub(crate) fn entry(id: &str) -> Entry {
    Entry {
        entry_id: id.to_owned(),
        occurred_at: Timestamp::from_micros(1_795_327_200_000_001).unwrap(),
        service: "executor".to_owned(),
        actor: Actor {
            principal: "sa_1".to_owned(),
            name: "ci".to_owned(),
            authenticated_by: "client_credentials".to_owned(),
            client_id: "client_1".to_owned(),
            home_tenant: "acme".to_owned(),
        },
        action: "job.submit".to_owned(),
        object_type: "job".to_owned(),
        object_id: "job_1".to_owned(),
        outcome: Outcome::Success,
        decision_id: "dec_1".to_owned(),
        policy_digest: "ab".repeat(32),
        payload_digest: "cd".repeat(32),
        details: Details::parse(r#"{"template":"deploy","count":2}"#).unwrap(),
        source_address: "192.0.2.7".to_owned(),
        request_id: "req_1".to_owned(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
    }
}

pub(crate) fn record(tenant: &str, index: u64) -> Record {
    let at = Timestamp::from_micros(1_795_327_200_500_000 + i64::try_from(index).unwrap()).unwrap();
    Record::new(tenant.to_owned(), index, at, entry(&format!("rec_{index}")))
}

pub(crate) fn lines(tenant: &str, count: u64) -> Vec<String> {
    (0..count).map(|index| record(tenant, index).to_line().unwrap()).collect()
}
