//! Between the wire and the domain.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1 as wire;

use crate::admission::{MOST_ENTRIES, log_of};
use crate::merkle::Hash;
use crate::record::{Actor, Details, Entry, Outcome, PLATFORM, Record, Timestamp};
use crate::seen::SeenHead;

/// Its form is checked by [`crate::admission`].
impl TryFrom<wire::Entry> for Entry {
    type Error = Error;

    fn try_from(entry: wire::Entry) -> Result<Self> {
        // A value that this version does not know reads as unspecified.
        let outcome = Outcome::try_from(entry.outcome()).map_err(|_| Error::invalid("/outcome", "must be given"))?;
        let occurred_at = time_from_wire("/occurred_at", entry.occurred_at)?
            .ok_or_else(|| Error::invalid("/occurred_at", "is missing"))?;
        let details =
            Details::parse(&entry.details_json).map_err(|why| Error::invalid("/details_json", why.to_string()))?;
        let actor = entry.actor.unwrap_or_default();
        Ok(Self {
            entry_id: entry.entry_id,
            occurred_at,
            service: entry.service,
            actor: Actor {
                principal: actor.principal,
                name: actor.name,
                authenticated_by: actor.authenticated_by,
                client_id: actor.client_id,
                home_tenant: actor.home_tenant,
            },
            action: entry.action,
            object_type: entry.object_type,
            object_id: entry.object_id,
            outcome,
            decision_id: entry.decision_id,
            policy_digest: entry.policy_digest,
            payload_digest: entry.payload_digest,
            details,
            source_address: entry.source_address,
            request_id: entry.request_id,
            trace_id: entry.trace_id,
        })
    }
}

/// Reads a time that need not be given.
pub(super) fn time_from_wire(pointer: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>> {
    let Some(time) = time else { return Ok(None) };
    let wrong = || Error::invalid(pointer, "must be a time between the years 1 and 9999");
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong());
    }
    let moment = Moment::from_proto(&time).ok_or_else(wrong)?;
    Timestamp::from_micros(moment.micros()).map(Some).map_err(|_| wrong())
}

/// Writes a record.
pub(super) fn record_to_wire(record: Record, leaf: &Hash) -> Result<wire::Record> {
    let time = |time: Timestamp| Some(Moment::from_micros(time.micros()).to_proto());
    let Record { tenant, index, recorded_at, entry, .. } = record;
    Ok(wire::Record {
        index: number_to_wire(index)?,
        recorded_at: time(recorded_at),
        entry: Some(wire::Entry {
            entry_id: entry.entry_id,
            tenant: if tenant == PLATFORM { String::new() } else { tenant },
            occurred_at: time(entry.occurred_at),
            service: entry.service,
            actor: Some(wire::Actor {
                principal: entry.actor.principal,
                name: entry.actor.name,
                authenticated_by: entry.actor.authenticated_by,
                client_id: entry.actor.client_id,
                home_tenant: entry.actor.home_tenant,
            }),
            action: entry.action,
            object_type: entry.object_type,
            object_id: entry.object_id,
            outcome: wire::Outcome::from(entry.outcome).into(),
            decision_id: entry.decision_id,
            policy_digest: entry.policy_digest,
            payload_digest: entry.payload_digest,
            details_json: entry.details.to_string(),
            source_address: entry.source_address,
            request_id: entry.request_id,
            trace_id: entry.trace_id,
        }),
        leaf_hash: leaf.to_string(),
    })
}

/// Reads how far a service saw logs.
pub(super) fn seen_from_wire(service: &str, seen: &[wire::LogHead]) -> Result<Vec<SeenHead>> {
    if seen.len() > MOST_ENTRIES {
        return Err(Error::invalid("/seen", format!("must not be more than {MOST_ENTRIES}")));
    }
    let read = |(at, head): (usize, &wire::LogHead)| {
        log_of(&head.tenant).map_err(|error| error.under(&format!("/seen/{at}")))?;
        SeenHead::from_wire(service, head)
            .map_err(|error| Error::invalid(format!("/seen/{at}/{}", error.0), "is not possible for a log"))
    };
    seen.iter().enumerate().map(read).collect()
}

/// Writes a size or an index.
pub(super) fn number_to_wire(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(Error::internal)
}

/// Writes hashes.
pub(super) fn hashes_to_wire(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}
