use aws_lc_rs::hmac;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::support::{keys, one, post, problem, reason, receiver};
use crate::run_task::ACCESS_TOKEN;
use crate::{Arrived, Outcome, Reason, Received, Refusal};

const KEY: &str = "the task's HMAC key";

fn request() -> Value {
    json!({"payload_version": 1, "stage": "post_plan", "access_token": "4QEuyyxug1f2rw.atlasv1.iDyxqhXGVZ0ykes53YdQyHyYtFOrdAWNBxcVUgWvzb64NFHjcquu8gJMEdUwoSLRu4Q",
     "capabilities": {"outcomes": true}, "configuration_version_id": "cv-ntv3HbhJqvFzamy7",
     "configuration_version_download_url": "https://app.terraform.io/api/v2/configuration-versions/cv-ntv3HbhJqvFzamy7/download",
     "is_speculative": false, "organization_name": "hashicorp",
     "plan_json_api_url": "https://app.terraform.io/api/v2/plans/plan-6AFmRJW1PFJ7qbAh/json-output",
     "run_id": "run-i3Df5to9ELvibKpQ", "run_app_url": "https://app.terraform.io/app/hashicorp/my-workspace/runs/run-i3Df5to9ELvibKpQ",
     "run_created_at": "2021-09-02T14:47:13.036Z", "run_created_by": "username", "run_message": "Triggered via UI",
     "task_result_id": "taskrs-2nH5dncYoXaMVQmJ", "task_result_enforcement_level": "mandatory",
     "task_result_callback_url": "https://app.terraform.io/api/v2/task-results/5ea8d46c-2ceb-42cd-83f2-82e54697bddd/callback",
     "vcs_branch": "main", "vcs_commit_url": null, "vcs_pull_request_url": null, "vcs_repo_url": null,
     "workspace_id": "ws-ck4G5bb1Yei5szRh", "workspace_name": "tfr_github_0",
     "workspace_app_url": "https://app.terraform.io/app/hashicorp/my-workspace", "workspace_working_directory": "/terraform"})
}

fn signed(body: &str) -> Received {
    let signature = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, KEY.as_bytes()), body.as_bytes()));
    post(&[("X-TFC-Task-Signature", &signature), ("User-Agent", "TFC/1.0 (+https://app.terraform.io; TFC)")], body)
}

fn send(settings: Value, body: &Value) -> Result<Arrived, Refusal> {
    receiver("run_task", settings).receive(&signed(&body.to_string()), &keys(&[KEY]))
}

fn with(field: &str, value: Value) -> Value {
    let mut body = request();
    body[field] = value;
    body
}

