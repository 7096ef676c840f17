//! `ExportRecords`: the log as it was hashed, and at the end the checkpoint that covers it.

use std::collections::VecDeque;

use futures::stream::{self, BoxStream, StreamExt as _};
use runwarden_kit::seats::CallerSeat;
use runwarden_kit::{Error, Result};
use runwarden_proto::audit::v1::export_records_response::Piece;
use runwarden_proto::audit::v1::{ExportRecordsRequest, ExportRecordsResponse};
use tonic::Status;

use super::error::read_failure;
use crate::log::{LogError, Reader, SignedCheckpoint};

/// How many records are read at once.
const AT_ONCE: u64 = 128;

/// Where an export is.
struct Export {
    reader: Reader,
    log: String,
    next: u64,
    read: VecDeque<String>,
    /// Taken when it has been sent: then the export is over.
    checkpoint: Option<SignedCheckpoint>,
    _seat: CallerSeat,
}

pub(super) async fn handle(
    reader: Reader,
    log: String,
    seat: CallerSeat,
    request: &ExportRecordsRequest,
) -> Result<BoxStream<'static, Result<ExportRecordsResponse, Status>>> {
    let from = u64::try_from(request.from_index).map_err(|_| Error::invalid("/from_index", "must not be negative"))?;
    // The checkpoint is chosen first and the records up to its size sent: what is written meanwhile is not among them.
    let checkpoint = reader.checkpoint(&log).await.map_err(read_failure)?;
    if from > checkpoint.checkpoint.size {
        return Err(Error::invalid("/from_index", "is beyond the end of the log"));
    }
    let export = Export { reader, log, next: from, read: VecDeque::new(), checkpoint: Some(checkpoint), _seat: seat };
    Ok(stream::try_unfold(export, |mut export| async move {
        Ok(export.piece().await.map_err(Status::from)?.map(|piece| (piece, export)))
    })
    .boxed())
}

impl Export {
    async fn piece(&mut self) -> Result<Option<ExportRecordsResponse>> {
        let Some(SignedCheckpoint { checkpoint, .. }) = &self.checkpoint else { return Ok(None) };
        let size = checkpoint.size;
        if self.read.is_empty() && self.next < size {
            let range = self.next..size.min(self.next + AT_ONCE);
            let lines = self.reader.lines(&self.log, range.clone()).await.map_err(read_failure)?;
            if lines.len() as u64 != range.end - range.start {
                let why = "records are missing".to_owned();
                return Err(read_failure(LogError::Damaged { tenant: self.log.clone(), why }));
            }
            self.next = range.end;
            self.read = lines.into();
        }
        if let Some(line) = self.read.pop_front() {
            let piece = Some(Piece::RecordJson(line));
            return Ok(Some(ExportRecordsResponse { piece, verifier_key: String::new() }));
        }
        Ok(self.checkpoint.take().map(|signed| ExportRecordsResponse {
            piece: Some(Piece::Checkpoint(signed.note)),
            verifier_key: signed.verifier.to_string(),
        }))
    }
}
