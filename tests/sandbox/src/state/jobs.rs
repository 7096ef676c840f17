//! All jobs, by id and by template.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize, Serializer};

use super::job::Job;

/// The jobs there are. Whoever gets one to change it makes what lists showed of it void.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<u64, Job>")]
pub(crate) struct Jobs {
    rows: BTreeMap<u64, Job>,
    of_template: BTreeMap<u64, BTreeSet<u64>>,
}

impl From<BTreeMap<u64, Job>> for Jobs {
    fn from(rows: BTreeMap<u64, Job>) -> Self {
        let mut jobs = Self::default();
        for job in rows.into_values() {
            jobs.insert(job);
        }
        jobs
    }
}

impl Serialize for Jobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl Jobs {
    pub(crate) fn get(&self, id: &u64) -> Option<&Job> {
        self.rows.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &u64) -> Option<&mut Job> {
        let job = self.rows.get_mut(id)?;
        job.row.forget();
        Some(job)
    }

    /// A job's template never changes, so the index stays right.
    pub(crate) fn insert(&mut self, job: Job) {
        if let Some(template) = job.template {
            self.of_template.entry(template).or_default().insert(job.id);
        }
        self.rows.insert(job.id, job);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Job> {
        let job = self.rows.remove(&id)?;
        if let Some(ids) = job.template.and_then(|template| self.of_template.get_mut(&template)) {
            ids.remove(&id);
        }
        Some(job)
    }

    /// In the order of their ids.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.rows.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.rows.values_mut()
    }

    /// Those with greater ids than this, in the order of their ids.
    pub(crate) fn after(&self, id: u64) -> impl Iterator<Item = &Job> {
        self.rows.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, job)| job)
    }

    /// Those of one template with greater ids than this, in the order of their ids.
    pub(crate) fn of_template(&self, template: u64, after: u64) -> impl DoubleEndedIterator<Item = &Job> {
        let ids = self.of_template.get(&template).into_iter();
        ids.flat_map(move |ids| ids.range((Bound::Excluded(after), Bound::Unbounded)))
            .filter_map(|id| self.rows.get(id))
    }

    /// What lists show may have changed for reasons that lie outside of the jobs.
    pub(crate) fn forget_rows(&self) {
        for job in self.rows.values() {
            job.row.forget();
        }
    }
}
