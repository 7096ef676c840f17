//! Who may do what: roles, then the platform's policies, then the tenant's.

use crate::house::{House, admin, environment, launcher, platform_admin, question, somebody};
use runwarden_kit::caller::Scope;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{ErrorReason, json};
use serde_json::json;

/// The example of the README, word for word.
const DEV_ONLY: &str = include_str!("../../examples/launchers-dev-only.rego");

#[tokio::test]
async fn a_launcher_may_use_only_dev_and_an_administrator_everything() {
    let house = House::build().await;
    house.library.put(&admin(), "launchers-dev-only", DEV_ONLY, 0).await.unwrap();

    let dev = house.ask(&launcher(), environment("dev")).await;
    assert!(dev.allowed, "{:?}", dev.reasons);
    assert!(dev.reasons.is_empty());

    let prod = house.ask(&launcher(), environment("prod")).await;
    assert!(!prod.allowed);
    assert_eq!(prod.reasons, ["launchers may use environment=dev only, not environment=prod"]);
    let none = house.ask(&launcher(), json!({})).await;
    assert!(!none.allowed);
    assert_eq!(none.reasons, ["launchers must say environment=dev"]);
    for odd in [json!({"environment": ["dev"]}), json!({"environment": null})] {
        assert!(!house.ask(&launcher(), odd).await.allowed);
    }

    let admins = house.ask(&admin(), environment("prod")).await;
    assert!(admins.allowed, "{:?}", admins.reasons);

    let nobody = somebody("visitor", &["jobs.submit"], Scope::tenant(&TenantId::trusted("acme")));
    let visitor = house.ask(&nobody, environment("dev")).await;
    assert!(!visitor.allowed, "neither role is there, so `allow` is undefined");
    assert_eq!(visitor.reasons, ["The tenant's policies do not allow this."]);
}

#[tokio::test]
async fn without_modules_roles_alone_decide() {
    let house = House::build().await;
    assert!(house.ask(&launcher(), json!({})).await.allowed);
    let elsewhere = somebody("launcher", &["jobs.submit"], Scope::project(&TenantId::trusted("acme"), "db"));
    let reader = somebody("auditor", &["jobs.read"], Scope::tenant(&TenantId::trusted("acme")));
    let foreign = somebody("launcher", &["jobs.submit"], Scope::tenant(&TenantId::trusted("other")));
    for caller in [elsewhere, reader, foreign] {
        let decision = house.ask(&caller, json!({})).await;
        assert!(!decision.allowed);
        assert_eq!(decision.reasons, ["None of your roles permits jobs.submit in project web."]);
    }
}

#[tokio::test]
async fn whoever_has_no_role_learns_nothing_of_the_policies() {
    let house = House::build().await;
    house.put(&admin(), "m", "deny contains \"inside\"").await;
    let foreign = somebody("launcher", &["jobs.submit"], Scope::tenant(&TenantId::trusted("other")));
    let decision = house.ask(&foreign, json!({})).await;
    assert!(!decision.reasons.concat().contains("inside"));
}

#[tokio::test]
async fn the_platforms_and_the_tenants_modules_must_both_say_yes() {
    let house = House::build().await;
    house
        .put(
            &platform_admin(),
            "floor",
            "allow := true\ndeny contains \"the platform is frozen\" if input.parameters.frozen",
        )
        .await;
    assert!(house.ask(&launcher(), json!({})).await.allowed);
    let frozen = house.ask(&launcher(), json!({"frozen": true})).await;
    assert_eq!(frozen.reasons, ["the platform is frozen"]);

    house.put(&admin(), "own", "allow if input.parameters.ok").await;
    assert!(house.ask(&launcher(), json!({"ok": true})).await.allowed);
    assert!(!house.ask(&launcher(), json!({"ok": false})).await.allowed);
    assert!(!house.ask(&launcher(), json!({"ok": true, "frozen": true})).await.allowed);

    // The other tenant has modules of its own and is not asked by these.
    let mut other = question(json!({}));
    other.tenant = TenantId::trusted("other");
    let neighbour = somebody("launcher", &["jobs.submit"], Scope::tenant(&TenantId::trusted("other")));
    assert!(house.decider.decide(&neighbour, &other).await.unwrap().allowed);
}

#[tokio::test]
async fn libraries_without_a_deciding_module_are_a_no() {
    let house = House::build().await;
    let rego = "package runwarden.lib.envs\nallowed := {\"dev\"}\n";
    house.library.put(&admin(), "envs", rego, 0).await.unwrap();
    let decision = house.ask(&launcher(), json!({})).await;
    assert!(!decision.allowed);
    assert_eq!(decision.reasons, ["no module of package runwarden.authz"]);

    house
        .put(
            &admin(),
            "decide",
            "import data.runwarden.lib.envs\nallow if input.parameters.environment in envs.allowed",
        )
        .await;
    assert!(house.ask(&launcher(), environment("dev")).await.allowed);
    assert!(!house.ask(&launcher(), environment("prod")).await.allowed);
}

