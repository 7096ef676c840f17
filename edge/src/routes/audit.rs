//! The audit log: records, checkpoints, proofs, and the export that proves itself offline.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use prost_types::Timestamp;
use runwarden_proto::audit::v1 as proto;
use serde::Serialize;
use serde_json::{Value, json};
use tonic::{Status, Streaming};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answer::{Page, checked_page};
use super::field::{always, kept_object, some};
use crate::app::App;
use crate::declared::Routes;
use crate::extract::path::ById;
use crate::extract::query::{FromQuery, NoParams, Params, Query};
use crate::problem::{Problem, Result};
use crate::route_table::{Lasts, On};
use crate::sse::{self, Ending, Gone, Pieces};

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(records))
        .admin(routes!(prove))
        .admin(routes!(checkpoint))
        .admin(routes!(consistency))
        .lasting(On::Admin, Lasts::Stream, routes!(export))
}

runwarden_kit::mirror! {
    /// How an action went.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Outcome = proto::Outcome {
        /// It was about to happen.
        Intent,
        /// It happened.
        Success,
        /// It was refused by permission or policy.
        Denied,
        /// It was tried and failed.
        Failed,
    }
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Actor {
    /// The principal; `service:<name>` for what Runwarden does by itself; empty when unknown.
    #[schema(example = "sa_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub principal: String,
    /// Its name.
    pub name: String,
    /// How it proved itself.
    #[schema(example = "client_credentials")]
    pub authenticated_by: String,
    /// The OAuth client, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tenant the principal belongs to; absent for one of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_tenant: Option<String>,
}

/// One record of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its place in the log, from 0.
    pub index: i64,
    /// Its id.
    #[schema(example = "rec_01990f9a0c6f7c52b8f54ee30bd5d1a1")]
    pub id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    pub occurred_at: String,
    /// When it was sealed into the log.
    #[schema(format = DateTime)]
    pub recorded_at: String,
    /// The service that saw it happen.
    pub service: String,
    /// Who.
    pub actor: Actor,
    /// What.
    #[schema(example = "job.submit")]
    pub action: String,
    /// The kind of thing it was done to.
    #[schema(example = "job")]
    pub object_type: String,
    /// Which one.
    pub object_id: String,
    /// How it went.
    pub outcome: Outcome,
    /// The decision behind it, where a policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// The digest of the policies that decided, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// SHA-256 of the canonical request, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_digest: Option<String>,
    /// Further details.
    #[schema(value_type = Object)]
    pub details: Value,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// The request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The leaf's hash, hex.
    pub leaf_hash: String,
}

impl TryFrom<proto::Record> for AuditRecord {
    type Error = Problem;

    fn try_from(record: proto::Record) -> Result<Self> {
        let entry = record.entry.unwrap_or_default();
        let outcome = entry.outcome().try_into().unwrap_or(Outcome::Failed);
        let actor = entry.actor.unwrap_or_default();
        Ok(Self {
            index: record.index,
            id: entry.entry_id,
            occurred_at: always(entry.occurred_at),
            recorded_at: always(record.recorded_at),
            service: entry.service,
            actor: Actor {
                principal: actor.principal,
                name: actor.name,
                authenticated_by: actor.authenticated_by,
                client_id: some(actor.client_id),
                home_tenant: some(actor.home_tenant),
            },
            action: entry.action,
            object_type: entry.object_type,
            object_id: entry.object_id,
            outcome,
            decision_id: some(entry.decision_id),
            policy_digest: some(entry.policy_digest),
            payload_digest: some(entry.payload_digest),
            details: kept_object(&entry.details_json, "a record's details")?,
            source_address: some(entry.source_address),
            request_id: some(entry.request_id),
            trace_id: some(entry.trace_id),
            leaf_hash: record.leaf_hash,
        })
    }
}

