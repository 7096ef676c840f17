//! The table of what is reachable: every route, the listener it is on, and who may call it. Declaring a route adds it
//! ([`crate::declared`]); its path is written nowhere else.
//!
//! The gate ([`crate::gate`]) asks this table before anything else happens to a request, so a route that is missing
//! here does not exist outside, and one that is marked [`On::Admin`] does not exist on the public listener.

use http::Method;
use runwarden_kit::permission::Permission;

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
    /// As much as the settings say, from foreign senders, who are known when the body was read: they sign it. Their
    /// bodies share a third budget, so that they are in nobody's way.
    Delivery,
}

/// The largest body that an open route takes, in bytes: a form with a token of the largest size fits.
pub const LITTLE: usize = 16 * 1024;

/// How long an answer takes, which decides what it counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Next to no time, so it takes no seat: it is answered however busy everything is.
    NoSeat,
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
    pub path: String,
    /// Where it is served.
    pub on: On,
    /// Who may call it.
    pub access: Access,
    /// Whether callers may also prove themselves as OAuth clients, with their id and secret in HTTP Basic: for senders
    /// that cannot obtain a token. What they get is narrowed to this permission.
    pub basic: Option<Permission>,
    /// How large its body may be.
    pub takes: Takes,
    /// How long its answer takes.
    pub lasts: Lasts,
}

/// Everything that is reachable.
#[derive(Debug, Default)]
pub struct Table(Vec<Route>);

impl Table {
    /// Adds a route. Open routes take little: nobody knows yet who sends to them.
    pub fn add(&mut self, method: Method, path: &str, on: On, access: Access, lasts: Lasts) {
        let takes = match access {
            Access::Open => Takes::Little,
            Access::Caller => Takes::Settings,
        };
        self.0.push(Route { method, path: path.to_owned(), on, access, basic: None, takes, lasts });
    }

    /// Lets callers of all its routes prove themselves as OAuth clients too, for this permission.
    pub fn take_basic(&mut self, permission: Permission) {
        for route in &mut self.0 {
            route.basic = Some(permission);
        }
    }

    /// Adds a way in for foreign senders.
    pub fn add_delivery(&mut self, method: Method, path: &str) {
        let (on, access, takes, lasts) = (On::Both, Access::Open, Takes::Delivery, Lasts::Call);
        self.0.push(Route { method, path: path.to_owned(), on, access, basic: None, takes, lasts });
    }

    /// Adds all routes of another table.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Every route.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// The routes of a listener.
    pub fn of(&self, listener: Listener) -> impl Iterator<Item = &Route> {
        self.0.iter().filter(move |route| served(route, listener))
    }

    /// Whether foreign senders deliver to this path.
    #[must_use]
    pub fn takes_deliveries(&self, path: &str) -> bool {
        self.0.iter().any(|route| route.path == path && route.takes == Takes::Delivery)
    }

    /// Looks a request up. `path` is the matched path with its parameters in braces. `HEAD` is served where `GET` is.
    #[must_use]
    pub fn find(&self, listener: Listener, method: &Method, path: &str) -> Found<'_> {
        let asked = if *method == Method::HEAD { &Method::GET } else { method };
        let mut others = Vec::new();
        for route in self.of(listener).filter(|route| route.path == path) {
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
}

impl<'table> IntoIterator for &'table Table {
    type Item = &'table Route;
    type IntoIter = std::slice::Iter<'table, Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What the table says about a request.
#[derive(Debug)]
pub enum Found<'table> {
    /// It is served here.
    Route(&'table Route),
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
