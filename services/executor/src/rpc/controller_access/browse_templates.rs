use runwarden_kit::{Error, Result, page, rpc};
use runwarden_proto::executor::v1 as proto;
use tonic::{Request, Response, Status};

use super::{ControllerAccess, convert, named, require};
use crate::awx::TemplateCursor;

pub(super) async fn handle(
    access: &ControllerAccess,
    request: Request<proto::BrowseTemplatesRequest>,
) -> Result<Response<proto::BrowseTemplatesResponse>, Status> {
    let caller = rpc::caller(&request)?;
    let proto::BrowseTemplatesRequest { controller, secret_name, page_size, page_token } = request.into_inner();
    let controller = named(controller)?;
    require(&caller, "controllers.read", &controller.tenant)?;
    let size = page::size(page_size)?;
    let after = page::after(&page_token)?.map(|text| cursor(&text)).transpose()?;
    let client = access.stored(&controller, &secret_name, "browse controller").await?;
    let found = client.templates(after, size).await.map_err(Error::from)?;
    Ok(Response::new(proto::BrowseTemplatesResponse {
        templates: found.items.iter().map(convert::summary).collect(),
        next_page_token: found.next.map(|next| page::token(&next.to_string())).unwrap_or_default(),
    }))
}

fn cursor(text: &str) -> Result<TemplateCursor> {
    text.parse().map_err(|()| Error::invalid("/page_token", "is not a token of an earlier page"))
}
