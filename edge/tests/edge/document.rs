use std::collections::BTreeSet;

use runwarden_edge::docs::of_listener;
use runwarden_edge::route_table::{Access, Listener};
use runwarden_edge::routes;
use serde_json::Value;

use crate::support::{Edge, get};

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

fn full() -> Value {
    routes::all().1
}

#[test]
fn the_document_is_the_accepted_one() {
    let fresh = serde_json::to_string_pretty(&full()).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let accepted = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        accepted == fresh,
        "edge/openapi.json is not what the code says. If the change is meant, accept it with\n\
         UPDATE_SNAPSHOTS=1 cargo nextest run -p runwarden-edge the_document_is_the_accepted_one"
    );
}

/// Pages are not described, and neither is what foreign senders send: that is up to them.
fn is_described(path: &str) -> bool {
    path != "/" && !path.starts_with("/docs") && !path.starts_with("/webhook/")
}

#[test]
fn the_table_and_the_document_name_the_same_routes() {
    let documented: BTreeSet<(String, String)> =
        operations(&full()).into_iter().map(|(method, path, _)| (method, path)).collect();
    let table: BTreeSet<(String, String)> = routes::table()
        .iter()
        .filter(|route| is_described(&route.path))
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    assert_eq!(documented, table);
}

#[test]
fn every_operation_says_who_may_call_it_and_how_it_fails() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&full()) {
        let route = routes::table().iter().find(|route| route.path == path && route.method.as_str() == method).unwrap();
        let guarded = operation["security"].as_array().unwrap().iter().any(|scheme| scheme.get("token").is_some());
        assert_eq!(guarded, route.access == Access::Caller, "{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty() && operation["tags"].is_array(), "{method} {path}");
        let answers = operation["responses"].as_object().unwrap();
        for needed in ["422", "429", "500", "503"] {
            assert!(answers.contains_key(needed), "{method} {path} lacks {needed}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                map.values().for_each(|inner| walk(document, inner));
            }
            Value::Array(items) => items.iter().for_each(|inner| walk(document, inner)),
            _ => {}
        }
    }
    for listener in [Listener::Public, Listener::Admin] {
        let document = of_listener(&full(), routes::table(), listener);
        walk(&document, &document);
    }
}

/// By itself, by what it refers to, or, where it may be null, by what it is otherwise.
fn explained(field: &Value) -> bool {
    let otherwise = field.get("oneOf").and_then(Value::as_array);
    field.get("description").is_some()
        || field.get("$ref").is_some()
        || otherwise.is_some_and(|kinds| kinds.iter().any(explained))
}

#[test]
fn every_schema_and_its_fields_are_explained() {
    let document = full();
    assert_eq!(document["openapi"], "3.1.0");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let page = name.starts_with("Page");
        assert!(page || schema.get("description").is_some() || schema.get("allOf").is_some(), "{name}");
        for (field, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(explained(inner), "{name}.{field}: {inner}");
        }
    }
}

#[tokio::test]
async fn the_public_listener_describes_only_itself() {
    let edge = Edge::new();
    let answer = edge.send(get("/api/v1/openapi.json"), "").await;
    let document = answer.json();
    let served = routes::table().of(Listener::Public).filter(|route| is_described(&route.path)).count();
    assert_eq!(operations(&document).len(), served);
    assert!(document["paths"].get("/api/v1/tenants").is_none());
    assert!(document["paths"]["/api/v1/templates"].get("post").is_none());
}

#[tokio::test]
async fn the_page_is_served_with_its_files() {
    let edge = Edge::new();
    let moved = edge.send(get("/docs"), "").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (308, "/docs/"));
    let page = edge.send(get("/docs/"), "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    assert_eq!(edge.send(get("/docs/swagger-ui-bundle.js"), "").await.status, 200);
    edge.send(get("/docs/nothing.js"), "").await.problem(404, "NOT_FOUND");
}

#[test]
fn each_error_has_an_example_that_is_that_error() {
    let document = full();
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let example = &response["content"]["application/problem+json"]["example"];
        assert_eq!(format!("Problem{}", example["status"]), *name, "{example}");
        assert!(["type", "title", "code", "request_id"].iter().all(|field| example[field].is_string()), "{example}");
        assert_eq!(example["errors"].is_array(), name == "Problem422", "{example}");
        assert_eq!(example["error_id"].is_string(), name == "Problem500", "{example}");
    }
    let token = &document["paths"]["/api/v1/auth/token"]["post"]["responses"];
    assert_eq!(token["401"]["content"]["application/json"]["example"]["error"], "invalid_client");
    assert_eq!(token["400"]["content"]["application/json"]["example"]["error"], "unsupported_grant_type");
}

#[test]
fn each_listener_names_the_sections_that_it_has() {
    for listener in [Listener::Public, Listener::Admin] {
        let document = of_listener(&full(), routes::table(), listener);
        let used: BTreeSet<String> = operations(&document)
            .into_iter()
            .flat_map(|(_, _, operation)| operation["tags"].as_array().unwrap().clone())
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect();
        let named: BTreeSet<String> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(named, used, "{listener:?}");
    }
}

#[test]
fn the_page_can_obtain_a_token_by_itself() {
    let document = full();
    let flow = &document["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"];
    let token = flow["tokenUrl"].as_str().unwrap();
    assert!(document["paths"][token]["post"].is_object(), "{flow}");
    assert_eq!(document["paths"]["/api/v1/jobs"]["post"]["security"][0], serde_json::json!({"oauth": []}));
}
