//! `DeliveryService`.

use std::sync::Arc;

use runwarden_engines::idempotency::Repeat;
use runwarden_kit::Error;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_proto::hook::v1::delivery_service_server::DeliveryService;
use runwarden_proto::hook::v1::{self as wire};
use tonic::{Request, Response, Status};

use crate::inbox::delivery::{Delivery, DeliveryState, Step};
use crate::inbox::look::{Deliveries, Sample};

/// Serves deliveries.
#[derive(Clone)]
pub struct DeliveryRpc {
    pub(super) deliveries: Arc<Deliveries>,
}

#[tonic::async_trait]
impl DeliveryService for DeliveryRpc {
    async fn list_deliveries(
        &self,
        request: Request<wire::ListDeliveriesRequest>,
    ) -> Result<Response<wire::ListDeliveriesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let states = request.states().map(|state| DeliveryState::try_from(state).map_err(|_| unknown_state()));
        let states = states.collect::<Result<Vec<_>, Error>>()?;
        let page = PageRequest { size: request.page_size, token: request.page_token };
        let found = self.deliveries.list(&caller, &request.hook, states, &page).await?;
        let deliveries = found.items.into_iter().map(|delivery| shown(delivery, false)).collect::<Result<_, _>>()?;
        Ok(Response::new(wire::ListDeliveriesResponse { deliveries, next_page_token: found.next }))
    }

    async fn get_delivery(
        &self,
        request: Request<wire::GetDeliveryRequest>,
    ) -> Result<Response<wire::GetDeliveryResponse>, Status> {
        let caller = caller(&request)?;
        let wire::GetDeliveryRequest { hook, id } = request.into_inner();
        let found = self.deliveries.get(&caller, &hook, &id).await?;
        let mut delivery = shown(found.delivery, found.event.is_some())?;
        delivery.document_json = found.event.unwrap_or_default();
        Ok(Response::new(wire::GetDeliveryResponse { delivery: Some(delivery) }))
    }

    async fn redeliver(
        &self,
        request: Request<wire::RedeliverRequest>,
    ) -> Result<Response<wire::RedeliverResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let repeat = Repeat::of(&request);
        let delivery = self.deliveries.redeliver(&caller, &request.hook, &request.id, &repeat).await?;
        Ok(Response::new(wire::RedeliverResponse { delivery: Some(shown(delivery, false)?) }))
    }

    async fn test_hook(
        &self,
        request: Request<wire::TestHookRequest>,
    ) -> Result<Response<wire::TestHookResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let sample = if request.delivery.is_empty() {
            Sample::Given { event: request.event, headers: request.headers_json, body: request.body_json }
        } else {
            Sample::Stored(request.delivery)
        };
        let tried = self.deliveries.test(&caller, &request.hook, sample, request.module.as_deref()).await?;
        Ok(Response::new(wire::TestHookResponse {
            steps: tried.steps.into_iter().map(Into::into).collect(),
            would_run: tried.would_run,
            document_json: tried.event,
            parameters_json: serde_json::to_string(&tried.parameters).map_err(Error::internal)?,
            reference: tried.reference,
            problems: tried.problems.into_iter().map(|field| (field.pointer, field.detail)).collect(),
        }))
    }
}

fn unknown_state() -> Error {
    Error::invalid("/states", "is not a state of a delivery")
}

/// A delivery as it is shown; with its parameters to those who may see what it contains.
fn shown(delivery: Delivery, with_parameters: bool) -> Result<wire::Delivery, Error> {
    let time = |moment: Option<Moment>| moment.map(Moment::to_proto);
    // None are kept of one that is done with, which is not the same as that there were none.
    let with_parameters = with_parameters && delivery.finished_at.is_none();
    let (parameters, reference) = match delivery.asked {
        Some(asked) => {
            let parameters = serde_json::to_string(&asked.parameters).map_err(Error::internal)?;
            (if with_parameters { parameters } else { String::new() }, asked.reference)
        }
        None => (String::new(), String::new()),
    };
    Ok(wire::Delivery {
        id: delivery.id,
        hook: delivery.hook,
        project: delivery.project,
        sender_id: delivery.sender_id.unwrap_or_default(),
        event: delivery.event,
        state: wire::DeliveryState::from(delivery.state).into(),
        reason: delivery.reason.unwrap_or_default(),
        reason_detail: delivery.reason_detail.unwrap_or_default(),
        job: delivery.job.unwrap_or_default(),
        received_at: Some(delivery.received_at.to_proto()),
        finished_at: time(delivery.finished_at),
        next_try_at: time(delivery.due_at.filter(|_| delivery.tries > 0)),
        repeats: delivery.repeats,
        redelivery_of: delivery.redelivery_of.unwrap_or_default(),
        steps: delivery.steps.into_iter().map(Into::into).collect(),
        document_json: String::new(),
        parameters_json: parameters,
        reference,
        source_address: delivery.source_address,
        request_id: delivery.request_id,
    })
}

impl From<Step> for wire::Step {
    fn from(step: Step) -> Self {
        Self {
            name: step.name,
            at: Some(step.at.to_proto()),
            result: step.result.name().to_owned(),
            detail: step.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::conformance::{arrival, asked};

    #[test]
    fn parameters_that_are_gone_are_left_out_and_not_shown_as_none() {
        let mut delivery = arrival("1").delivery;
        delivery.asked = Some(asked(json!({"version": "1"})));
        assert_eq!(shown(delivery.clone(), true).unwrap().parameters_json, r#"{"version":"1"}"#);
        assert_eq!(shown(delivery.clone(), false).unwrap().parameters_json, "");
        delivery.finish(DeliveryState::Submitted, delivery.received_at);
        assert_eq!(shown(delivery, true).unwrap().parameters_json, "");
    }
}
