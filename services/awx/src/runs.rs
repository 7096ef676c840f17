//! Looking up runs by their ids: many at once, one in full, and one of which nothing is known but its id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

use super::address::Path;
use super::http::{Fetched, Query};
use super::list::List;
use super::reading::Reading;
use super::row::{OfRun, RunRow};
use super::run::RunRef;
use super::summary::{RunSummary, Told, ToldKind};
use super::tree::Picked;
use super::{AwxError, Client, ClientLimits, read};

/// How many runs one request asks for: AWX answers at most 200 rows a page. What cannot be had in one piece is asked
/// for in smaller ones.
const PIECES: [usize; 4] = [200, 50, 10, 1];
/// The longest address, in bytes: proxies refuse those above 8 kB.
const LONGEST_ADDRESS: usize = 7000;
/// What an id takes up in an address besides its digits: an encoded comma.
const COMMA: usize = 3;
/// How many requests beyond one for each piece a look-up may take.
const MOST_EXTRA: usize = 512;
/// After how many failures over one run after the other it is the controller that is broken and not the runs: one that
/// reported nothing yet, and one that reported others before.
const BROKEN: [usize; 2] = [3, 20];

/// What a batched look-up found. Every run asked for is in exactly one of these.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The runs there are.
    pub rows: Vec<RunSummary>,
    /// The runs that are missing from a complete answer: deleted, not visible to our account, or of another kind now,
    /// which means that the controller was set up again.
    pub missing: Vec<i64>,
    /// The runs the controller could not report. Nothing can be concluded about them.
    pub unreadable: Vec<i64>,
}

impl Client {
    /// Looks up the states of runs of any kind, one request per 200. A run that the controller cannot report holds up
    /// no other.
    pub async fn runs(&self, runs: &[RunRef]) -> Result<Runs, AwxError> {
        let wanted: BTreeMap<i64, RunRef> = runs.iter().filter(|run| run.id > 0).map(|run| (run.id, *run)).collect();
        let mut look = LookUp::new(self, wanted.into_values());
        while let Some(batch) = look.waiting.pop() {
            look.ask(batch).await?;
        }
        match look.failed {
            Some(error) if look.answers == 0 => Err(error),
            _ => Ok(look.found),
        }
    }

    /// Reads one run in full.
    pub async fn run(&self, run: RunRef) -> Result<RunRow, AwxError> {
        let (row, _) = self.http.reading().pick::<OfRun>(&run.path(), &Query::new()).await?;
        RunRow::read(&row).filter(|row| row.run == run).ok_or_else(|| AwxError::bad("a different run than requested"))
    }

    /// Finds a run of whatever kind by its id alone. `None`: no such run can come from a launch, or our account may not
    /// see it.
    pub async fn find(&self, id: i64) -> Result<Option<RunRow>, AwxError> {
        if id <= 0 {
            return Ok(None);
        }
        let query: Query = vec![("id", id.to_string()), ("page_size", "1".into())];
        let list: List<Picked<OfRun>> = self.http.reading().page(&Path::to("unified_jobs"), &query).await?;
        let last = list.is_last();
        let Some(Picked { row, .. }) = list.into_rows().into_iter().next() else {
            return if last { Ok(None) } else { Err(AwxError::bad("a list that continues without any items")) };
        };
        let mut told = Told::default();
        if told.read(&row).is_err() || told.id != Some(id) || told.kind == ToldKind::None {
            return Err(AwxError::bad("a different run than requested"));
        }
        Ok(RunRow::read(&row))
    }

    /// Whether a run is there that was made at this moment, also if it cannot be read.
    ///
    /// # Errors
    /// If the controller reports nothing about it.
    pub async fn is_there(&self, run: RunRef, created: OffsetDateTime) -> Result<bool, AwxError> {
        match self.made_within(run, created, created).await {
            Err(error @ AwxError::ServerError { status: 500 }) => {
                // There may be something to show that cannot be shown; or the controller fails over everything. Of a
                // time that no run can have it has nothing to show.
                let (never, before) = (created, created - Duration::from_secs(1));
                if self.made_within(run, never, before).await? { Err(error) } else { Ok(true) }
            }
            told => told,
        }
    }

