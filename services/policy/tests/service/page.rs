//! docs/policies.md, pasted from top to bottom: each policy does what the page says of it, beside all the others.

use std::path::Path;
use std::time::Duration;

use crate::house::{House, admin, environment, launcher};
use runwarden_kit::ErrorReason;
use runwarden_kit::tenant::TenantId;
use serde_json::{Value, json};

/// The policies of the page, by name, in its order.
fn policies(page: &str, root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (language, block) in blocks(page) {
        match language {
            "rego" => {
                let (first, _) = block.split_once('\n').unwrap();
                let name = first.trim_start_matches("# ").strip_suffix(".rego").unwrap();
                found.push((name.to_owned(), block.to_owned()));
            }
            "sh" => {
                let file = block.split_once("--data-binary @").unwrap().1.trim();
                let (_, name) = block.split_once("/api/v1/policies/").unwrap();
                let (name, _) = name.split_once('"').unwrap();
                found.push((name.to_owned(), std::fs::read_to_string(root.join(file)).unwrap()));
            }
            _ => {}
        }
    }
    found
}

/// Fenced blocks with their languages.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```");
    parts.next();
    let mut found = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        found.push(block.split_once('\n').unwrap());
    }
    found
}

#[tokio::test]
async fn the_policies_page_pasted_from_top_to_bottom_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/policies.md")).unwrap();
    let refusal: Value =
        serde_json::from_str(blocks(&page).iter().find(|(language, _)| *language == "json").unwrap().1).unwrap();
    let house = House::build().await;
    let policies = policies(&page, &root);
    let names: Vec<_> = policies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["launchers-dev-only", "quiet-sundays", "tickets", "prod-needs-a-ticket"]);
    for (name, rego) in &policies {
        let stored = house.library.put(&admin(), name, rego, 0).await.unwrap();
        assert!(stored.warnings.is_empty(), "{name}: {:?}", stored.warnings);
    }
    let ticket = json!({"environment": "prod", "ticket": "CHG-004711"});
    let denied = async |caller, parameters: Value| {
        let decision = house.ask(&caller, parameters).await;
        assert_eq!(decision.allowed, decision.reasons.is_empty());
        decision.reasons
    };
    // On a Thursday.
    let none: [&str; 0] = [];
    assert_eq!(denied(launcher(), environment("dev")).await, none);
    assert_eq!(denied(launcher(), ticket.clone()).await, [refusal["detail"].as_str().unwrap()]);
    assert_eq!(denied(admin(), ticket.clone()).await, none);
    let wanted = "name the change as CHG-000000 in the parameter ticket";
    assert_eq!(denied(admin(), environment("prod")).await, [wanted]);
    assert_eq!(denied(admin(), json!({"environment": "prod", "ticket": "CHG-1"})).await, [wanted]);
    // On a Sunday.
    house.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
    let quiet = "no deployments to prod on Sundays";
    assert_eq!(denied(admin(), ticket.clone()).await, [quiet]);
    assert_eq!(denied(launcher(), ticket).await, [quiet, refusal["detail"].as_str().unwrap()]);
    assert_eq!(denied(launcher(), environment("dev")).await, none);

    // The same without the first one: what is not denied is allowed.
    house.library.delete(&admin(), "launchers-dev-only").await.unwrap();
    assert_eq!(denied(launcher(), environment("test")).await, none);
    assert_eq!(denied(launcher(), environment("prod")).await.len(), 2);
}

#[tokio::test]
async fn what_would_make_another_modules_say_void_is_refused_and_names_it() {
    let house = House::build().await;
    let put = async |name: &str, rules: &str| {
        house.library.put(&admin(), name, &format!("package runwarden.authz\n{rules}\n"), 0).await
    };
    put("dev-only", "default allow := false\nallow if input.parameters.environment == \"dev\"").await.unwrap();
    for (rules, line) in [
        ("allow := true\ndeny contains \"x\" if input.parameters.no", 2),
        ("default allow := true", 2),
        ("deny contains \"x\" if input.parameters.no\nallow if true", 3),
        ("allow if yes\nyes := 1 == 1", 2),
        ("allow := yes\nyes if count([1]) == 1", 2),
    ] {
        let error = put("open", rules).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::PolicyInvalid, "{rules}");
        let said = &error.fields()[0].detail;
        assert!(said.starts_with(&format!("line {line}, column ")) && said.contains("module `dev-only`"), "{said}");
    }
    // The other way round it is the module that is there already, and it is named.
    house.library.delete(&admin(), "dev-only").await.unwrap();
    put("open", "allow := true\ndeny contains \"x\" if input.parameters.no").await.unwrap();
    let error = put("dev-only", "allow if input.parameters.environment == \"dev\"").await.unwrap_err();
    assert!(error.fields()[0].detail.starts_with("module `open`, line 2, column 1: "), "{error:?}");
    put("open", "deny contains \"x\" if input.parameters.no").await.unwrap();
    put("dev-only", "allow if input.parameters.environment == \"dev\"").await.unwrap();

    for rules in ["deny := {\"y\"}", "default deny := set()", "deny := set() if input.parameters.quiet"] {
        let error = put("whole", rules).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::PolicyInvalid, "{rules}");
    }
    let decision = house.ask(&launcher(), json!({"environment": "dev", "no": true})).await;
    assert_eq!(decision.reasons, ["x"]);
}

