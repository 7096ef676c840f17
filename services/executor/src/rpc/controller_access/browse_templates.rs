use runwarden_awx::{Ask, TemplateCursor};
use runwarden_kit::page::{self, Listing};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, rpc};
use runwarden_proto::executor::v1 as proto;
use tonic::{Request, Response, Status};

use super::{ControllerAccessRpc, convert, named, require, tenant};

pub(super) async fn handle(
    access: &ControllerAccessRpc,
    request: Request<proto::BrowseTemplatesRequest>,
) -> Result<Response<proto::BrowseTemplatesResponse>, Status> {
    let caller = rpc::caller(&request)?;
    let proto::BrowseTemplatesRequest { controller, secret_name, page_size, page_token } = request.into_inner();
    let controller = named(controller)?;
    require(&caller, Permission::ControllersRead, &tenant(&controller)?)?;
    let size = page::size(page_size)?;
    // The address belongs to it: after a controller was moved, its templates are others.
    let listing = Listing::of("controller templates", Some(&controller.tenant))
        .filter("controller", &controller.name)
        .filter("url", &controller.url);
    let after = listing.start(&page_token, |text| text.parse::<TemplateCursor>().ok())?;
    let client = access.stored(&controller, &secret_name, "browse controller").await?;
    let found = client.templates(after, size).await.map_err(Error::from)?;
    let here = client.installation(Ask::Afresh).await.map_err(Error::from)?;
    Ok(Response::new(proto::BrowseTemplatesResponse {
        templates: found.items.iter().map(|template| convert::listed(template, &here)).collect(),
        next_page_token: found.next.map(|next| listing.token(&next.to_string())).unwrap_or_default(),
    }))
}
