use runwarden_kit::{Error, Result, rpc};
use runwarden_proto::executor::v1 as proto;
use tonic::{Request, Response, Status};

use super::{ControllerAccess, convert, named, require};
use crate::awx::{Ask, AwxError, TemplateKind};

pub(super) async fn handle(
    access: &ControllerAccess,
    request: Request<proto::DescribeTemplateRequest>,
) -> Result<Response<proto::DescribeTemplateResponse>, Status> {
    let caller = rpc::caller(&request)?;
    let kind = request.get_ref().kind();
    let proto::DescribeTemplateRequest { controller, secret_name, id, .. } = request.into_inner();
    let controller = named(controller)?;
    require(&caller, "templates.write", &controller.tenant)?;
    let kind = convert::kind(kind).ok_or_else(|| Error::invalid("/kind", "must be job or workflow"))?;
    if id <= 0 {
        return Err(Error::invalid("/id", "must be the id of a template on the controller").into());
    }
    let client = access.stored(&controller, &secret_name, "describe a template of controller").await?;
    let view = client.template(kind, id).await.map_err(|error| told(kind, id, error))?;
    let here = client.installation(Ask::Afresh).await.map_err(Error::from)?;
    Ok(Response::new(proto::DescribeTemplateResponse { template: Some(convert::view(&view, &here)) }))
}

/// AWX tells what it hides (403) from what it lacks (404); we do not.
fn told(kind: TemplateKind, id: i64, error: AwxError) -> Error {
    let unseen = matches!(error, AwxError::NotFound { .. } | AwxError::Forbidden { .. });
    let error = if unseen {
        let detail = format!("no {} template {id} that Runwarden's account can see", kind.as_str());
        AwxError::NotFound { detail }
    } else {
        error
    };
    let words = error.to_string();
    let error = Error::from(error);
    if unseen { error.with_field("/id", words) } else { error }
}
