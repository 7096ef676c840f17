//! What controllers say by themselves: that something happened to a run. It is a hint and nothing more, so nothing but
//! the run's id is read of it.

use axum::extract::{Request, State};
use http::StatusCode;
use runwarden_kit::permission::Permission;
use runwarden_proto::executor::v1::HintRunRequest;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::app::App;
use crate::declared::Routes;
use crate::extract::body::{parse, whole};
use crate::extract::path::ByName;
use crate::extract::query::{NoParams, Params};
use crate::problem::Result;

/// This noun's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().both_basic(Permission::ControllersHint, routes!(notify))
}

/// What AWX's webhook notification sends. Everything but `id` is ignored.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only describes the body for the OpenAPI document")]
pub struct ControllerNotification {
    /// The run's id on the controller. Without one, as from AWX's test button, nothing is looked at.
    #[schema(example = 36)]
    id: Option<i64>,
}

/// Say that something happened to a run
///
/// For the controller itself, as the target of AWX's webhook notifications. The run is looked at soon; nothing that is
/// sent is believed, and the answer is the same whether the controller or the run exists. Takes a client's id and secret
/// in HTTP Basic too, because AWX cannot obtain a token. Needs `controllers.hint`.
#[utoipa::path(post, path = "/api/v1/controllers/{name}/notifications", tag = "controllers", params(ByName),
    request_body = ControllerNotification, responses((status = 204, description = "It was taken note of.")))]
async fn notify(
    State(app): State<App>,
    by: ByName,
    Params(NoParams): Params<NoParams>,
    request: Request,
) -> Result<StatusCode> {
    // Whatever it calls itself: the media type is the operator's to set in AWX, and decides nothing.
    let run_id = run_of(&parse(&whole(request).await?)?);
    app.ports.hints().hint_run(HintRunRequest { controller: by.name, run_id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The id of a run: a whole number, or its digits, as a custom body may have them; 0 for none.
fn run_of(sent: &Value) -> i64 {
    let id = match sent.get("id") {
        Some(Value::Number(id)) => id.as_i64(),
        Some(Value::String(digits)) => digits.trim().parse().ok(),
        _ => None,
    };
    id.unwrap_or_default().max(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::run_of;

    #[test]
    fn of_what_is_sent_only_the_id_counts() {
        for (sent, id) in [
            (json!({"id": 36, "status": "successful", "extra_vars": "{}"}), 36),
            (json!({"id": "36"}), 36),
            (json!({"body": "Test Notification 1 https://awx.example"}), 0),
            (json!({"id": -1}), 0),
            (json!({"id": 1.5}), 0),
            (json!({"id": "99999999999999999999"}), 0),
            (json!({"id": {"id": 1}}), 0),
            (json!([{"id": 1}]), 0),
            (json!("text"), 0),
        ] {
            assert_eq!(run_of(&sent), id, "{sent}");
        }
    }
}
