//! Looking for the runs that a launch without an answer may have become.

use time::OffsetDateTime;

use super::address::Path;
use super::http::{Fetched, Query};
use super::list::List;
use super::row::{OfRun, RunRow};
use super::summary::{RunSummary, Told, ToldKind};
use super::tree::Picked;
use super::{AwxError, Client, read};

/// How many rows a page has, going down when it is too large to be read.
const PAGES: [usize; 4] = [200, 50, 10, 1];
/// How many requests one search may take.
const MOST_REQUESTS: usize = 400;
/// If more than this has passed since the attempt was sent, the window is too large to judge.
const MOST_RUNS: usize = 10_000;
/// The launch type of runs launched through the API.
pub const BY_LAUNCH: &str = "manual";

/// What an unresolved attempt may have become.
#[derive(Clone, Debug)]
pub struct Search {
    /// The template it launched.
    pub template: i64,
    /// Our own account.
    pub account: i64,
    /// When it was sent, less the clocks' difference: by our clock or the controller's, whichever is behind. A launch
    /// that committed late carries an early time.
    pub created_from: OffsetDateTime,
    /// The beginning of the search: earlier for runs that are identified by more than their time. What cannot be read
    /// and is earlier than `created_from` is left out, so that it does not make a search incomplete.
    pub looked_from: OffsetDateTime,
}

/// A run that a search found. What it was launched with may be long and is not kept; what was noted of it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting<N> {
    /// How it is, without the controller's words.
    pub summary: RunSummary,
    /// What was noted of it.
    pub note: N,
}

impl<N> std::ops::Deref for Sighting<N> {
    type Target = RunSummary;

    fn deref(&self) -> &RunSummary {
        &self.summary
    }
}

/// What a search found, by id.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Found<N> {
    /// All there was at that moment.
    All(Vec<Sighting<N>>),
    /// There are, or may be, others: that a run is not among these proves nothing.
    Part {
        /// The runs that could be read.
        rows: Vec<Sighting<N>>,
        /// Runs that are there and could not be read.
        unreadable: Vec<i64>,
        /// Whether there may be more besides the unreadable ones.
        cut: bool,
    },
}

impl<N> Found<N> {
    /// The runs that could be read.
    #[must_use]
    pub fn rows(&self) -> &[Sighting<N>] {
        match self {
            Self::All(rows) | Self::Part { rows, .. } => rows,
        }
    }

    /// What it lacks, in words; `None` if nothing.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        match self {
            Self::All(_) => None,
            Self::Part { cut: true, .. } => {
                Some("it has more runs in the time in question than Runwarden reads".to_owned())
            }
            Self::Part { unreadable, .. } => {
                let ids: Vec<String> = unreadable.iter().take(5).map(i64::to_string).collect();
                Some(format!("{} of its runs cannot be read, such as {}", unreadable.len(), ids.join(", ")))
            }
        }
    }
}

impl Client {
    /// Finds every run our account launched from a template since a time. Runs of any kind: a sliced template becomes a
    /// workflow. One look proves nothing: a launch may still commit, and with an id lower than others seen.
    ///
    /// `note` looks at each run while all of it is there; only what it answers is kept.
    pub async fn search<N>(
        &self,
        search: &Search,
        mut note: impl FnMut(&RunRow) -> N + Send,
    ) -> Result<Found<N>, AwxError> {
        let mut finding = Finding { after: 0, rows: Vec::new(), unreadable: Vec::new() };
        let reading = self.http.reading();
        let mut page = 0;
        for _ in 0..MOST_REQUESTS {
            let Some(size) = PAGES.get(page) else { break };
            if !reading.has_room() {
                break;
            }
            let limit = self.http.limits().answer_bytes;
            let query = search.query(finding.after, *size)?;
            let too_large = match reading.fetch(&Path::to("unified_jobs"), &query, limit).await? {
                Fetched::Whole(body, _) => match List::read(&body, &mut { self.http.limits().kept_bytes }) {
                    Ok(list) => {
                        if finding.take(search, list, &mut note)? {
                            return Ok(finding.all());
                        }
                        if finding.rows.len() + finding.unreadable.len() > MOST_RUNS {
                            break;
                        }
                        // A page of the next size is likely to be read, too.
                        if body.len() < limit / 8 {
                            page = page.saturating_sub(1);
                        }
                        continue;
                    }
                    Err(AwxError::TooLarge { .. }) => List::first_of(&body),
                    Err(error) => return Err(error),
                },
                Fetched::TooLarge(beginning) => List::first_of(&beginning),
            };
            if page + 1 < PAGES.len() {
                page += 1;
                continue;
            }
            let too_large: Option<Told> = too_large;
            let Some((told, id)) = too_large.and_then(|told| told.id.map(|id| (told, id))) else { break };
            finding.pass(id)?;
            if search.may_be(&told) && search.is_in_time(&told) {
                finding.unreadable.push(id);
            }
            page = 0;
        }
        Ok(finding.cut())
    }
}

