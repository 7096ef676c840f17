//! Modules: who may keep them, what is refused and where, what is recorded.

use crate::house::{House, admin, launcher, platform_admin, somebody};
use runwarden_kit::caller::Scope;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason, json};
use runwarden_policy::library::Stored;

const ALLOW: &str = "package runwarden.authz\nallow := true\n";

async fn refused(house: &House, name: &str, rego: &str) -> Error {
    house.library.put(&admin(), name, rego, 0).await.unwrap_err()
}

fn fields(error: &Error) -> Vec<(&str, &str)> {
    error.fields().iter().map(|field| (field.pointer.as_str(), field.detail.as_str())).collect()
}

#[tokio::test]
async fn a_module_comes_back_as_it_was_stored() {
    let house = House::build().await;
    let Stored { module, created, warnings } = house.library.put(&admin(), "m", ALLOW, 0).await.unwrap();
    assert!(created && warnings.is_empty());
    assert_eq!(module.digest, json::sha256_hex(ALLOW.as_bytes()));
    assert_eq!(module.updated_by, admin().principal);
    assert_eq!(house.library.get(&admin(), "m").await.unwrap(), module);
    let listed = house.library.list(&admin()).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&module));

    let Stored { module: same, created, .. } = house.library.put(&admin(), "m", ALLOW, 0).await.unwrap();
    assert!(!created);
    assert_eq!(same, module, "the same text is no change");

    let changed = house.put(&admin(), "m", "allow := false").await;
    assert!(changed.revision > module.revision);
}

#[tokio::test]
async fn what_does_not_compile_is_refused_with_line_and_column() {
    let house = House::build().await;
    let error = refused(&house, "m", "package runwarden.authz\n\nallow := if true\n").await;
    assert_eq!(error.reason(), ErrorReason::PolicyInvalid);
    let said = fields(&error);
    assert_eq!(said[0].0, "/rego");
    assert!(said[0].1.starts_with("line 3, column 10: "), "{said:?}");

    for (rego, place) in [
        ("package runwarden.authz\nallow if crypt.x(1)\n", "line 2, column 10: there is no function `crypt.x`"),
        ("package runwarden.authz\nallow if {\n\thttp.send({})\n}\n", "line 3, column 2: `http.send` cannot be used"),
        ("package other\nallow := true\n", "line 1, column 1: the package must be"),
        ("package runwarden.authz\nf(x) := f(x)\n", "line 2, column 1: rules must not depend on themselves"),
        ("package runwarden.authz\nx := [[[[[[[[[1]]]]]]]]]\n", "line 2, column 14: brackets nest deeper"),
        ("package runwarden.authz\nallow if ghost\n", "line 2, column 10: "),
        ("package runwarden.authz\nallow := \"open\n", "line 2, column 10: this string is not closed"),
        ("", "line 1, column 1: the module is empty"),
        ("package runwarden.authz\nallow { true }\n", "line 2, column 7: `if` keyword"),
    ] {
        let error = refused(&house, "m", rego).await;
        assert_eq!(error.reason(), ErrorReason::PolicyInvalid, "{rego}");
        let said = fields(&error);
        assert!(said[0].1.starts_with(place), "{rego}: {said:?}");
    }
    assert!(house.library.list(&admin()).await.unwrap().is_empty());
    assert!(house.entries().await.is_empty());
}

#[tokio::test]
async fn modules_that_break_together_are_refused_together() {
    let house = House::build().await;
    let lib = "package runwarden.lib.a\nimport data.runwarden.lib.b\nf(x) := b.g(x)\n";
    let error = refused(&house, "a", lib).await;
    assert!(fields(&error)[0].1.contains("no function `b.g`"), "{error:?}");

    let b = "package runwarden.lib.b\ng(x) := x\n";
    house.library.put(&admin(), "b", b, 0).await.unwrap();
    house.library.put(&admin(), "a", lib, 0).await.unwrap();
    let cyclic = "package runwarden.lib.b\ng(x) := data.runwarden.lib.a.f(x)\n";
    let error = refused(&house, "b", cyclic).await;
    assert!(fields(&error)[0].1.contains("themselves"), "{error:?}");
    let gone = "package runwarden.lib.b\nh(x) := x\n";
    let error = refused(&house, "b", gone).await;
    assert!(fields(&error)[0].1.starts_with("module `a`, line 3"), "{error:?}");

    let error = house.library.delete(&admin(), "b").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Conflict);
    assert!(error.detail().contains("module `a`"), "{error:?}");
    house.library.delete(&admin(), "a").await.unwrap();
    house.library.delete(&admin(), "b").await.unwrap();
}

