//! Asking a controller on behalf of a step: what its answer says of it as a whole, and what that means for the step.

use std::sync::Arc;

use runwarden_awx::{Ask, AwxError, Client, Installation};

use crate::launch::halt::Halt;
use crate::launch::protocol::Stop;
use crate::ports::Controller;
use crate::shared::Shared;

/// Which installation a controller leads to.
pub(super) async fn installation(
    shared: &Shared,
    controller: &Controller,
    client: &Arc<Client>,
    ask: Ask,
) -> Result<Installation, Halt> {
    let here = client.installation(ask).await;
    note(shared, controller, client, &here)?;
    here.map_err(|failure| Stop::Later(format!("finding out which installation this is: {failure}")).into())
}

/// Takes note of what a controller's answer says of it as a whole.
pub(super) fn note<T>(
    shared: &Shared,
    controller: &Controller,
    client: &Arc<Client>,
    result: &Result<T, AwxError>,
) -> Result<(), Halt> {
    let key = (controller.tenant.clone(), controller.name.clone());
    if !shared.breaker.note(&key, result) {
        return Ok(());
    }
    let Err(error) = result else { return Ok(()) };
    if error.is_credential() {
        shared.controllers.forget(client);
    }
    Err(Stop::Yield(format!("waiting for the controller: {error}")).into())
}
