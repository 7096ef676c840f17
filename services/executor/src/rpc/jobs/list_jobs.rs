//! ListJobs: the jobs of the projects the caller may see, newest first.

use runwarden_kit::clock::Moment;
use runwarden_kit::{Error, page, rpc, slug};
use runwarden_proto::executor::v1::{ListJobsRequest, ListJobsResponse};
use tonic::{Request, Status};

use super::{Jobs, convert};
use crate::store::JobFilter;

pub(super) async fn handle(jobs: &Jobs, request: Request<ListJobsRequest>) -> Result<ListJobsResponse, Status> {
    let caller = rpc::caller(&request)?;
    let tenant = caller.require_tenant()?.to_owned();
    let body = request.into_inner();
    let states = body.states().map(convert::state).collect::<Option<Vec<_>>>();
    let states = states.ok_or_else(|| Error::invalid("/state", "is not a state of a job"))?;
    let created_after = match &body.created_after {
        Some(time) => {
            Some(Moment::from_proto(time).ok_or_else(|| Error::invalid("/created_after", "is not a usable time"))?)
        }
        None => None,
    };
    let size = page::size(body.page_size)?;
    let found = jobs
        .store
        .list(JobFilter {
            visible: caller.visible("jobs.read"),
            tenant,
            states,
            template: named("/template", body.template)?,
            project: named("/project", body.project)?,
            created_after,
            before: page::after(&body.page_token)?,
            limit: size + 1,
        })
        .await?;
    let next_page_token = match found.get(size.saturating_sub(1)) {
        Some(last) if found.len() > size => page::token(&last.id),
        _ => String::new(),
    };
    let listed = found.iter().take(size).map(convert::job).collect::<Result<_, _>>()?;
    Ok(ListJobsResponse { jobs: listed, next_page_token })
}

fn named(pointer: &str, name: String) -> Result<Option<String>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    slug::check(pointer, &name)?;
    Ok(Some(name))
}