    /// Whether a run is there that was made from one moment to another.
    async fn made_within(&self, run: RunRef, from: OffsetDateTime, to: OffsetDateTime) -> Result<bool, AwxError> {
        let mut query = query(&[run]);
        query.extend([("created__gte", read::rfc3339(from)?), ("created__lte", read::rfc3339(to)?)]);
        match self.http.reading().look(&Path::to("unified_jobs"), &query, List::<Told>::read).await {
            Ok(list) => Ok(list.rows().iter().any(|row| row.id == Some(run.id))),
            Err(AwxError::TooLarge { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a run with a greater id than this that was made by this moment, of those our account may see.
    ///
    /// # Errors
    /// If the controller cannot be read.
    pub async fn goes_beyond(&self, id: i64, by: OffsetDateTime) -> Result<bool, AwxError> {
        let mut query: Query = vec![("id__gt", id.to_string()), ("created__lte", read::rfc3339(by)?)];
        query.extend([("order_by", "id".into()), ("page_size", "1".into())]);
        match self.http.reading().look(&Path::to("unified_jobs"), &query, List::<Told>::read).await {
            Ok(list) => Ok(!list.rows().is_empty()),
            Err(AwxError::TooLarge { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether all a run printed has arrived. After a crash of the controller that may never come true.
    pub async fn events_finished(&self, run: RunRef) -> Result<bool, AwxError> {
        let row = self.run(run).await?;
        Ok(row.event_processing_finished.unwrap_or(row.status.is_end()))
    }
}

/// A look-up under way.
struct LookUp<'c> {
    reading: Reading<'c>,
    limits: &'c ClientLimits,
    /// What is still to be asked for; the last comes first.
    waiting: Vec<Vec<RunRef>>,
    left: usize,
    found: Runs,
    /// How many requests were answered with rows, or with an empty list.
    answers: usize,
    /// How the controller failed on single runs, and how often since its last result.
    failed: Option<AwxError>,
    failures: usize,
}

impl<'c> LookUp<'c> {
    fn new(client: &'c Client, wanted: impl Iterator<Item = RunRef>) -> Self {
        let room = LONGEST_ADDRESS
            .saturating_sub(client.http.address().at(&Path::to("unified_jobs"), &query(&[])).as_str().len());
        let mut waiting: Vec<Vec<RunRef>> = Vec::new();
        let (mut batch, mut length) = (Vec::new(), 0);
        for run in wanted {
            let more = run.id.to_string().len() + COMMA;
            if !batch.is_empty() && (batch.len() == PIECES[0] || length + more > room) {
                waiting.push(std::mem::take(&mut batch));
                length = 0;
            }
            batch.push(run);
            length += more;
        }
        waiting.push(batch);
        waiting.retain(|batch| !batch.is_empty());
        waiting.reverse();
        let left = waiting.len() + MOST_EXTRA;
        let (reading, limits) = (client.http.reading(), client.http.limits());
        Self { reading, limits, waiting, left, found: Runs::default(), answers: 0, failed: None, failures: 0 }
    }

    async fn ask(&mut self, batch: Vec<RunRef>) -> Result<(), AwxError> {
        let Some(left) = self.left.checked_sub(1).filter(|_| self.reading.has_room()) else {
            self.found.unreadable.extend(batch.iter().map(|run| run.id));
            return Ok(());
        };
        self.left = left;
        // Before a single run counts as unreadable it may be larger than any other answer: little of it is kept.
        let limit = if batch.len() > 1 { self.limits.answer_bytes } else { self.limits.run_bytes };
        match self.reading.fetch(&Path::to("unified_jobs"), &query(&batch), limit).await {
            Ok(Fetched::Whole(body, _)) => match List::read(&body, &mut { self.limits.kept_bytes }) {
                Ok(list) => self.take(batch, list),
                Err(AwxError::TooLarge { .. }) => {
                    self.answered();
                    self.in_smaller_pieces(batch);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Ok(Fetched::TooLarge(_)) => {
                self.answered();
                self.in_smaller_pieces(batch);
                Ok(())
            }
            // AWX answers nothing at all when it cannot show one of them; a proxy may take shorter addresses only.
            Err(error @ (AwxError::ServerError { status: 500 } | AwxError::InFront { status: 414 })) => {
                if batch.len() == 1 {
                    self.failures += 1;
                    if self.failures >= if self.answers == 0 { BROKEN[0] } else { BROKEN[1] } {
                        return Err(error);
                    }
                    self.failed = Some(error);
                }
                self.in_smaller_pieces(batch);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn answered(&mut self) {
        self.answers += 1;
        self.failures = 0;
    }

    fn take(&mut self, batch: Vec<RunRef>, list: List<Told>) -> Result<(), AwxError> {
        self.answered();
        let last = list.is_last();
        let mut wanted: BTreeMap<i64, RunRef> = batch.into_iter().map(|run| (run.id, run)).collect();
        let all: BTreeSet<i64> = wanted.keys().copied().collect();
        let mut nameless = false;
        let mut told_nothing = true;
        for row in list.into_rows() {
            let Some(id) = row.id else {
                nameless = true;
                continue;
            };
            if !all.contains(&id) {
                return Err(AwxError::bad("a run that was not requested"));
            }
            told_nothing = false;
            // The first entry counts if a run is listed twice.
            let Some(run) = wanted.remove(&id) else { continue };
            match (row.kind, row.summary()) {
                (ToldKind::Run(_), Some(summary)) if summary.run == run => self.found.rows.push(summary),
                (ToldKind::Run(_) | ToldKind::Another, _) => self.found.missing.push(id),
                (ToldKind::None, _) => self.found.unreadable.push(id),
            }
        }
        let rest: Vec<RunRef> = wanted.into_values().collect();
        if rest.is_empty() {
            return Ok(());
        }
        if nameless {
            // Which of them it is shows when they are asked for one by one.
            self.in_smaller_pieces(rest);
        } else if last {
            self.found.missing.extend(rest.iter().map(|run| run.id));
        } else if told_nothing {
            return Err(AwxError::bad("a list that continues without any items"));
        } else {
            // A controller may answer fewer rows a page than asked for: only a last page proves absence.
            self.waiting.push(rest);
        }
        Ok(())
    }

    fn in_smaller_pieces(&mut self, batch: Vec<RunRef>) {
        let Some(size) = PIECES.into_iter().find(|size| *size < batch.len()) else {
            self.found.unreadable.extend(batch.iter().map(|run| run.id));
            return;
        };
        self.waiting.extend(batch.chunks(size).rev().map(<[RunRef]>::to_vec));
    }
}

fn query(batch: &[RunRef]) -> Query {
    let ids: Vec<String> = batch.iter().map(|run| run.id.to_string()).collect();
    vec![("id__in", ids.join(",")), ("order_by", "id".into()), ("page_size", PIECES[0].to_string())]
}
