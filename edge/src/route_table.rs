//! The one table of what is reachable: every route, the listener it is on, and who may call it.
//!
//! The gate ([`crate::gate`]) asks this table before anything else happens to a request, so a route that is missing here
//! does not exist outside, and one that is marked [`On::Admin`] does not exist on the public listener.

use http::Method;

/// One of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Faces outside callers.
    Public,
    /// Meant for an internal network.
    Admin,
}

impl Listener {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }
}

/// Where a route is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On both listeners.
    Both,
    /// On the admin listener only.
    Admin,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: the route says nothing that is not public, or asks for credentials of its own.
    Open,
    /// A caller with a valid bearer token.
    Caller,
}

/// How large a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// At most [`LITTLE`] bytes: the sender is not known yet. All such bodies share one budget.
    Little,
    /// As much as the settings say, from callers who are known. Their bodies share a budget of their own.
    Settings,
}

/// The largest body that an open route takes, in bytes: a form with a token of the largest size fits.
pub const LITTLE: usize = 16 * 1024;

/// How long an answer takes, which decides what it counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// No time limit: it is answered from memory, however busy everything is.
    NoTime,
    /// As long as a service takes to answer.
    Call,
    /// As long as the caller asks for with `wait`; without it, a call.
    Wait,
    /// For as long as there is something to come.
    Stream,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// Where it is served.
    pub on: On,
    /// Who may call it.
    pub access: Access,
    /// How large its body may be.
    pub takes: Takes,
    /// How long its answer takes.
    pub lasts: Lasts,
}

impl Route {
    const fn lasting(mut self, lasts: Lasts) -> Self {
        self.lasts = lasts;
        self
    }
}

