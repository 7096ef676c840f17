//! What is reachable, as the declarations add up.

use std::collections::BTreeSet;

use http::Method;
use runwarden_kit::permission::Permission;

use super::table;
use crate::route_table::{Access, Found, Lasts, Listener, Takes};

fn set<const N: usize>(all: [&str; N]) -> BTreeSet<String> {
    all.map(str::to_owned).into()
}

#[test]
fn no_route_is_listed_twice() {
    let mut seen = BTreeSet::new();
    for route in table() {
        assert!(seen.insert((route.method.as_str(), route.path.as_str())), "{} {}", route.method, route.path);
    }
}

#[test]
fn the_public_listener_serves_what_outside_callers_need_and_nothing_else() {
    let nouns: BTreeSet<&str> = table()
        .of(Listener::Public)
        .map(|route| route.path.trim_start_matches("/api/v1/").split('/').next().unwrap())
        .collect();
    // Paths outside /api/v1 begin with a slash, so their first segment is empty.
    assert_eq!(nouns, BTreeSet::from(["", "auth", "controllers", "health", "jobs", "openapi.json", "templates"]));
    let writes: BTreeSet<String> = table()
        .of(Listener::Public)
        .filter(|route| route.method != Method::GET)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        writes,
        set([
            "POST /api/v1/auth/token",
            "POST /api/v1/auth/introspect",
            "POST /api/v1/auth/revoke",
            "POST /api/v1/jobs",
            "POST /api/v1/jobs/{id}/cancel",
            // What controllers say.
            "POST /api/v1/controllers/{name}/notifications",
            // What foreign senders deliver, and ask before they do.
            "POST /webhook/{tenant}/{hook}",
            "PUT /webhook/{tenant}/{hook}",
            "OPTIONS /webhook/{tenant}/{hook}",
        ])
    );
}

#[test]
fn only_hints_are_taken_with_a_clients_secret_and_for_their_permission_alone() {
    let basic: Vec<_> = table().iter().filter_map(|route| Some((route.path.as_str(), route.basic?))).collect();
    assert_eq!(basic, [("/api/v1/controllers/{name}/notifications", Permission::ControllersHint)]);
}

#[test]
fn the_admin_listener_serves_everything() {
    assert_eq!(table().of(Listener::Admin).count(), table().iter().count());
}

#[test]
fn only_the_named_routes_are_open() {
    let open: BTreeSet<String> =
        table().iter().filter(|route| route.access == Access::Open).map(|route| route.path.clone()).collect();
    assert_eq!(
        open,
        set([
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
            "/webhook/{tenant}/{hook}",
        ])
    );
}

#[test]
fn unknown_callers_send_little_but_for_foreign_senders_who_sign_what_they_send() {
    for route in table() {
        let is_delivery = route.path.starts_with("/webhook/");
        assert_eq!(route.takes == Takes::Little, route.access == Access::Open && !is_delivery, "{}", route.path);
        assert_eq!(route.takes == Takes::Delivery, is_delivery, "{}", route.path);
    }
}

#[test]
fn what_lasts_is_marked() {
    let lasting =
        |lasts: Lasts| table().iter().filter(|r| r.lasts == lasts).map(|r| r.path.clone()).collect::<BTreeSet<_>>();
    assert_eq!(lasting(Lasts::Wait), set(["/api/v1/jobs/{id}"]));
    assert_eq!(
        lasting(Lasts::Stream),
        set(["/api/v1/jobs/{id}/output", "/api/v1/jobs/{id}/events", "/api/v1/audit/export"])
    );
    // What takes no seat must be harmless: nothing behind a token, and nothing that changes anything.
    assert!(table().iter().all(|r| r.lasts != Lasts::NoSeat || (r.method == Method::GET && r.access == Access::Open)));
}

#[test]
fn an_admin_route_looks_absent_from_outside() {
    assert!(matches!(table().find(Listener::Public, &Method::GET, "/api/v1/tenants"), Found::Nothing));
    assert!(matches!(table().find(Listener::Admin, &Method::GET, "/api/v1/tenants"), Found::Route(_)));
    for (method, path) in [(Method::GET, "/api/v1/jobs/{id}/attempts"), (Method::POST, "/api/v1/jobs/{id}/resolve")] {
        assert!(matches!(table().find(Listener::Public, &method, path), Found::Nothing), "{path}");
        assert!(matches!(table().find(Listener::Admin, &method, path), Found::Route(_)), "{path}");
    }
}

#[test]
fn other_methods_are_named_for_the_listener_that_was_asked() {
    let Found::OtherMethods(public) = table().find(Listener::Public, &Method::DELETE, "/api/v1/templates/{name}")
    else {
        panic!("the path is public for GET");
    };
    assert_eq!(public, [Method::GET, Method::HEAD]);
    assert!(matches!(table().find(Listener::Admin, &Method::DELETE, "/api/v1/templates/{name}"), Found::Route(_)));
    assert!(matches!(table().find(Listener::Admin, &Method::TRACE, "/api/v1/jobs"), Found::OtherMethods(_)));
}

#[test]
fn head_is_served_where_get_is() {
    assert!(matches!(table().find(Listener::Public, &Method::HEAD, "/api/v1/jobs"), Found::Route(_)));
    assert!(matches!(
        table().find(Listener::Public, &Method::HEAD, "/api/v1/jobs/{id}/cancel"),
        Found::OtherMethods(_)
    ));
}
