//! `ListRecords`: a page of records, newest first.

use prost::Message as _;
use runwarden_kit::Result;
use runwarden_kit::page::{self, Listing};
use runwarden_proto::audit::v1::{self as proto, ListRecordsRequest, ListRecordsResponse};

use super::convert::{record_to_wire, time_from_wire};
use super::error::read_failure;
use crate::log::Reader;
use crate::store::{ActionFilter, Filter};

/// A page ends before it grows beyond what a gRPC client takes by default.
const MOST_PAGE_BYTES: usize = 3 * 1024 * 1024;

pub(super) async fn handle(reader: &Reader, log: &str, request: ListRecordsRequest) -> Result<ListRecordsResponse> {
    let size = page::size(request.page_size)?;
    let listing = listing(log, &request);
    let below = listing.start(&request.page_token, index)?;
    let filter = filter(request)?;
    let found = reader.list(log, &filter, below, size).await.map_err(read_failure)?;
    let mut next_below = found.next_below;
    let mut records: Vec<proto::Record> = Vec::with_capacity(found.records.len());
    let mut bytes = 0;
    for (record, leaf) in found.records {
        let index = record.index;
        let record = record_to_wire(record, &leaf)?;
        bytes += record.encoded_len();
        if bytes > MOST_PAGE_BYTES && !records.is_empty() {
            next_below = Some(index + 1);
            break;
        }
        records.push(record);
    }
    let next_page_token = next_below.map(|below| listing.token(&below.to_string())).unwrap_or_default();
    Ok(ListRecordsResponse { records, next_page_token })
}

/// What a page token is good for: this log, looked through with these filters.
pub(super) fn listing(log: &str, request: &ListRecordsRequest) -> Listing {
    Listing::of("records", Some(log))
        .filter("job", &request.job)
        .filter("principal", &request.principal)
        .filter("action", &request.action)
        .filter_time("after", request.after.as_ref())
        .filter_time("before", request.before.as_ref())
}

/// Below which index the page before said to go on.
fn index(last: &str) -> Option<u64> {
    last.parse::<u64>().ok().filter(|index| i64::try_from(*index).is_ok())
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
