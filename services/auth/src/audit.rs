//! Audit entries of this service.

use runwarden_kit::audit::{Actor, EntryBuilder};
use runwarden_kit::clock::Clock;
use runwarden_kit::mesh::Service;

use crate::client::record::Client;

/// An entry about something done to `object_id`. Who asked is taken from the request being served.
pub(crate) fn entry(clock: &dyn Clock, action: &str, object_type: &str, object_id: &str) -> EntryBuilder {
    EntryBuilder::new(clock, Service::Auth, action, object_type, object_id)
}

/// A client as the actor of what it does with its secret, before it has any token.
pub(crate) fn proven(client: &Client) -> Actor {
    Actor {
        principal: client.principal.clone(),
        name: client.name.clone(),
        authenticated_by: "client_credentials".to_owned(),
        client_id: client.client_id.clone(),
        home_tenant: client.tenant.clone().map(String::from).unwrap_or_default(),
    }
}

/// A caller who claimed to be a client and could not prove it: the claim is the object, not the actor.
pub(crate) fn unproven() -> Actor {
    Actor { authenticated_by: "none".to_owned(), ..Actor::default() }
}
