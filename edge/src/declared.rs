//! How routes are declared: each with its handlers, its description and who may call it, and its path once, in the
//! handler's `#[utoipa::path]`. The router, the document and the table of what is reachable all follow from that.

use axum::Router;
use axum::routing::MethodRouter;
use http::Method;
use runwarden_kit::permission::Permission;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::app::App;
use crate::route_table::{Access, Lasts, On, Table};

/// Declared routes. Each names its listener and its callers: nothing is reachable by default.
#[derive(Default)]
pub struct Routes {
    router: OpenApiRouter<App>,
    table: Table,
}

impl Routes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds routes for callers with a token on the admin listener, where a noun belongs unless outside callers need it.
    #[must_use]
    pub fn admin(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.with(On::Admin, Access::Caller, Lasts::Call, routes)
    }

    /// Adds routes for callers with a token on both listeners.
    #[must_use]
    pub fn both(self, routes: UtoipaMethodRouter<App>) -> Self {
        self.with(On::Both, Access::Caller, Lasts::Call, routes)
    }

    /// Adds routes on both listeners for callers with a token, or with nothing but their client's id and secret, which
    /// give them this permission only.
    #[must_use]
    pub fn both_basic(mut self, permission: Permission, routes: UtoipaMethodRouter<App>) -> Self {
        let mut new = Self::new().both(routes);
        new.table.take_basic(permission);
        self = self.merge(new);
        self
    }

    /// Adds routes for anybody, on both listeners.
    #[must_use]
    pub fn open(self, lasts: Lasts, routes: UtoipaMethodRouter<App>) -> Self {
        self.with(On::Both, Access::Open, lasts, routes)
    }

    /// Adds routes for callers with a token whose answers take longer than a call.
    #[must_use]
    pub fn lasting(self, on: On, lasts: Lasts, routes: UtoipaMethodRouter<App>) -> Self {
        self.with(on, Access::Caller, lasts, routes)
    }

    /// Adds a page that the document does not describe: for anybody, on both listeners, with `GET`.
    #[must_use]
    pub fn page(mut self, path: &str, get: MethodRouter<App>) -> Self {
        self.table.add(Method::GET, path, On::Both, Access::Open, Lasts::NoSeat);
        Self { router: self.router.route(path, get), table: self.table }
    }

    /// Adds a way in for foreign senders, whose requests prove themselves: for anybody, on both listeners. The document
    /// does not describe it; what is sent there is up to the senders.
    #[must_use]
    pub fn delivery(mut self, path: &str, methods: &[Method], handlers: MethodRouter<App>) -> Self {
        for method in methods {
            self.table.add_delivery(method.clone(), path);
        }
        Self { router: self.router.route(path, handlers), table: self.table }
    }

    /// Adds routes that were declared elsewhere.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.table.append(other.table);
        Self { router: self.router.merge(other.router), table: self.table }
    }

    /// The router, the description of its routes, and the table.
    pub fn into_parts(self) -> (Router<App>, OpenApi, Table) {
        let (router, document) = self.router.split_for_parts();
        (router, document, self.table)
    }

    fn with(mut self, on: On, access: Access, lasts: Lasts, routes: UtoipaMethodRouter<App>) -> Self {
        for (path, item) in &routes.1.paths {
            for (method, operation) in operations(item) {
                if operation.is_some() {
                    self.table.add(method, path, on, access, lasts);
                }
            }
        }
        Self { router: self.router.routes(routes), table: self.table }
    }
}

/// What may be described of a path, by method.
fn operations(item: &PathItem) -> [(Method, &Option<Operation>); 8] {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::OPTIONS, &item.options),
        (Method::HEAD, &item.head),
        (Method::PATCH, &item.patch),
        (Method::TRACE, &item.trace),
    ]
}