/// Which records.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListRecords {
    /// Only records about this job.
    #[param(required = false, pattern = "^[A-Za-z0-9_.*:-]{1,128}$")]
    job: String,
    /// Only records of this principal, by its id or its client id.
    #[param(required = false, pattern = "^[A-Za-z0-9_.*:-]{1,128}$")]
    principal: String,
    /// Only this action; `job.*` takes a whole noun.
    #[param(required = false, pattern = "^[A-Za-z0-9_.*:-]{1,128}$")]
    action: String,
    /// Only records of this time or later.
    #[param(required = false, value_type = String, format = DateTime)]
    after: Option<Timestamp>,
    /// Only records before this time.
    #[param(required = false, value_type = String, format = DateTime)]
    before: Option<Timestamp>,
    /// How many items a page has at most; 50 if not given.
    #[param(required = false, minimum = 1, maximum = 200)]
    page_size: i32,
    /// `next_page_token` of the page before; not given for the first.
    #[param(required = false, max_length = 2048, pattern = "^[A-Za-z0-9_-]*$")]
    page_token: String,
}

impl FromQuery for ListRecords {
    fn from_query(query: &mut Query) -> Self {
        let (job, principal, action) = (query.word("job"), query.word("principal"), query.word("action"));
        let (after, before) = (query.time("after"), query.time("before"));
        let (page_size, page_token) = query.page();
        Self { job, principal, action, after, before, page_size, page_token }
    }
}

/// Look records up
///
/// In the log of the caller's tenant; a platform admin without `X-Tenant` reads the platform's. Needs `audit.read`.
/// A search looks at a bounded number of records: in a very long log a page can be short, or empty, before the last one.
/// Go on while there is a `next_page_token`.
#[utoipa::path(get, path = "/api/v1/audit/records", tag = "audit", params(ListRecords),
    responses((status = 200, description = "A page, newest first.", body = Page<AuditRecord>)))]
async fn records(State(app): State<App>, Params(filter): Params<ListRecords>) -> Result<Json<Page<AuditRecord>>> {
    let ListRecords { job, principal, action, after, before, page_size, page_token } = filter;
    let request = proto::ListRecordsRequest { job, principal, action, after, before, page_size, page_token };
    let answer = app.ports.records().list_records(request).await?.into_inner();
    checked_page(answer.records, answer.next_page_token)
}

/// A signed checkpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checkpoint {
    /// The signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// The key that verifies it (C2SP vkey).
    pub verifier_key: String,
    /// The number of records it covers.
    pub size: i64,
    /// The root hash, hex.
    pub root_hash: String,
}

/// Read the newest checkpoint
///
/// Keep them: a log that was rewritten cannot be consistent with an old one. Needs `audit.read`.
#[utoipa::path(get, path = "/api/v1/audit/checkpoint", tag = "audit",
    responses((status = 200, description = "The checkpoint.", body = Checkpoint)))]
async fn checkpoint(State(app): State<App>, Params(NoParams): Params<NoParams>) -> Result<Json<Checkpoint>> {
    let answer = app.ports.records().get_checkpoint(proto::GetCheckpointRequest {}).await?.into_inner();
    Ok(Json(Checkpoint {
        checkpoint: answer.checkpoint,
        verifier_key: answer.verifier_key,
        size: answer.size,
        root_hash: answer.root_hash,
    }))
}

/// A proof that a record is in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct InclusionProof {
    /// The record's place.
    pub index: i64,
    /// The canonical record that was hashed, byte for byte.
    pub record: String,
    /// Sibling hashes from the leaf up, hex.
    pub hashes: Vec<String>,
    /// The checkpoint it proves against.
    pub checkpoint: String,
    /// The key that verifies the checkpoint.
    pub verifier_key: String,
}

/// Prove that a record is in the log
///
/// Needs `audit.read`.
#[utoipa::path(get, path = "/api/v1/audit/records/{id}/proof", tag = "audit", params(ById),
    responses((status = 200, description = "The proof (RFC 9162 section 2.1.3).", body = InclusionProof)))]
async fn prove(State(app): State<App>, by: ById, Params(NoParams): Params<NoParams>) -> Result<Json<InclusionProof>> {
    let request = proto::ProveInclusionRequest { entry_id: by.id };
    let answer = app.ports.records().prove_inclusion(request).await?.into_inner();
    Ok(Json(InclusionProof {
        index: answer.index,
        record: answer.record_json,
        hashes: answer.hashes,
        checkpoint: answer.checkpoint,
        verifier_key: answer.verifier_key,
    }))
}

/// Since when.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OldSize {
    /// The size of the earlier log.
    #[param(required = false, minimum = 0)]
    old_size: i64,
}

impl FromQuery for OldSize {
    fn from_query(query: &mut Query) -> Self {
        Self { old_size: query.number("old_size", 0, i64::MAX, 0) }
    }
}