const fn row(method: Method, path: &'static str, on: On, access: Access) -> Route {
    let takes = match access {
        Access::Open => Takes::Little,
        Access::Caller => Takes::Settings,
    };
    Route { method, path, on, access, takes, lasts: Lasts::Call }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

use Access::{Caller, Open};
use Lasts::{NoTime, Stream, Wait};
use On::{Admin, Both};

/// Everything that is reachable.
pub static ROUTES: &[Route] = &[
    // --- who you are
    row(POST, "/api/v1/auth/token", Both, Open),
    row(POST, "/api/v1/auth/introspect", Both, Open),
    row(POST, "/api/v1/auth/revoke", Both, Open),
    row(GET, "/api/v1/auth/jwks.json", Both, Open),
    row(GET, "/.well-known/oauth-authorization-server", Both, Open),
    // --- what to run
    row(POST, "/api/v1/jobs", Both, Caller),
    row(GET, "/api/v1/jobs", Both, Caller),
    row(GET, "/api/v1/jobs/{id}", Both, Caller).lasting(Wait),
    row(GET, "/api/v1/jobs/{id}/output", Both, Caller).lasting(Stream),
    row(GET, "/api/v1/jobs/{id}/events", Both, Caller).lasting(Stream),
    row(POST, "/api/v1/jobs/{id}/cancel", Both, Caller),
    row(GET, "/api/v1/templates", Both, Caller),
    row(GET, "/api/v1/templates/{name}", Both, Caller),
    // --- how it is doing, and how to use it
    row(GET, "/", Both, Open).lasting(NoTime),
    row(GET, "/api/v1/health/live", Both, Open).lasting(NoTime),
    row(GET, "/api/v1/health/ready", Both, Open).lasting(NoTime),
    row(GET, "/health", Both, Open).lasting(NoTime),
    row(GET, "/api/v1/openapi.json", Both, Open).lasting(NoTime),
    row(GET, "/docs", Both, Open).lasting(NoTime),
    row(GET, "/docs/", Both, Open).lasting(NoTime),
    row(GET, "/docs/{*file}", Both, Open).lasting(NoTime),
    // --- launches that no machine can know about
    row(GET, "/api/v1/jobs/{id}/attempts", Admin, Caller),
    row(POST, "/api/v1/jobs/{id}/resolve", Admin, Caller),
    // --- what exists
    row(POST, "/api/v1/templates", Admin, Caller),
    row(PATCH, "/api/v1/templates/{name}", Admin, Caller),
    row(DELETE, "/api/v1/templates/{name}", Admin, Caller),
    row(POST, "/api/v1/tenants", Admin, Caller),
    row(GET, "/api/v1/tenants", Admin, Caller),
    row(GET, "/api/v1/tenants/{name}", Admin, Caller),
    row(PATCH, "/api/v1/tenants/{name}", Admin, Caller),
    row(POST, "/api/v1/projects", Admin, Caller),
    row(GET, "/api/v1/projects", Admin, Caller),
    row(GET, "/api/v1/projects/{name}", Admin, Caller),
    row(DELETE, "/api/v1/projects/{name}", Admin, Caller),
    row(GET, "/api/v1/projects/{name}/members", Admin, Caller),
    row(POST, "/api/v1/projects/{name}/members", Admin, Caller),
    row(DELETE, "/api/v1/projects/{name}/members/{id}", Admin, Caller),
    row(POST, "/api/v1/controllers", Admin, Caller),
    row(GET, "/api/v1/controllers", Admin, Caller),
    row(GET, "/api/v1/controllers/{name}", Admin, Caller),
    row(PATCH, "/api/v1/controllers/{name}", Admin, Caller),
    row(DELETE, "/api/v1/controllers/{name}", Admin, Caller),
    row(GET, "/api/v1/controllers/{name}/templates", Admin, Caller),
    // --- who may do what
    row(POST, "/api/v1/clients", Admin, Caller),
    row(GET, "/api/v1/clients", Admin, Caller),
    row(GET, "/api/v1/clients/{id}", Admin, Caller),
    row(PATCH, "/api/v1/clients/{id}", Admin, Caller),
    row(DELETE, "/api/v1/clients/{id}", Admin, Caller),
    row(POST, "/api/v1/clients/{id}/rotate-secret", Admin, Caller),
    row(DELETE, "/api/v1/clients/{id}/secrets/{secret_id}", Admin, Caller),
    row(GET, "/api/v1/roles", Admin, Caller),
    row(POST, "/api/v1/roles", Admin, Caller),
    row(GET, "/api/v1/roles/{name}", Admin, Caller),
    row(DELETE, "/api/v1/roles/{name}", Admin, Caller),
    row(GET, "/api/v1/bindings", Admin, Caller),
    row(POST, "/api/v1/bindings", Admin, Caller),
    row(DELETE, "/api/v1/bindings/{id}", Admin, Caller),
    row(GET, "/api/v1/policies", Admin, Caller),
    row(PUT, "/api/v1/policies/{name}", Admin, Caller),
    row(GET, "/api/v1/policies/{name}", Admin, Caller),
    row(DELETE, "/api/v1/policies/{name}", Admin, Caller),
    // --- what happened
    row(GET, "/api/v1/audit/records", Admin, Caller),
    row(GET, "/api/v1/audit/records/{id}/proof", Admin, Caller),
    row(GET, "/api/v1/audit/checkpoint", Admin, Caller),
    row(GET, "/api/v1/audit/consistency", Admin, Caller),
    row(GET, "/api/v1/audit/export", Admin, Caller).lasting(Stream),
    // --- keys and secrets, never their values
    row(GET, "/api/v1/keys/master", Admin, Caller),
    row(POST, "/api/v1/keys/master/rotate", Admin, Caller),
    row(GET, "/api/v1/keys/signing", Admin, Caller),
    row(POST, "/api/v1/keys/signing/rotate", Admin, Caller),
    row(GET, "/api/v1/secrets", Admin, Caller),
];

/// What the table says about a request.
#[derive(Debug)]
pub enum Found {
    /// It is served here.
    Route(&'static Route),
    /// The path is served here, with these methods.
    OtherMethods(Vec<Method>),
    /// Nothing is served here.
    Nothing,
}

fn served(route: &Route, listener: Listener) -> bool {
    match (route.on, listener) {
        (On::Both, _) | (On::Admin, Listener::Admin) => true,
        (On::Admin, Listener::Public) => false,
    }
}

/// Looks a request up. `path` is the matched path with its parameters in braces. `HEAD` is served wherever `GET` is.
#[must_use]
pub fn find(listener: Listener, method: &Method, path: &str) -> Found {
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    let mut others = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path == path && served(route, listener)) {
        if route.method == asked {
            return Found::Route(route);
        }
        others.push(route.method.clone());
        if route.method == Method::GET {
            others.push(Method::HEAD);
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

/// The routes of a listener.
pub fn of(listener: Listener) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| served(route, listener))
}

#[cfg(test)]
mod tests {
    use super::{Access, Found, Lasts, Listener, ROUTES, Takes, find, of};
    use http::Method;
    use std::collections::BTreeSet;

    #[test]
    fn no_route_is_listed_twice() {
        let mut seen = BTreeSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.method.as_str(), route.path)), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn the_public_listener_serves_what_outside_callers_need_and_nothing_else() {
        let nouns: BTreeSet<&str> = of(Listener::Public)
            .map(|route| route.path.trim_start_matches("/api/v1/").split('/').next().unwrap())
            .collect();
        // Paths outside /api/v1 begin with a slash, so their first segment is empty.
        assert_eq!(nouns, BTreeSet::from(["", "auth", "health", "jobs", "openapi.json", "templates"]));
        let writes: Vec<String> = of(Listener::Public)
            .filter(|route| route.method != Method::GET)
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(
            writes,
            [
                "POST /api/v1/auth/token",
                "POST /api/v1/auth/introspect",
                "POST /api/v1/auth/revoke",
                "POST /api/v1/jobs",
                "POST /api/v1/jobs/{id}/cancel",
            ]
        );
    }

    #[test]
    fn the_admin_listener_serves_everything() {
        assert_eq!(of(Listener::Admin).count(), ROUTES.len());
    }

    #[test]
    fn only_the_named_routes_are_open() {
        let open: Vec<&str> =
            ROUTES.iter().filter(|route| route.access == Access::Open).map(|route| route.path).collect();
        assert_eq!(
            open,
            [
                "/api/v1/auth/token",
                "/api/v1/auth/introspect",
                "/api/v1/auth/revoke",
                "/api/v1/auth/jwks.json",
                "/.well-known/oauth-authorization-server",
                "/",
                "/api/v1/health/live",
                "/api/v1/health/ready",
                "/health",
                "/api/v1/openapi.json",
                "/docs",
                "/docs/",
                "/docs/{*file}",
            ]
        );
    }

    #[test]
    fn unknown_callers_send_little() {
        for route in ROUTES {
            assert_eq!(route.takes == Takes::Little, route.access == Access::Open, "{}", route.path);
        }
    }

    #[test]
    fn what_lasts_is_marked() {
        let lasting = |lasts: Lasts| ROUTES.iter().filter(|r| r.lasts == lasts).map(|r| r.path).collect::<Vec<_>>();
        assert_eq!(lasting(Lasts::Wait), ["/api/v1/jobs/{id}"]);
        assert_eq!(
            lasting(Lasts::Stream),
            ["/api/v1/jobs/{id}/output", "/api/v1/jobs/{id}/events", "/api/v1/audit/export"]
        );
        // Calling a service takes time: what is always answered must not do so.
        assert!(
            ROUTES.iter().all(|r| r.lasts != Lasts::NoTime || (r.method == Method::GET && r.access == Access::Open))
        );
    }

    #[test]
    fn an_admin_route_looks_absent_from_outside() {
        assert!(matches!(find(Listener::Public, &Method::GET, "/api/v1/tenants"), Found::Nothing));
        assert!(matches!(find(Listener::Admin, &Method::GET, "/api/v1/tenants"), Found::Route(_)));
        for (method, path) in [(Method::GET, "/api/v1/jobs/{id}/attempts"), (Method::POST, "/api/v1/jobs/{id}/resolve")]
        {
            assert!(matches!(find(Listener::Public, &method, path), Found::Nothing), "{path}");
            assert!(matches!(find(Listener::Admin, &method, path), Found::Route(_)), "{path}");
        }
    }

    #[test]
    fn other_methods_are_named_for_the_listener_that_was_asked() {
        let Found::OtherMethods(public) = find(Listener::Public, &Method::DELETE, "/api/v1/templates/{name}") else {
            panic!("the path is public for GET");
        };
        assert_eq!(public, [Method::GET, Method::HEAD]);
        assert!(matches!(find(Listener::Admin, &Method::DELETE, "/api/v1/templates/{name}"), Found::Route(_)));
        assert!(matches!(find(Listener::Admin, &Method::TRACE, "/api/v1/jobs"), Found::OtherMethods(_)));
    }

    #[test]
    fn head_is_served_where_get_is() {
        assert!(matches!(find(Listener::Public, &Method::HEAD, "/api/v1/jobs"), Found::Route(_)));
        assert!(matches!(find(Listener::Public, &Method::HEAD, "/api/v1/jobs/{id}/cancel"), Found::OtherMethods(_)));
    }
}
