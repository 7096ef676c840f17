//! Policies as people really have them (tests/cases): each is taken and decides, or is refused with what to write
//! instead.

use std::path::Path;

use serde_json::json;

use crate::house::{House, admin, environment, launcher};

fn case(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(format!("{name}.rego"));
    std::fs::read_to_string(file).unwrap()
}

async fn take(house: &House, name: &str) {
    let stored = house.library.put(&admin(), name, &case(name), 0).await;
    stored.unwrap_or_else(|error| panic!("{name}: {:?}", error.fields()));
}

#[tokio::test]
async fn what_cannot_be_taken_says_what_to_write() {
    let house = House::build().await;
    for (name, words) in [
        ("p04-as-for-the-platform", &["line 1", "`runwarden.authz`, where `allow` and `deny` decide"][..]),
        ("p05-before-rego-v1", &["line 5", "write `allow if { … }`", "`deny contains msg if { … }`"]),
        ("p06-conftest", &["line 1", "`runwarden.authz`, where `allow` and `deny` decide"]),
        ("p11-claims", &["line 8", "`io.jwt.decode`", "use `input.principal`"]),
        ("p12-clock", &["line 7", "`time.now_ns`", "use `time.parse_rfc3339_ns(input.time)`"]),
    ] {
        let error = house.library.put(&admin(), name, &case(name), 0).await.expect_err(name);
        let said: String = error.fields().iter().map(|field| field.detail.as_str()).collect();
        for word in words {
            assert!(said.contains(word), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn what_is_taken_decides() {
    // At 02:13 on a Thursday, by UTC.
    for (name, parameters, allowed, reason) in [
        ("p01-maintenance-window", environment("prod"), true, ""),
        ("p02-values-by-team", environment("dev"), true, ""),
        (
            "p02-values-by-team",
            environment("prod"),
            false,
            r#"not allowed for {"launcher"}: ["environment"]; you may send {"launcher": {"environment": ["dev", "staging"]}}"#,
        ),
        ("p03-only-known-keys", environment("dev"), true, ""),
        ("p03-only-known-keys", json!({"colour": "red"}), false, "unknown parameters: colour"),
        ("p03-only-known-keys", json!({"version": "1.3.9"}), false, "\"1.3.9\" is older than 1.4.0"),
        ("p07-networks-and-globs", json!({"notes": "10.1.2.3, 10.200.0.1"}), true, ""),
        ("p07-networks-and-globs", json!({"notes": "10.1.2.3, 192.0.2.1"}), false, ""),
        ("p08-described", environment("prod"), true, ""),
        ("p09-one-long-line", json!({"notes": "app-059.prod.example.net"}), true, ""),
        ("p09-one-long-line", json!({"notes": "app-060.prod.example.net"}), false, ""),
    ] {
        let house = House::build().await;
        take(&house, name).await;
        let decision = house.ask(&launcher(), parameters.clone()).await;
        assert_eq!(decision.allowed, allowed, "{name} {parameters}: {:?}", decision.reasons);
        if !reason.is_empty() {
            assert_eq!(decision.reasons, [reason], "{name}");
        }
    }
}

#[tokio::test]
async fn helpers_are_shared() {
    let house = House::build().await;
    take(&house, "p15-helpers").await;
    take(&house, "p16-uses-helpers").await;
    assert!(house.ask(&launcher(), environment("dev")).await.allowed);
}
