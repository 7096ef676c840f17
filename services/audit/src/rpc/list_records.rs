//! `ListRecords`: a page of records, newest first.

use prost::Message as _;
use runwarden_kit::{Error, Result, page};
use runwarden_proto::audit::v1::{ListRecordsRequest, ListRecordsResponse};

use super::convert::{record_to_wire, time_from_wire};
use super::error::read_failure;
use crate::log::Reader;
use crate::store::{ActionFilter, Filter};

/// A page ends before it grows beyond what a gRPC client takes by default.
const MOST_PAGE_BYTES: usize = 3 * 1024 * 1024;

pub(super) async fn handle(reader: &Reader, log: &str, request: ListRecordsRequest) -> Result<ListRecordsResponse> {
    let size = page::size(request.page_size)?;
    let below = below(&request.page_token)?;
    let filter = filter(request)?;
    // One more than asked for tells whether there is another page.
    let mut found = reader.list(log, &filter, below, size + 1).await.map_err(read_failure)?;
    let mut more = found.len() > size;
    found.truncate(size);
    let mut records = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for (record, leaf) in found {
        let record = record_to_wire(record, &leaf)?;
        bytes += record.encoded_len();
        if bytes > MOST_PAGE_BYTES && !records.is_empty() {
            more = true;
            break;
        }
        records.push(record);
    }
    let next_page_token = match records.last() {
        Some(last) if more => page::token(&last.index.to_string()),
        _ => String::new(),
    };
    Ok(ListRecordsResponse { records, next_page_token })
}

/// The index that the page before ended with.
fn below(token: &str) -> Result<Option<u64>> {
    let Some(last) = page::after(token)? else { return Ok(None) };
    let index = last.parse::<u64>().ok().filter(|index| i64::try_from(*index).is_ok());
    index.map(Some).ok_or_else(|| Error::invalid("/page_token", "is not a token of an earlier page"))
}

fn filter(request: ListRecordsRequest) -> Result<Filter> {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Filter {
        job: given(request.job),
        principal: given(request.principal),
        action: given(request.action).map(|action| match action.strip_suffix(".*") {
            Some(noun) => ActionFilter::Noun(noun.to_owned()),
            None => ActionFilter::Is(action),
        }),
        after: time_from_wire("/after", request.after)?,
        before: time_from_wire("/before", request.before)?,
    })
}