#[tokio::test]
async fn policies_see_the_whole_question() {
    let house = House::build().await;
    house
        .put(
            &admin(),
            "all",
            r#"
allow if {
	input.principal.id == "sa_00000000000000000000000000000001"
	input.principal.name == "example"
	input.principal.client_id == "client_00000000000000000000000000000001"
	input.principal.tenant == "acme"
	input.principal.roles == ["launcher"]
	input.principal.permissions == ["jobs.submit"]
	input.principal.authenticated_by == "client_credentials"
	input.action == "jobs.submit"
	input.tenant == "acme"
	input.project == "web"
	input.template == {"name": "deploy", "controller": "awx"}
	input.parameters == {"n": 1}
	[year, _, _] := time.date(time.parse_rfc3339_ns(input.time))
	year == 2025
}"#,
        )
        .await;
    let decision = house.ask(&launcher(), json!({"n": 1})).await;
    assert!(decision.allowed, "{:?}", decision.reasons);
}

#[tokio::test]
async fn digests_name_what_decided_and_what_on() {
    let house = House::build().await;
    let first = house.ask(&launcher(), json!({"a": 1, "b": 2})).await;
    let again = house.ask(&launcher(), json!({"b": 2, "a": 1})).await;
    assert_eq!(first.policy_digest, again.policy_digest);
    assert_eq!(first.input_digest, again.input_digest);
    assert_ne!(first.id, again.id);
    assert!(first.id.starts_with("dec_"));
    let input = question(json!({"a": 1, "b": 2}))
        .input(&launcher(), runwarden_kit::clock::Moment::from_micros(1_763_000_000_000_000));
    assert_eq!(first.input_digest, json::digest(&input));

    let other_input = house.ask(&launcher(), json!({"a": 2})).await;
    assert_ne!(first.input_digest, other_input.input_digest);
    assert_eq!(first.policy_digest, other_input.policy_digest);

    let mut seen = vec![first.policy_digest];
    house.put(&admin(), "m", "allow := true").await;
    seen.push(house.ask(&launcher(), json!({})).await.policy_digest);
    house.put(&admin(), "m", "allow := true # changed").await;
    seen.push(house.ask(&launcher(), json!({})).await.policy_digest);
    house.put(&platform_admin(), "m", "allow := true").await;
    seen.push(house.ask(&launcher(), json!({})).await.policy_digest);
    seen.push(house.ask(&admin(), json!({})).await.policy_digest);
    let mut different = seen.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), seen.len());
}

#[tokio::test]
async fn a_change_decides_at_once() {
    let house = House::build().await;
    for round in 0..5 {
        house.put(&admin(), "m", &format!("allow := false # {round}")).await;
        assert!(!house.ask(&launcher(), json!({})).await.allowed);
        house.put(&admin(), "m", &format!("allow := true # {round}")).await;
        assert!(house.ask(&launcher(), json!({})).await.allowed);
    }
    house.put(&admin(), "m", "allow := false").await;
    house.library.delete(&admin(), "m").await.unwrap();
    assert!(house.ask(&launcher(), json!({})).await.allowed);
}

#[tokio::test]
async fn a_policy_that_fails_on_this_request_is_a_no_without_its_inside() {
    let house = House::build().await;
    house
        .put(&admin(), "m", "allow := true\ndeny contains \"large\" if to_number(input.parameters.secret_rule) > 3")
        .await;
    assert!(house.ask(&launcher(), json!({})).await.allowed);
    let decision = house.ask(&launcher(), json!({"secret_rule": "many"})).await;
    assert!(!decision.allowed);
    assert_eq!(
        decision.reasons,
        ["The tenant's policies could not be evaluated for this request, so the answer is no."]
    );
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let house = House::build().await;
    let mut questions = Vec::new();
    for bad in ["", "a/b", "..", "A", "x\0"] {
        for field in 0..4 {
            let mut question = question(json!({}));
            match field {
                0 => question.tenant = TenantId::trusted(bad),
                1 => bad.clone_into(&mut question.project),
                2 => bad.clone_into(&mut question.template),
                _ => bad.clone_into(&mut question.controller),
            }
            questions.push(question);
        }
    }
    for question in questions {
        let error = house.decider.decide(&admin(), &question).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{question:?}");
    }
}
