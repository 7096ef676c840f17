use runwarden_awx::{Ask, AwxError, Problem, Setting, TemplateKind};
use runwarden_kit::launch_field::{LaunchField, target_of};
use runwarden_kit::permission::Permission;
use runwarden_kit::{Error, Result, rpc};
use runwarden_proto::executor::v1 as proto;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use super::{ControllerAccessRpc, convert, named, require, tenant};

pub(super) async fn handle(
    access: &ControllerAccessRpc,
    request: Request<proto::DescribeTemplateRequest>,
) -> Result<Response<proto::DescribeTemplateResponse>, Status> {
    let caller = rpc::caller(&request)?;
    let kind = request.get_ref().kind();
    let proto::DescribeTemplateRequest {
        controller,
        secret_name,
        id,
        fixed_json,
        pinned_fingerprint,
        pinned_parts_json,
        ..
    } = request.into_inner();
    let controller = named(controller)?;
    require(&caller, Permission::TemplatesWrite, &tenant(&controller)?)?;
    let kind = TemplateKind::try_from(kind).map_err(|_| Error::invalid("/kind", "must be `job` or `workflow`"))?;
    if id <= 0 {
        return Err(Error::invalid("/id", "must be the id of a template on the controller").into());
    }
    let fixed = object("/fixed_json", &fixed_json)?;
    let pinned = Value::Object(object("/pinned_parts_json", &pinned_parts_json)?);
    let client = access.stored(&controller, &secret_name, "describe a template of controller").await?;
    let view = client.template(kind, id).await.map_err(|error| told(kind, id, error))?;
    let here = client.installation(Ask::Afresh).await.map_err(Error::from)?;
    let settings: Vec<Setting<'_>> =
        fixed.iter().map(|(name, value)| Setting { parameter: name, field: target_of(name, None), value }).collect();
    let mut fields: Vec<_> = settings.iter().map(|setting| (setting.field, setting.value.clone())).collect();
    if view.asks.has(LaunchField::Forks) {
        // How many callers may ask for.
        fields.push((LaunchField::Forks, Value::Null));
    }
    let objects = client.objects(&view, &fields).await.map_err(Error::from)?;
    let problem = |problem: Problem| proto::FixedProblem {
        name: problem.pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~"),
        detail: problem.detail,
    };
    let drift = match pinned_fingerprint.as_str() {
        "" => Vec::new(),
        fingerprint => view.changed_since(fingerprint, &pinned, &here),
    };
    Ok(Response::new(proto::DescribeTemplateResponse {
        template: Some(convert::view(&view, &here)),
        taken_json: view.taken(&settings, &objects).to_string(),
        fixed_problems: view.misfits(&settings, &objects).into_iter().map(problem).collect(),
        drift,
    }))
}

/// A JSON object of the request; an empty text stands for none.
fn object(pointer: &'static str, text: &str) -> Result<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|_| Error::invalid(pointer, "must be a JSON object"))
}

/// AWX distinguishes what it hides (403) from what it lacks (404); we do not.
fn told(kind: TemplateKind, id: i64, error: AwxError) -> Error {
    let unseen = matches!(error, AwxError::NotFound { .. } | AwxError::Forbidden { .. });
    let error = if unseen {
        let detail = format!("no {} template {id} that Runwarden's account can see", kind.name());
        AwxError::NotFound { detail }
    } else {
        error
    };
    let words = error.to_string();
    let error = Error::from(error);
    if unseen { error.with_field("/id", words) } else { error }
}
