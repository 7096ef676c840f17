//! Looking for the runs that a launch without an answer may have become.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::address::Path;
use super::http::{Fetched, Query};
use super::list::{List, Row as _};
use super::row::RunRow;
use super::summary::{Told, ToldKind};
use super::{AwxError, Client};

/// How many rows a page has, going down when it is too large to be read.
const PAGES: [usize; 4] = [200, 50, 10, 1];
/// How many requests one search may take.
const MOST_REQUESTS: usize = 400;
/// More than this since the attempt was sent is no window one can judge.
const MOST_RUNS: usize = 10_000;
/// The launch type of what was launched by a call of the API.
const BY_LAUNCH: &str = "manual";

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
}

/// What a search found, by id.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Found {
    /// All there was at that moment.
    All(Vec<RunRow>),
    /// There are, or may be, others: that a run is not among these proves nothing.
    Part {
        /// The runs that could be read.
        rows: Vec<RunRow>,
        /// Runs that are there and could not be read.
        unreadable: Vec<i64>,
        /// Whether there may be more besides the unreadable ones.
        cut: bool,
    },
}

impl Found {
    /// The runs that could be read.
    #[must_use]
    pub fn rows(&self) -> &[RunRow] {
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
                Some("it has more runs in the time in question than can be looked through".to_owned())
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
    pub async fn search(&self, search: &Search) -> Result<Found, AwxError> {
        let mut finding = Finding::default();
        let mut page = 0;
        for _ in 0..MOST_REQUESTS {
            let Some(size) = PAGES.get(page) else { break };
            let limit = self.http.limits().answer_bytes;
            let query = search.query(finding.after, *size)?;
            match self.http.fetch(&Path::to("unified_jobs"), &query, limit).await? {
                Fetched::Whole(body) => {
                    if finding.take(search, List::read(&body)?)? {
                        return Ok(finding.all());
                    }
                    if finding.rows.len() + finding.unreadable.len() > MOST_RUNS {
                        break;
                    }
                    // A page of the next size is likely to be read, too.
                    if body.len() < limit / 8 {
                        page = page.saturating_sub(1);
                    }
                }
                Fetched::TooLarge(_) if page + 1 < PAGES.len() => page += 1,
                Fetched::TooLarge(beginning) => {
                    let told: Option<Told> = List::first_of(&beginning);
                    let Some((told, id)) = told.and_then(|told| told.id.map(|id| (told, id))) else { break };
                    finding.pass(id)?;
                    if search.may_be(&told) {
                        finding.unreadable.push(id);
                    }
                    page = 0;
                }
            }
        }
        Ok(finding.cut())
    }
}

impl Search {
    fn query(&self, after: i64, size: usize) -> Result<Query, AwxError> {
        let from = self
            .created_from
            .to_offset(time::UtcOffset::UTC)
            .format(&Rfc3339)
            .map_err(|_| AwxError::bad("a time that cannot be written"))?;
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

    /// Whether a row may be what is searched for, should somebody on the way not have heeded what was asked.
    fn may_be(&self, told: &Told) -> bool {
        told.kind != ToldKind::Another
            && told.template.is_none_or(|template| template == self.template)
            && told.created.is_none_or(|created| created >= self.created_from)
    }

    fn may_be_run(&self, row: &RunRow) -> bool {
        row.launched_by.is_none_or(|by| by == self.account)
            && (row.launch_type.is_empty() || row.launch_type == BY_LAUNCH)
    }
}

/// A search under way.
#[derive(Default)]
struct Finding {
    after: i64,
    rows: Vec<RunRow>,
    unreadable: Vec<i64>,
}

impl Finding {
    /// Takes a page; true if it was the last.
    fn take(&mut self, search: &Search, list: List<Value>) -> Result<bool, AwxError> {
        let last = list.is_last();
        let page = list.into_rows();
        if page.is_empty() && !last {
            return Err(AwxError::bad("a list that goes on without telling anything"));
        }
        for value in page {
            let mut told = Told::default();
            let id = told.fill(&value).ok().and(told.id).ok_or_else(|| AwxError::bad("a run without id"))?;
            self.pass(id)?;
            if !search.may_be(&told) {
                continue;
            }
            match RunRow::read(&value) {
                Some(row) if search.may_be_run(&row) => self.rows.push(row),
                Some(_) => {}
                None => self.unreadable.push(id),
            }
        }
        Ok(last)
    }

    /// Goes past an id: it can neither come twice nor take the search back.
    fn pass(&mut self, id: i64) -> Result<(), AwxError> {
        if id <= self.after {
            return Err(AwxError::bad("a list that is not in order"));
        }
        self.after = id;
        Ok(())
    }

    fn all(self) -> Found {
        if self.unreadable.is_empty() {
            Found::All(self.rows)
        } else {
            Found::Part { rows: self.rows, unreadable: self.unreadable, cut: false }
        }
    }

    fn cut(self) -> Found {
        Found::Part { rows: self.rows, unreadable: self.unreadable, cut: true }
    }
}
