//! `runwarden.audit.v1` over gRPC: the only place here that knows tonic.

mod append_entries;
mod compare_heads;
mod convert;
mod error;
mod export_records;
mod get_checkpoint;
mod list_records;
mod prove_consistency;
mod prove_inclusion;

use futures::stream::BoxStream;
use runwarden_kit::permission::Permission;
use runwarden_kit::seats::{CallerLimits, CallerSeats};
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{ErrorReason, rpc};
use runwarden_proto::audit::v1::audit_service_server::{AuditService, AuditServiceServer};
use runwarden_proto::audit::v1::{
    AppendEntriesRequest, AppendEntriesResponse, CompareHeadsRequest, CompareHeadsResponse, ExportRecordsRequest,
    ExportRecordsResponse, GetCheckpointRequest, GetCheckpointResponse, ListRecordsRequest, ListRecordsResponse,
    ProveConsistencyRequest, ProveConsistencyResponse, ProveInclusionRequest, ProveInclusionResponse,
};
use tonic::{Request, Response, Status};

use crate::log::{Journal, Reader};
use crate::record::PLATFORM;

/// The permission to read a log. A log is read as a whole or not at all, so it must be held for the whole tenant.
const READ: Permission = Permission::AuditRead;
/// As many of the largest entries as one request may bring, and some.
const MOST_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Answers the RPCs.
#[derive(Debug, Clone)]
pub(crate) struct AuditRpc {
    journal: Journal,
    reader: Reader,
    exports: CallerSeats,
    searches: CallerSeats,
}

/// Exports at once. Each reads a log from beginning to end.
const EXPORTS: CallerLimits = CallerLimits { total: 64, tenant: 8, principal: 4 };
/// Searches at once. Each may look at many records.
const SEARCHES: CallerLimits = CallerLimits { total: 128, tenant: 16, principal: 8 };

impl AuditRpc {
    /// Appends through this journal and reads with this reader.
    #[must_use]
    pub(crate) fn new(journal: Journal, reader: Reader) -> Self {
        let exports = CallerSeats::new("exports", ErrorReason::TooManyStreams, EXPORTS);
        let searches = CallerSeats::new("searches", ErrorReason::RateLimited, SEARCHES);
        Self { journal, reader, exports, searches }
    }

    /// The generated server around it.
    #[must_use]
    pub(crate) fn into_server(self) -> AuditServiceServer<Self> {
        AuditServiceServer::new(self).max_decoding_message_size(MOST_REQUEST_BYTES)
    }
}

/// The log that a caller may read: that of the tenant it acts for, or the platform's.
fn readable_log<T>(request: &Request<T>) -> Result<String, Status> {
    let caller = rpc::caller(request)?;
    caller.require(READ, &caller.acting_scope())?;
    Ok(caller.tenant().map_or(PLATFORM, TenantId::as_str).to_owned())
}

#[tonic::async_trait]
impl AuditService for AuditRpc {
    type ExportRecordsStream = BoxStream<'static, Result<ExportRecordsResponse, Status>>;

    async fn append_entries(
        &self,
        request: Request<AppendEntriesRequest>,
    ) -> Result<Response<AppendEntriesResponse>, Status> {
        let peer = rpc::peer(&request)?;
        Ok(Response::new(append_entries::handle(&self.journal, peer.name(), request.into_inner()).await?))
    }

    async fn compare_heads(
        &self,
        request: Request<CompareHeadsRequest>,
    ) -> Result<Response<CompareHeadsResponse>, Status> {
        let peer = rpc::peer(&request)?;
        Ok(Response::new(compare_heads::handle(&self.journal, peer.name(), &request.into_inner()).await?))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let log = readable_log(&request)?;
        let _seat = self.searches.take(&*rpc::caller(&request)?)?;
        Ok(Response::new(list_records::handle(&self.reader, &log, request.into_inner()).await?))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let log = readable_log(&request)?;
        Ok(Response::new(get_checkpoint::handle(&self.reader, &log).await?))
    }

    async fn prove_inclusion(
        &self,
        request: Request<ProveInclusionRequest>,
    ) -> Result<Response<ProveInclusionResponse>, Status> {
        let log = readable_log(&request)?;
        Ok(Response::new(prove_inclusion::handle(&self.reader, &log, &request.into_inner()).await?))
    }

    async fn prove_consistency(
        &self,
        request: Request<ProveConsistencyRequest>,
    ) -> Result<Response<ProveConsistencyResponse>, Status> {
        let log = readable_log(&request)?;
        Ok(Response::new(prove_consistency::handle(&self.reader, &log, &request.into_inner()).await?))
    }

    async fn export_records(
        &self,
        request: Request<ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        let log = readable_log(&request)?;
        let seat = self.exports.take(&*rpc::caller(&request)?)?;
        let stream = export_records::handle(self.reader.clone(), log, seat, &request.into_inner()).await?;
        Ok(Response::new(stream))
    }
}

#[cfg(test)]
mod tests;
