//! Webhooks from outside: a signed delivery becomes one run, whatever is repeated, forged or killed.

use aws_lc_rs::hmac;
use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api, Controller, Signal, System, Tenant, until};
use serde_json::{Value, json};

use super::{acme, settings};

pub(super) const KEY: &str = "It's a Secret to Everybody";
const MODULE: &str = r#"package runwarden.hook

accept if input.body.ref == "refs/heads/main"

parameters := {"environment": "dev", "version": input.body.version}

reference := input.body.after
"#;

pub(super) fn push(version: &str) -> String {
    json!({"ref": "refs/heads/main", "after": "abc", "version": version}).to_string()
}

/// Delivers as GitHub does.
pub(super) async fn deliver(base: &str, path: &str, key: &str, id: &str, body: &str) -> Option<Answer> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Api::anonymous(base)
        .call(reqwest::Method::POST, path)
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", &format!("sha256={hex}"))
        .json_text(body)
        .try_send()
        .await
        .ok()
}

pub(super) async fn hook(acme: &Tenant, name: &str) -> Value {
    let account = acme.client(&format!("{name}-account"), Some("web"), &["launcher"]).await;
    let body = json!({"name": name, "project": "web", "template": "deploy", "kind": "github", "client_id": account.id,
        "module": MODULE, "key": KEY});
    acme.admin.post("/api/v1/hooks", &body).await.expect(201)
}

async fn delivery(acme: &Tenant, id: &str) -> Value {
    acme.admin.get(&format!("/api/v1/hooks/push/deliveries/{id}")).await.expect(200)
}

/// The delivery when it is done with.
async fn done(acme: &Tenant, id: &str) -> Value {
    until("the delivery to be done with", async || {
        let found = delivery(acme, id).await;
        found.get("finished_at").is_some().then_some(found)
    })
    .await
}

fn names(delivery: &Value) -> Vec<&str> {
    delivery["steps"].as_array().unwrap().iter().map(|step| text(step, "name")).collect()
}

