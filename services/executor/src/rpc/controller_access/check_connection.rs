use runwarden_awx::{Ask, AwxError, Credential};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result, rpc};
use runwarden_proto::executor::v1 as proto;
use runwarden_proto::project::v1 as project;
use tonic::{Request, Response, Status};

use super::{ControllerAccessRpc, named, require, tenant};

pub(super) async fn handle(
    access: &ControllerAccessRpc,
    request: Request<proto::CheckConnectionRequest>,
) -> Result<Response<proto::CheckConnectionResponse>, Status> {
    let caller = rpc::caller(&request)?;
    let proto::CheckConnectionRequest { controller, credential, secret_name } = request.into_inner();
    let controller = named(controller)?;
    require(&caller, Permission::ControllersWrite, &tenant(&controller)?)?;
    let client = match credential {
        Some(given) => access.client(&controller, &given_credential(given)?)?,
        None => access.stored(&controller, &secret_name, "check controller").await?,
    };
    let account = client.who_am_i().await.map_err(told)?;
    // Runs are identified by it: adding a controller that does not report it should fail now.
    client.installation(Ask::Afresh).await.map_err(told)?;
    Ok(Response::new(proto::CheckConnectionResponse {
        product: account.product,
        version: account.version,
        account_id: account.id,
        account_name: account.username,
    }))
}

fn given_credential(given: project::Credential) -> Result<Credential> {
    let project::Credential { token, username, password } = given;
    match (token.is_empty(), username.is_empty(), password.is_empty()) {
        (false, true, true) => Ok(Credential::bearer(token)),
        (true, false, false) => Ok(Credential::basic(username, password)),
        _ => Err(Error::invalid("/credential", "must be either a token, or a username with a password")),
    }
}

/// Points at the field that has to be fixed.
fn told(error: AwxError) -> Error {
    let field = match &error {
        AwxError::Unauthorized | AwxError::Forbidden { .. } => Some("/credential"),
        AwxError::Unreachable { .. } | AwxError::Timeout | AwxError::InFront { .. } => Some("/url"),
        AwxError::NotFound { .. } | AwxError::BadAnswer { .. } => Some("/api_root"),
        AwxError::Migrating
        | AwxError::Throttled { .. }
        | AwxError::Refused { .. }
        | AwxError::ServerError { .. }
        | AwxError::Busy
        | AwxError::TooLarge { .. } => None,
    };
    let words = match &error {
        AwxError::NotFound { .. } => {
            "There is no AWX at this address and api_root. On the platform's gateway a controller's api_root is \
             /api/controller/v2."
                .to_owned()
        }
        other => other.to_string(),
    };
    let error = Error::from(error);
    match field {
        Some(pointer) => error.with_field(pointer, words),
        None => error,
    }
}
