//! How many jobs go before one that waits. Each read of a waiting job asks that, so in a long queue it is not counted each
//! time: every hundredth of its jobs is remembered for a second, and only what stands between the last of these and the job
//! is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;

use crate::job::Job;
use crate::store::engine::Rows;
use crate::wait::place::{COUNTED, Mark};

/// Up to so many are counted each time, so that short queues are exact.
const FEW: u32 = 200;
/// How many jobs lie between two that are remembered.
const EVERY: u32 = 100;
/// For how long these are used.
const AGE: Duration = Duration::from_secs(1);
/// Of how many queues they are remembered.
const QUEUES: usize = 256;

/// What is remembered of long queues.
#[derive(Default)]
pub(super) struct Places(Mutex<HashMap<(TenantId, String), Seen>>);

#[derive(Clone)]
struct Seen {
    at: Instant,
    marks: Arc<[Mark]>,
}

impl Places {
    /// How many new jobs of its template go before a job; at most one less than [`COUNTED`]. In a long queue, as of at
    /// most a second ago.
    pub(super) async fn ahead_of(&self, rows: &mut dyn Rows, job: &Job) -> Result<u32> {
        let few = rows.ahead_of(job, None, FEW).await?;
        if few < FEW {
            return Ok(few);
        }
        let marks = self.marks(rows, job).await?;
        let passed = marks.partition_point(|mark| mark.is_before(job.rank(), &job.id));
        // The queue can have become shorter since, or longer; a moment ago it was longer than this.
        let Some(last) = passed.checked_sub(1) else { return Ok(few) };
        let before = u32::try_from(last).unwrap_or(u32::MAX).saturating_mul(EVERY);
        let left = COUNTED.saturating_sub(1).saturating_sub(before);
        Ok(before + rows.ahead_of(job, marks.get(last), left).await?)
    }

    async fn marks(&self, rows: &mut dyn Rows, job: &Job) -> Result<Arc<[Mark]>> {
        let key = (job.tenant.clone(), job.template.clone());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(seen) = known.filter(|seen| seen.at.elapsed() < AGE) {
            return Ok(seen.marks);
        }
        let at = Instant::now();
        let marks: Arc<[Mark]> = rows.marks(&job.tenant, &job.template, EVERY, COUNTED).await?.into();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= QUEUES {
            seen.retain(|_, seen| seen.at.elapsed() < AGE);
        }
        if seen.len() < QUEUES {
            seen.insert(key, Seen { at, marks: marks.clone() });
        }
        Ok(marks)
    }
}