#[test]
fn a_request_is_read_and_its_token_is_kept_apart() {
    let event = one(send(json!({}), &request()));
    assert_eq!(event.id.as_deref(), Some("taskrs-2nH5dncYoXaMVQmJ"));
    assert_eq!(event.event, "post_plan");
    assert!(event.secrets[ACCESS_TOKEN].expose_secret().starts_with("4QEu"));
    assert!(!event.document.to_string().contains("4QEu"));
    assert_eq!(event.document["body"]["workspace_name"], "tfr_github_0");
    for pointer in [crate::run_task::CALLBACK_URL, crate::run_task::PLAN_URL, crate::run_task::OUTCOMES] {
        assert!(event.document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn a_retry_with_a_new_token_is_a_repeat_and_another_run_is_not() {
    let content = |body: &Value| one(send(json!({}), body)).content;
    assert_eq!(content(&request()), content(&with("access_token", json!("another"))));
    assert_ne!(content(&request()), content(&with("run_id", json!("run-2"))));
}

#[test]
fn a_verification_request_is_answered_and_is_no_event() {
    for body in [
        with("access_token", json!("test-token")),
        with("task_result_enforcement_level", json!("test")),
        json!({"payload_version": 1, "access_token": "test-token", "stage": null}),
    ] {
        let Ok(Arrived::Handshake { answer, .. }) = send(json!({}), &body) else { panic!("{body}") };
        assert_eq!(answer.status, 200);
    }
    let receiver = receiver("run_task", json!({}));
    let unsigned = post(&[("X-TFC-Task-Signature", "")], r#"{"access_token":"test-token"}"#);
    assert_eq!(reason(receiver.receive(&unsigned, &keys(&[KEY]))), "signature_missing");
}

#[test]
fn the_token_is_never_sent_anywhere_but_to_the_configured_host() {
    let send_to = |settings: Value, address: &str| send(settings, &with("task_result_callback_url", json!(address)));
    let here = json!({"terraform": "https://tfe.example:8443"});
    assert!(send_to(here.clone(), "https://tfe.example:8443/api/v2/task-results/1/callback").is_err());
    let mut body = with("task_result_callback_url", json!("https://TFE.example:8443/api/v2/task-results/1/callback"));
    body["plan_json_api_url"] = Value::Null;
    assert!(send(here, &body).is_ok());
    for elsewhere in [
        "https://evil.example/callback",
        "http://app.terraform.io/callback",
        "https://app.terraform.io:444/callback",
        "https://app.terraform.io@evil.example/",
        "https://user@app.terraform.io/",
        "https://app.terraform.io.evil.example/",
        "https:\\\\evil.example\\app.terraform.io",
        "//app.terraform.io/x",
        "ftp://app.terraform.io/x",
        "x",
    ] {
        assert_eq!(reason(send_to(json!({}), elsewhere)), "callback_address", "{elsewhere}");
    }
    assert_eq!(
        reason(send(json!({}), &with("plan_json_api_url", json!("https://evil.example/plan")))),
        "callback_address"
    );
    let mut anywhere = with("task_result_callback_url", json!("https://10.0.0.1/api/v2/task-results/1/callback"));
    anywhere["plan_json_api_url"] = Value::Null;
    assert!(send(json!({"terraform": "any"}), &anywhere).is_ok());
    assert_eq!(
        reason(send_to(json!({"terraform": "any"}), "http://10.0.0.1/api/v2/task-results/1/callback")),
        "callback_address"
    );
    for path in ["callback", "v1/sys/seal", "api/v2/task-results/1/callback?x=1", "api/v2/task-results/1/2/callback"] {
        anywhere["task_result_callback_url"] = json!(format!("https://10.0.0.1/{path}"));
        assert_eq!(reason(send(json!({"terraform": "any"}), &anywhere)), "callback_address", "{path}");
    }
}

#[test]
fn a_host_that_is_more_than_an_origin_is_refused() {
    for bad in ["app.terraform.io", "http://tfe.example", "https://tfe.example/app", "https://u@tfe.example", ""] {
        assert_eq!(problem("run_task", json!({"terraform": bad})), "terraform", "{bad}");
    }
}

#[test]
fn what_is_missing_is_refused_as_the_replaced_system_did() {
    let receiver = receiver("run_task", json!({}));
    for field in ["run_id", "task_result_callback_url", "access_token"] {
        for value in [Value::Null, json!(""), json!(1)] {
            let refusal = send(json!({}), &with(field, value)).unwrap_err();
            assert_eq!(refusal.reason, Reason::BodyMalformed);
            let answer = receiver.answer(&post(&[], ""), &Outcome::Refused(&refusal));
            assert_eq!((answer.status, &*answer.body), (400, r#"{"error":"Invalid JSON or missing data"}"#));
        }
    }
    assert_eq!(reason(send(json!({}), &with("payload_version", json!(2)))), "body_malformed");
    let refusal = receiver.receive(&post(&[("X-TFC-Task-Signature", "00")], "{}"), &keys(&[KEY])).unwrap_err();
    let answer = receiver.answer(&post(&[], ""), &Outcome::Refused(&refusal));
    assert_eq!((answer.status, &*answer.body), (401, r#"{"error":"HMAC validation failed"}"#));
}

#[test]
fn what_is_taken_is_answered_with_exactly_200() {
    let receiver = receiver("run_task", json!({}));
    for outcome in [
        Outcome::Accepted { delivery: "d" },
        Outcome::Repeat { delivery: "d", job: None },
        Outcome::Filtered { delivery: "d" },
    ] {
        let answer = receiver.answer(&post(&[], ""), &outcome);
        assert_eq!((answer.status, &*answer.body), (200, r#"{"message":"Playbook triggered successfully"}"#));
    }
}

#[test]
fn a_request_without_an_id_is_known_by_its_callback() {
    let mut body = request();
    body.as_object_mut().unwrap().remove("task_result_id");
    let id = one(send(json!({}), &body)).id;
    assert!(id.is_some());
    assert_eq!(id, one(send(json!({}), &body)).id);
}

#[test]
fn a_body_that_is_not_called_json_is_refused() {
    let receiver = receiver("run_task", json!({}));
    let body = request().to_string();
    let sent = |kind: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, KEY.as_bytes()), body.as_bytes());
        let received = post(&[("X-TFC-Task-Signature", &hex::encode(tag)), ("Content-Type", kind)], body.as_str());
        receiver.receive(&received, &keys(&[KEY]))
    };
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert!(sent(kind).is_ok(), "{kind}");
    }
    for kind in [
        "text/plain",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "",
        "application/json; charset=utf-16",
    ] {
        let refusal = sent(kind).unwrap_err();
        assert_eq!(refusal.reason, Reason::ContentType, "{kind}");
        let answer = receiver.answer(&post(&[], ""), &Outcome::Refused(&refusal));
        assert_eq!((answer.status, &*answer.body), (400, r#"{"error":"Invalid JSON or missing data"}"#));
    }
}

#[test]
fn a_key_that_can_be_found_is_taken_only_where_the_hook_says_so() {
    let weak = "hunter22".into();
    let usual = receiver("run_task", json!({}));
    assert!(usual.check_key(&weak).is_err() && crate::KeyForm::is_weak(&weak));
    let told = receiver("run_task", json!({"allow_weak_key": true}));
    assert!(told.check_key(&weak).is_ok());
    assert!(told.check_key(&"hunter2".into()).is_err(), "it could be guessed without any request");
    // Senders sign with what the replaced program had.
    let from = crate::KeyFrom::ReplacedProgram;
    assert!(told.check_key_from(&"x".into(), from).is_ok() && told.check_key_from(&"".into(), from).is_err());
    assert!(usual.check_key_from(&weak, from).is_err(), "never unseen");
    assert!(usual.check_key_from(&" 16 characters or more\n".into(), from).is_ok());
    assert!(told.weaknesses().contains(&crate::Weakness::WeakKey) && usual.weaknesses().is_empty());
    assert_eq!(problem("run_task", json!({"allow_weak_key": "yes"})), "allow_weak_key");
    assert_eq!(problem("standard_webhooks", json!({"allow_weak_key": true})), "allow_weak_key");
    for by in ["token", "basic", "address"] {
        let proof = if by == "basic" { json!({"by": by, "username": "u"}) } else { json!({"by": by}) };
        let settings = json!({"proof": proof, "id": "none", "allow_weak_key": true});
        assert_eq!(problem("generic", settings), "allow_weak_key", "{by}: it is sent, and can be tried");
    }
}

#[test]
fn where_any_host_will_do_the_plan_and_the_results_are_at_one() {
    let elsewhere = with("plan_json_api_url", json!("https://storage.example/plan"));
    assert_eq!(reason(send(json!({"terraform": "any"}), &elsewhere)), "callback_address");
    assert!(send(json!({"terraform": "any"}), &request()).is_ok());
}

#[test]
fn a_plan_with_numbers_of_any_size_is_one() {
    assert!(crate::run_task::is_plan(br#"{"a": 18446744073709551616, "b": -99999999999999999999999999.5}"#));
    for wrong in [&b"[]"[..], b"{", b"{\"a\":1,\"a\":2}", b"null", b"\xff"] {
        assert!(!crate::run_task::is_plan(wrong));
    }
}
