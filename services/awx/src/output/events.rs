//! Reading a job's events in the order of their own counters. They arrive out of order, and pages may be too large.

use super::taking::{Event, Taking, Took};
use crate::AwxError;
use crate::http::Query;
use crate::list::List;
use crate::reading::Reading;
use crate::run::RunRef;
use crate::tree::{Picked, Wanted};

/// How many events a page has, going down when it is too large to be read.
const PAGES: [usize; 3] = [200, 20, 1];
/// How many requests one reading may take.
const MOST_REQUESTS: usize = 50;

/// Where reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// There is nothing more now.
    AtEnd,
    /// Before events whose predecessors have not arrived yet.
    AtGap,
    /// There is more than was to be taken.
    Within,
}

/// A row of an event.
enum OfEvent {}

impl Wanted for OfEvent {
    fn wants(key: &str) -> bool {
        ["counter", "start_line", "end_line", "stdout"].contains(&key)
    }
}

/// Takes events from where `taking` is. What it took before an error is taken.
pub(super) async fn take(reading: &Reading<'_>, run: RunRef, taking: &mut Taking) -> Result<Stopped, AwxError> {
    let mut page = 0;
    let path = run.path().then("job_events");
    for _ in 0..MOST_REQUESTS {
        if !reading.has_room() {
            return Ok(Stopped::Within);
        }
        let size = PAGES.get(page).copied().unwrap_or(1);
        let before = taking.at.counter;
        let query: Query = vec![
            ("counter__gt", before.to_string()),
            ("order_by", "counter".into()),
            ("no_truncate", "true".into()),
            ("page_size", size.to_string()),
        ];
        let list = match reading.look_alone::<List<Picked<OfEvent>>>(&path, &query, size == 1, List::read).await {
            Ok(list) => list,
            Err(AwxError::TooLarge { .. }) if page + 1 < PAGES.len() => {
                page += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        for Picked { row, .. } in list.rows() {
            let Some(event) = Event::read(row) else { continue };
            match taking.event(&event) {
                Took::All => {}
                Took::Gap => return Ok(Stopped::AtGap),
                Took::Part => return Ok(Stopped::Within),
            }
        }
        if !list.has_next() || taking.at.counter == before {
            return Ok(Stopped::AtEnd);
        }
    }
    Ok(Stopped::Within)
}