impl Search {
    fn query(&self, after: i64, size: usize) -> Result<Query, AwxError> {
        let from = read::rfc3339(self.looked_from)?;
        Ok(vec![
            ("unified_job_template", self.template.to_string()),
            ("created_by", self.account.to_string()),
            ("launch_type", BY_LAUNCH.into()),
            ("created__gte", from),
            // Beginning after an id keeps the pages whole while rows come and go.
            ("id__gt", after.to_string()),
            ("order_by", "id".into()),
            ("page_size", size.to_string()),
        ])
    }

    /// Whether a row may be what is searched for, in case a filter was ignored on the way.
    fn may_be(&self, told: &Told) -> bool {
        told.kind != ToldKind::Another
            && told.template.is_none_or(|template| template == self.template)
            && told.created.is_none_or(|created| created >= self.looked_from)
    }

    /// Whether an unreadable row may be what is searched for.
    fn is_in_time(&self, told: &Told) -> bool {
        told.created.is_none_or(|created| created >= self.created_from)
    }

    fn may_be_run(&self, row: &RunRow) -> bool {
        row.launched_by.is_none_or(|by| by == self.account)
            && (row.launch_type.is_empty() || row.launch_type == BY_LAUNCH)
    }
}

/// A search under way.
struct Finding<N> {
    after: i64,
    rows: Vec<Sighting<N>>,
    unreadable: Vec<i64>,
}

impl<N> Finding<N> {
    /// Takes a page; true if it was the last.
    fn take(
        &mut self,
        search: &Search,
        list: List<Picked<OfRun>>,
        note: &mut impl FnMut(&RunRow) -> N,
    ) -> Result<bool, AwxError> {
        let last = list.is_last();
        let page = list.into_rows();
        if page.is_empty() && !last {
            return Err(AwxError::bad("a list that continues without any items"));
        }
        for Picked { row: value, .. } in page {
            let mut told = Told::default();
            let id = told.read(&value).ok().and(told.id).ok_or_else(|| AwxError::bad("a run without id"))?;
            self.pass(id)?;
            if !search.may_be(&told) {
                continue;
            }
            match RunRow::read(&value) {
                Some(row) if search.may_be_run(&row) => {
                    let note = note(&row);
                    self.rows.push(Sighting { summary: row.summary.without_words(), note });
                }
                None if search.is_in_time(&told) => self.unreadable.push(id),
                Some(_) | None => {}
            }
        }
        Ok(last)
    }

    /// Goes past an id: it can neither come twice nor take the search back.
    fn pass(&mut self, id: i64) -> Result<(), AwxError> {
        if id <= self.after {
            return Err(AwxError::bad("a list that is not sorted"));
        }
        self.after = id;
        Ok(())
    }

    fn all(self) -> Found<N> {
        if self.unreadable.is_empty() {
            Found::All(self.rows)
        } else {
            Found::Part { rows: self.rows, unreadable: self.unreadable, cut: false }
        }
    }

    fn cut(self) -> Found<N> {
        Found::Part { rows: self.rows, unreadable: self.unreadable, cut: true }
    }
}
