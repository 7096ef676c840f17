use std::collections::BTreeSet;

use super::address::Path;
use super::http::{Query, has_next, results};
use super::row::{RunRef, RunRow};
use super::{AwxError, Client};

/// AWX answers at most this many rows a page.
const MOST: usize = 200;

/// What a batched look-up found.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The runs there are.
    pub rows: Vec<RunRow>,
    /// The ids that were not among them: deleted, or not visible to our account.
    pub missing: Vec<i64>,
    /// The ids of runs whose rows cannot be read.
    pub unreadable: Vec<i64>,
}

impl Client {
    /// Looks up many runs of any kind, one request per 200.
    pub async fn runs(&self, ids: &[i64]) -> Result<Runs, AwxError> {
        let wanted: BTreeSet<i64> = ids.iter().copied().filter(|id| *id > 0).collect();
        let wanted: Vec<i64> = wanted.into_iter().collect();
        let mut found = Runs::default();
        // A stack of batches: one that is too large to answer is split.
        let mut batches: Vec<Vec<i64>> = wanted.chunks(MOST).rev().map(<[i64]>::to_vec).collect();
        while let Some(batch) = batches.pop() {
            match self.batch(&batch).await {
                Ok(Batch { rows, more }) => {
                    let seen: BTreeSet<i64> = rows.iter().map(|row| row.run.id).collect();
                    let rest: Vec<i64> = batch.iter().copied().filter(|id| !seen.contains(id)).collect();
                    if rest.len() == batch.len() && more {
                        return Err(AwxError::bad("a list that goes on without telling anything"));
                    }
                    found.rows.extend(rows);
                    // A controller may answer fewer rows a page than asked for: only a last page proves absence.
                    if more {
                        batches.push(rest);
                    } else {
                        found.missing.extend(rest);
                    }
                }
                Err(AwxError::TooLarge { .. }) if batch.len() > 1 => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    batches.push(right.to_vec());
                    batches.push(left.to_vec());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn batch(&self, ids: &[i64]) -> Result<Batch, AwxError> {
        if ids.is_empty() {
            return Ok(Batch { rows: Vec::new(), more: false });
        }
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let query: Query = vec![("id__in", list.join(",")), ("order_by", "id".into()), ("page_size", MOST.to_string())];
        let answer = self.http.get(&Path::to("unified_jobs"), &query).await?;
        let mut rows = Vec::new();
        for row in results(&answer)? {
            let row = RunRow::read(row).ok_or_else(|| AwxError::bad("a run without type or id"))?;
            if !ids.contains(&row.run.id) {
                return Err(AwxError::bad("a run that was not asked for"));
            }
            rows.push(row);
        }
        Ok(Batch { rows, more: has_next(&answer) })
    }

    /// Reads one run in full.
    pub async fn run(&self, run: RunRef) -> Result<RunRow, AwxError> {
        let row = self.http.get(&run.path(), &Query::new()).await?;
        RunRow::read(&row).filter(|row| row.run == run).ok_or_else(|| AwxError::bad("another run than was asked for"))
    }

    /// Whether all a run printed has arrived. After a crash of the controller that may never come true.
    pub async fn events_finished(&self, run: RunRef) -> Result<bool, AwxError> {
        let row = self.run(run).await?;
        Ok(row.event_processing_finished.unwrap_or(row.status.is_end()))
    }
}

struct Batch {
    rows: Vec<RunRow>,
    more: bool,
}