async fn world() -> (Controller, System, Tenant) {
    // A launch that a kill cut off is found out about within seconds.
    let (controller, system, acme) = acme(&settings().that_stays().impatient()).await;
    acme.map("deploy", "deploy").await;
    hook(&acme, "push").await;
    (controller, system, acme)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_delivery_becomes_one_run_and_nothing_else_does() {
    let (controller, system, acme) = world().await;
    let base = system.reach().base_url.clone();
    let send =
        async |key: &str, id: &str, body: &str| deliver(&base, "/webhook/acme/push", key, id, body).await.unwrap();
    let first = send(KEY, "1", &push("1.4.2")).await.expect(202);
    let id = text(&first, "delivery").to_owned();
    let found = done(&acme, &id).await;
    assert_eq!(text(&found, "state"), "submitted", "{found}");
    let job = acme.admin.over(text(&found, "job")).await;
    assert_eq!((text(&job, "state"), &job["parameters"]["version"]), ("succeeded", &json!("1.4.2")), "{job}");

    // A repeat gets the first one's job; other content with its id is a conflict.
    let again = send(KEY, "1", &push("1.4.2")).await.expect(200);
    assert_eq!((text(&again, "delivery"), text(&again, "job")), (&*id, text(&found, "job")));
    assert_eq!(send(KEY, "1", &push("6.6.6")).await.status, 409);
    // Forged, for another tenant, for no hook at all: one answer.
    let forged = send("another key, just as long", "2", &push("6.6.6")).await;
    assert_eq!(forged.status, 401);
    for path in ["/webhook/other/push", "/webhook/acme/none"] {
        let answer = deliver(&base, path, KEY, "2", &push("6.6.6")).await.unwrap();
        assert_eq!((answer.status, answer.json()), (forged.status, forged.json()), "{path}");
    }
    // Not wanted by the filter.
    let other = json!({"ref": "refs/heads/dev", "after": "abc", "version": "1"}).to_string();
    let unwanted = send(KEY, "3", &other).await.expect(202);
    assert_eq!(text(&done(&acme, text(&unwanted, "delivery")).await, "state"), "filtered");
    // Refused by the schema, with the parameter's name.
    let wrong = json!({"ref": "refs/heads/main", "after": "abc", "version": {"a": 1}}).to_string();
    let refused = send(KEY, "4", &wrong).await.expect(202);
    let refused = done(&acme, text(&refused, "delivery")).await;
    assert_eq!((text(&refused, "state"), text(&refused, "reason")), ("refused", "PARAMETERS_INVALID"), "{refused}");
    assert!(text(&refused, "reason_detail").contains("version"), "{refused}");
    assert_eq!(controller.launched(), 1);

    // All of it can be looked at, step by step, and the signature cannot.
    let shown = delivery(&acme, &id).await;
    let all = [
        "received",
        "verified",
        "deduplicated",
        "filtered",
        "mapped",
        "validated",
        "decided",
        "submitted",
        "launched",
        "finished",
    ];
    assert_eq!(names(&shown), all, "{shown}");
    assert_eq!((&shown["input"]["body"]["version"], text(&shown, "reference")), (&json!("1.4.2"), "abc"));
    assert!(!shown.to_string().contains("sha256="), "{shown}");
    // The signature is not the only thing that was refused: the conflict and the schema's refusal are there as well.
    for (action, times) in [("delivery.receive", 3), ("delivery.submit", 1), ("delivery.refuse", 3)] {
        until(&format!("{times} records of {action}"), async || {
            let trail = acme.admin.all("/api/v1/audit/records").await;
            (trail.iter().filter(|record| text(record, "action") == action).count() == times).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_tried_out_and_a_delivery_is_delivered_again() {
    let (controller, system, acme) = world().await;
    let test = async |body: Value| acme.admin.post("/api/v1/hooks/push/test", &body).await.expect(200);
    let event = json!({"event": "push", "body": {"ref": "refs/heads/main", "after": "a", "version": "1.4.2"}});
    let tried = test(event.clone()).await;
    assert_eq!((&tried["would_run"], &tried["parameters"]["version"]), (&json!(true), &json!("1.4.2")), "{tried}");
    assert_eq!(names(&tried), ["filtered", "mapped", "validated", "decided"]);
    let rego =
        "package runwarden.authz\n\ndeny contains \"not by webhook\" if input.principal.authenticated_by == \"hook\"\n";
    let _policy = acme
        .admin
        .call(reqwest::Method::PUT, "/api/v1/policies/no-hooks")
        .json(&json!({"rego": rego}))
        .send()
        .await
        .expect(201);
    let tried = test(event).await;
    assert_eq!((&tried["would_run"], text(&tried["steps"][3], "detail")), (&json!(false), "not by webhook"), "{tried}");
    assert_eq!(controller.launched(), 0);
    let _removed = acme.admin.delete("/api/v1/policies/no-hooks").await.expect(204);

    let first = deliver(&system.reach().base_url, "/webhook/acme/push", KEY, "1", &push("1.4.2")).await.unwrap();
    let id = text(&first.expect(202), "delivery").to_owned();
    let first = done(&acme, &id).await;
    let tried = test(json!({"delivery": id})).await;
    assert_eq!(tried["would_run"], true, "{tried}");
    let path = format!("/api/v1/hooks/push/deliveries/{id}/redeliver");
    let again = acme.admin.act(&path).await.expect(202);
    assert_eq!(text(&again, "redelivery_of"), id);
    let second = done(&acme, text(&again, "id")).await;
    assert_ne!(text(&second, "job"), text(&first, "job"));
    for delivery in [&first, &second] {
        acme.admin.over(text(delivery, "job")).await;
    }
    assert_eq!(controller.launched(), 2);
}

/// Wherever the process is killed: what was answered is there, the sender's repeat is no second delivery, and each
/// delivery is one run.
#[tokio::test(flavor = "multi_thread")]
async fn no_delivery_is_lost_and_none_runs_twice_wherever_the_process_dies() {
    let (controller, mut system, acme) = world().await;
    let base = system.reach().base_url.clone();
    let points = ["receive.before", "receive.after", "map.before", "map.after", "submit.before", "submit.after"];
    for (number, point) in (1..).zip(points) {
        system.set("RUNWARDEN_HOOK_FAILPOINT", point);
        system.restart(Signal::Term).await;
        let (id, body) = (point.to_owned(), push(&format!("1.0.{number}")));
        let answer = deliver(&base, "/webhook/acme/push", KEY, &id, &body).await;
        system.process().ended().await;
        system.set("RUNWARDEN_HOOK_FAILPOINT", "");
        system.start_again().await;
        // Whoever was not answered sends again.
        let again = deliver(&base, "/webhook/acme/push", KEY, &id, &body).await.unwrap();
        assert!([200, 202].contains(&again.status), "{point}: {}", again.status);
        let delivered = text(&again.json(), "delivery").to_owned();
        if let Some(answer) = answer.filter(|answer| answer.status == 202) {
            assert_eq!(text(&answer.json(), "delivery"), delivered, "{point}: what was answered is there");
        }
        let found = done(&acme, &delivered).await;
        assert_eq!(text(&found, "state"), "submitted", "{point}: {found}");
        let job = acme.admin.over(text(&found, "job")).await;
        assert_eq!(text(&job, "state"), "succeeded", "{point}: {job}");
        assert_eq!(controller.launched(), number, "{point}: one run for each");
    }
    let all = acme.admin.all("/api/v1/hooks/push/deliveries").await;
    assert_eq!(all.len(), points.len(), "one delivery for each");
}