#[tokio::test]
async fn an_expected_revision_guards_against_overwriting() {
    let house = House::build().await;
    let error = house.library.put(&admin(), "m", ALLOW, 7).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Conflict);
    let module = house.put(&admin(), "m", "allow := true").await;
    let text = |rules: &str| format!("package runwarden.authz\n{rules}\n");
    let changed = house.library.put(&admin(), "m", &text("allow := false"), module.revision).await.unwrap().module;
    let error = house.library.put(&admin(), "m", &text("x := 1"), module.revision).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Conflict);
    assert_eq!(house.library.get(&admin(), "m").await.unwrap(), changed);
    let error = house.library.put(&admin(), "m", ALLOW, -1).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn uploads_at_the_same_time_are_all_tried_together() {
    let house = House::build().await;
    let lib = |other: &str| format!("package runwarden.lib.{other}\nx := 1\n");
    let (a, b, c) = (lib("a"), lib("b"), lib("c"));
    let admin = admin();
    let (one, two, three) = tokio::join!(
        house.library.put(&admin, "a", &a, 0),
        house.library.put(&admin, "b", &b, 0),
        house.library.put(&admin, "c", &c, 0),
    );
    one.unwrap();
    two.unwrap();
    three.unwrap();
    assert_eq!(house.library.list(&admin).await.unwrap().len(), 3);
    assert_eq!(house.entries().await.len(), 3);
}

#[tokio::test]
async fn tenants_do_not_see_each_others_modules() {
    let house = House::build().await;
    house.put(&admin(), "m", "allow := true").await;
    let neighbour =
        somebody("tenant-admin", &["policies.read", "policies.write"], Scope::tenant(&TenantId::trusted("other")));
    assert!(house.library.list(&neighbour).await.unwrap().is_empty());
    let error = house.library.get(&neighbour, "m").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::NotFound);
    let error = house.library.delete(&neighbour, "m").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::NotFound);
    assert!(house.library.list(&platform_admin()).await.unwrap().is_empty());

    let mut acting = platform_admin();
    acting.acting_tenant = Some(TenantId::trusted("acme"));
    assert_eq!(house.library.list(&acting).await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_who_may_write_policies_writes_them() {
    let house = House::build().await;
    let reader = somebody("auditor", &["policies.read"], Scope::tenant(&TenantId::trusted("acme")));
    let of_project =
        somebody("odd", &["policies.read", "policies.write"], Scope::project(&TenantId::trusted("acme"), "web"));
    for caller in [launcher(), reader, of_project] {
        let put = house.library.put(&caller, "m", ALLOW, 0).await;
        assert_eq!(put.unwrap_err().reason(), ErrorReason::PermissionDenied);
        let delete = house.library.delete(&caller, "m").await;
        assert_eq!(delete.unwrap_err().reason(), ErrorReason::PermissionDenied);
    }
    let list = house.library.list(&launcher()).await;
    assert_eq!(list.unwrap_err().reason(), ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn every_change_is_recorded_with_its_digests() {
    let house = House::build().await;
    let first = house.put(&admin(), "m", "allow := true").await;
    let second = house.put(&admin(), "m", "allow := false").await;
    house.library.delete(&admin(), "m").await.unwrap();
    let entries = house.entries().await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            (entry.action.as_str(), entry.tenant.as_str(), entry.object_id.as_str(), entry.payload_digest.as_str())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("policy.put", "acme", "m", first.digest.as_str()),
            ("policy.put", "acme", "m", second.digest.as_str()),
            ("policy.delete", "acme", "m", second.digest.as_str()),
        ]
    );
    assert!(entries[1].details_json.contains(&first.digest));
    assert!(entries.iter().all(|entry| entry.object_type == "policy"));
}

#[tokio::test]
async fn names_are_slugs_and_sizes_are_bounded() {
    let house = House::build().await;
    for name in ["", "_head", "../x", "A", "a/b", "a\0"] {
        let error = refused(&house, name, ALLOW).await;
        assert_eq!(fields(&error)[0].0, "/name", "{name}");
    }
    let large = |index: usize| {
        let line = format!("# {}\n", "x".repeat(200));
        format!("package runwarden.lib.l{index}\nx := 1\n{}", line.repeat(1200))
    };
    for index in 0..4 {
        house.library.put(&admin(), &format!("l{index}"), &large(index), 0).await.unwrap();
    }
    let error = refused(&house, "l4", &large(4)).await;
    assert!(fields(&error)[0].1.contains("all modules together"), "{error:?}");
}