#[tokio::test]
async fn what_deserves_a_look_is_told_and_stored() {
    let house = House::build().await;
    let put = async |name: &str, rules: &str| {
        let rego = format!("package runwarden.authz\n{rules}\n");
        house.library.put(&admin(), name, &rego, 0).await.unwrap().warnings
    };
    let none: [&str; 0] = [];
    assert_eq!(put("dev", "allow if input.parameters.environment == \"dev\"").await, none);
    let told = put("test", "allow if input.parameters.environment == \"test\"").await;
    assert!(
        told[0].contains("`allow` is also defined in module `dev`") && told[0].starts_with("line 2, column 1: "),
        "{told:?}"
    );
    house.library.delete(&admin(), "test").await.unwrap();

    assert_eq!(put("no", "deny contains \"no\" if not exempt\nexempt if input.parameters.free").await, none);
    let told = put("more", "deny contains \"more\" if not exempt\nexempt if input.parameters.paid").await;
    assert!(told.iter().any(|said| said.contains("`authz.exempt` is also defined in module `no`")), "{told:?}");
    house.library.delete(&admin(), "more").await.unwrap();

    let told =
        put("odd", "deny contains \"x\" if input.parameters.x\ndenny contains \"y\" if input.parameters.y").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("nothing uses `authz.denny`"), "{told:?}");
}

#[tokio::test]
async fn a_misspelled_allow_does_not_open_a_set_that_only_denies() {
    let house = House::build().await;
    house.put(&admin(), "no", "deny contains \"no\" if input.parameters.no").await;
    assert!(house.ask(&launcher(), json!({})).await.allowed);
    let rego = "package runwarden.authz\nalow if input.parameters.environment == \"dev\"\n";
    let told = house.library.put(&admin(), "typo", rego, 0).await.unwrap().warnings;
    assert!(told[0].contains("neither `allow` nor `deny`, so nothing is allowed at all"), "{told:?}");
    for parameters in [json!({}), environment("dev")] {
        assert!(!house.ask(&launcher(), parameters).await.allowed);
    }
}

#[tokio::test]
async fn sets_that_contradict_each_other_already_can_be_corrected_one_by_one() {
    let house = House::build().await;
    // As sets were stored before they were looked at together.
    let open = "allow := true\ndeny contains \"x\" if input.parameters.x";
    house.store_unseen("a", open).await;
    house.store_unseen("b", open).await;
    house.store_unseen("dev", "default allow := false\nallow if input.parameters.environment == \"dev\"").await;
    assert!(house.ask(&launcher(), environment("prod")).await.allowed, "it decides as it did");
    let rego = |rules: &str| format!("package runwarden.authz\n{rules}\n");
    let deny = rego("deny contains \"x\" if input.parameters.x");
    let told = house.library.put(&admin(), "a", &deny, 0).await.unwrap().warnings;
    assert!(told[0].starts_with("module `b`, line 2, column 1: this `allow` does not depend"), "{told:?}");
    assert!(house.library.put(&admin(), "b", &deny, 0).await.unwrap().warnings.is_empty());
    assert!(!house.ask(&launcher(), environment("prod")).await.allowed);
}

#[tokio::test]
async fn a_revision_counts_the_changes_of_its_module_and_never_comes_again() {
    let house = House::build().await;
    let first = house.put(&admin(), "m", "allow := true").await;
    assert_eq!(first.revision, 1);
    // What others write, here and elsewhere, is not counted.
    house.put(&admin(), "n", "deny contains \"x\" if input.parameters.x").await;
    let neighbour = crate::house::somebody(
        "tenant-admin",
        &["policies.read", "policies.write"],
        runwarden_kit::caller::Scope::tenant(&TenantId::trusted("other")),
    );
    for round in 0..5 {
        house.put(&neighbour, "m", &format!("allow := true # {round}")).await;
    }
    assert_eq!(house.put(&admin(), "m", "allow := true # 2").await.revision, 2);
    assert_eq!(house.library.get(&admin(), "m").await.unwrap().revision, 2);
    house.library.delete(&admin(), "m").await.unwrap();
    let again = house.put(&admin(), "m", "allow := true").await;
    assert_eq!(again.revision, 3, "no revision of it comes again");
    let stale = house.library.put(&admin(), "m", "package runwarden.authz\nallow := false\n", first.revision).await;
    assert_eq!(stale.unwrap_err().reason(), ErrorReason::Conflict);
}