/// A proof that a log only grew.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsistencyProof {
    /// Hashes in the order of RFC 9162 section 2.1.4, hex.
    pub hashes: Vec<String>,
    /// The checkpoint it proves against.
    pub checkpoint: String,
    /// The key that verifies the checkpoint.
    pub verifier_key: String,
}

/// Prove that the log only grew
///
/// Needs `audit.read`.
#[utoipa::path(get, path = "/api/v1/audit/consistency", tag = "audit", params(OldSize),
    responses((status = 200, description = "The proof (RFC 9162 section 2.1.4).", body = ConsistencyProof)))]
async fn consistency(State(app): State<App>, Params(since): Params<OldSize>) -> Result<Json<ConsistencyProof>> {
    let request = proto::ProveConsistencyRequest { old_size: since.old_size };
    let answer = app.ports.records().prove_consistency(request).await?.into_inner();
    Ok(Json(ConsistencyProof {
        hashes: answer.hashes,
        checkpoint: answer.checkpoint,
        verifier_key: answer.verifier_key,
    }))
}

/// Where an export begins.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FromIndex {
    /// The first index wanted.
    #[param(required = false, minimum = 0)]
    from: i64,
}

impl FromQuery for FromIndex {
    fn from_query(query: &mut Query) -> Self {
        Self { from: query.number("from", 0, i64::MAX, 0) }
    }
}

/// Export the log
///
/// One line a record, byte for byte as it was hashed; the last line is `{"checkpoint": …, "verifier_key": …}` and covers
/// every record before it. An export without that line is not whole. `runwarden audit verify` takes it as it is. Needs
/// `audit.read`.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", params(FromIndex),
    responses((status = 200, description = "The records and their checkpoint.", body = String, content_type = "application/x-ndjson")))]
async fn export(State(app): State<App>, Params(begin): Params<FromIndex>) -> Result<Response> {
    let request = proto::ExportRecordsRequest { from_index: begin.from };
    let exported = app.ports.exports().export_records(request).await;
    let mut exported = exported.map_err(refused)?.into_inner();
    // The first piece is awaited, so that a refusal is a problem and not a broken body.
    let first = exported.message().await.map_err(refused)?;
    let body = sse::body(&app.trust, Ending::BreakOff, async move |pieces| {
        if let Err(Failed) = copy(first, exported, &pieces).await {
            pieces.break_off();
        }
    });
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let name = HeaderValue::from_static("attachment; filename=\"audit.ndjson\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The service names the parameter by its own name.
fn refused(status: Status) -> Problem {
    Problem::from(status).with_pointers(|pointer| pointer.replace("/from_index", "/from"))
}

struct Failed;

async fn copy(
    first: Option<proto::ExportRecordsResponse>,
    mut exported: Streaming<proto::ExportRecordsResponse>,
    pieces: &Pieces,
) -> Result<(), Failed> {
    let mut next = first;
    while let Some(piece) = next {
        if let Err(Gone) = pieces.send(line(piece)).await {
            return Ok(());
        }
        next = exported.message().await.map_err(|status| {
            tracing::warn!(code = ?status.code(), "an export ended early");
            Failed
        })?;
    }
    Ok(())
}

fn line(piece: proto::ExportRecordsResponse) -> String {
    use proto::export_records_response::Piece;
    match piece.piece {
        Some(Piece::RecordJson(record)) => record + "\n",
        Some(Piece::Checkpoint(checkpoint)) => {
            json!({"checkpoint": checkpoint, "verifier_key": piece.verifier_key}).to_string() + "\n"
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{line, proto};
    use proto::export_records_response::Piece;

    #[test]
    fn records_are_exported_byte_for_byte_and_the_checkpoint_last() {
        let record = r#"{"action":"job.submit","index":0}"#;
        let piece =
            proto::ExportRecordsResponse { piece: Some(Piece::RecordJson(record.into())), ..Default::default() };
        assert_eq!(line(piece), format!("{record}\n"));
        let piece = proto::ExportRecordsResponse {
            piece: Some(Piece::Checkpoint("log\n1\nabc\n\n— log x\n".into())),
            verifier_key: "log+1+k".into(),
        };
        let text = line(piece);
        assert_eq!(text.lines().count(), 1, "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["verifier_key"], "log+1+k");
    }
}
