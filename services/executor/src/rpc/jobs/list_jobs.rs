//! ListJobs: the jobs of the projects the caller may see, newest first.

use prost::Message as _;
use runwarden_kit::caller::Caller;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::{self, Listing};
use runwarden_kit::{Error, id, rpc, slug};
use runwarden_proto::executor::v1::{self as wire, ListJobsRequest, ListJobsResponse};
use tonic::{Request, Status};

use super::JobRpc;
use crate::access::{JobAccess, JobFilter};
use crate::job::JobState;

/// How large a page may get; the job that goes beyond still belongs to it.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// How many jobs are read at once.
const STEP: usize = 20;

pub(super) async fn handle(jobs: &JobRpc, request: Request<ListJobsRequest>) -> Result<ListJobsResponse, Status> {
    let caller = rpc::caller(&request)?;
    let tenant = caller.require_tenant()?;
    let mut body = request.into_inner();
    // Named a thousand times, a state is looked for once.
    body.states.sort_unstable();
    body.states.dedup();
    let states = body.states().map(JobState::try_from).collect::<Result<Vec<_>, _>>();
    let states = states.map_err(|_| Error::invalid("/state", "is not a state of a job"))?;
    let created_after = match &body.created_after {
        Some(time) => {
            Some(Moment::from_proto(time).ok_or_else(|| Error::invalid("/created_after", "is not a usable time"))?)
        }
        None => None,
    };
    let listing = listing(tenant, &body);
    let before = listing.start(&body.page_token, |last| id::is_valid("job", last).then(|| last.to_owned()))?;
    let wanted = JobFilter {
        states,
        template: named("/template", body.template)?,
        project: named("/project", body.project)?,
        created_after,
        before,
        limit: 0,
    };
    Ok(paged(&jobs.access, &caller, &listing, wanted, page::size(body.page_size)?).await?)
}

/// What a page token is good for: the jobs of this tenant that these filters let through.
fn listing(tenant: &str, body: &ListJobsRequest) -> Listing {
    let states = body.states.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    Listing::of("jobs", Some(tenant))
        .filter("states", &states)
        .filter("template", &body.template)
        .filter("project", &body.project)
        .filter_time("created_after", body.created_after.as_ref())
}

/// A page of at most `size` jobs, and of few enough that it can be sent: their parameters may be large. Read in small
/// steps, so that jobs that are not on the page are not in memory either.
async fn paged(
    jobs: &JobAccess,
    caller: &Caller,
    listing: &Listing,
    mut wanted: JobFilter,
    size: usize,
) -> Result<ListJobsResponse, Error> {
    let mut listed = Vec::new();
    let mut bytes = 0;
    loop {
        // One more than fits on the page shows whether there is a next one.
        wanted.limit = STEP.min(size + 1 - listed.len());
        let found = jobs.list(caller, wanted.clone()).await?;
        for job in &found {
            if listed.len() >= size || bytes >= MOST_BYTES {
                let next_page_token = wanted.before.as_deref().map(|last| listing.token(last)).unwrap_or_default();
                return Ok(ListJobsResponse { jobs: listed, next_page_token });
            }
            let job = wire::Job::try_from(job)?;
            bytes += job.encoded_len();
            wanted.before = Some(job.id.clone());
            listed.push(job);
        }
        if found.len() < wanted.limit {
            return Ok(ListJobsResponse { jobs: listed, next_page_token: String::new() });
        }
    }
}

fn named(pointer: &str, name: String) -> Result<Option<String>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    slug::check(pointer, &name)?;
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use runwarden_kit::caller::Scope;
    use runwarden_kit::permission::Permission;
    use runwarden_kit::tenant::TenantId;
    use serde_json::json;

    use super::*;
    use crate::job::Job;
    use crate::job::tests::example;
    use crate::store::sqlite::SqliteJobs;
    use crate::store::{Acceptance, JobStore as _};
    use crate::test_doubles::access;

    async fn kept(jobs: usize, parameter: usize) -> (tempfile::TempDir, JobAccess, BTreeSet<String>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteJobs::open(&folder.path().join("jobs.db")).await.unwrap());
        let mut ids = BTreeSet::new();
        for _ in 0..jobs {
            let parameters = json!({"text": "x".repeat(parameter)}).as_object().unwrap().clone();
            let job = Job { parameters, ..example() };
            ids.insert(job.id.clone());
            store.accept(Acceptance::of(job)).await.unwrap();
        }
        (folder, access(store), ids)
    }

    /// Follows the pages to the end; how long each was.
    async fn walk(jobs: &JobAccess, size: usize, seen: &mut BTreeSet<String>) -> Vec<usize> {
        let caller = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")));
        let (mut wanted, mut lengths) = (JobFilter::default(), Vec::new());
        let listing = Listing::of("jobs", Some("acme"));
        loop {
            let page = paged(jobs, &caller, &listing, wanted.clone(), size).await.unwrap();
            lengths.push(page.jobs.len());
            for job in page.jobs {
                assert!(seen.insert(job.id), "listed twice");
            }
            if page.next_page_token.is_empty() {
                return lengths;
            }
            wanted.before = listing.after(&page.next_page_token).unwrap();
        }
    }

    #[tokio::test]
    async fn a_page_of_large_jobs_ends_before_it_is_too_large_to_send() {
        let (_folder, jobs, ids) = kept(12, MOST_BYTES / 8).await;
        let mut seen = BTreeSet::new();
        assert_eq!(walk(&jobs, 200, &mut seen).await, [8, 4]);
        assert_eq!(seen, ids);
    }

    #[tokio::test]
    async fn pages_hold_what_was_asked_for_and_the_last_one_says_so() {
        let (_folder, jobs, ids) = kept(STEP * 2, 1).await;
        for (size, lengths) in
            [(STEP * 2, vec![STEP * 2]), (STEP, vec![STEP, STEP]), (STEP * 2 - 1, vec![STEP * 2 - 1, 1])]
        {
            let mut seen = BTreeSet::new();
            assert_eq!(walk(&jobs, size, &mut seen).await, lengths);
            assert_eq!(seen, ids);
        }
    }
}
