use aws_lc_rs::hmac;
use serde_json::json;

use super::support::{NOW, keys, one, post, problem, reason, receiver};
use crate::{Arrived, Outcome, ProvedBy, Reason, Weakness};

const KEY: &str = "a key of at least sixteen";

fn signed(text: &[u8]) -> String {
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), text))
}

fn settings() -> serde_json::Value {
    json!({
        "proof": {"by": "hmac", "header": "X-Signature", "prefix": "v1=", "separator": ",",
                  "signed": "{header:X-Id}.{timestamp}.{body}", "timestamp": {"header": "X-Time"}},
        "id": {"header": "X-Id"}, "event": {"field": "/type"}, "headers": ["X-Region"],
    })
}

#[test]
fn a_signed_request_is_read_into_one_document() {
    let receiver = receiver("generic", settings());
    let body = r#"{"type":"disk.full","host":"db1"}"#;
    let signature = format!("v0=00,v1={}", signed(format!("id 1.{NOW}.{body}").as_bytes()));
    let time = NOW.to_string();
    let headers =
        [("X-Signature", &*signature), ("X-Time", &time), ("X-Id", "id 1"), ("X-Region", "eu"), ("X-Other", "no")];
    let request = post(&headers, body);
    let arrived = receiver.receive(&request, &keys(&["the new key, not in use yet", KEY]));
    let Ok(Arrived::Events(verified)) = &arrived else { panic!("{arrived:?}") };
    assert_eq!(verified.by, ProvedBy::Signature { key: 1 });
    let event = one(arrived);
    assert_eq!((event.id.as_deref(), event.event.as_str()), (Some("id 1"), "disk.full"));
    assert_eq!(
        event.document,
        json!({"version": 1, "kind": "generic", "id": "id 1", "event": "disk.full", "received_at": NOW,
               "headers": {"content-type": "application/json", "x-region": "eu"},
               "body": {"type": "disk.full", "host": "db1"}})
    );
    assert!(receiver.weaknesses().is_empty());
}

#[test]
fn whatever_was_not_signed_so_is_refused_with_its_own_reason() {
    let receiver = receiver("generic", settings());
    let send = |id: &str, time: &str, signature: &str, body: &str| {
        let request = post(&[("X-Signature", signature), ("X-Time", time), ("X-Id", id)], body);
        receiver.receive(&request, &keys(&[KEY]))
    };
    let sign = |id: &str, time: &str, body: &str| format!("v1={}", signed(format!("{id}.{time}.{body}").as_bytes()));
    let now = NOW.to_string();
    let good = sign("a", &now, "{}");
    assert!(send("a", &now, &good, "{}").is_ok());
    assert_eq!(reason(send("b", &now, &good, "{}")), "signature_mismatch");
    assert_eq!(reason(send("a", &now, &good, "{ }")), "signature_mismatch");
    assert_eq!(reason(send("a", "1700000001", &good, "{}")), "signature_mismatch");
    assert_eq!(reason(send("a", &now, "", "{}")), "signature_missing");
    assert_eq!(reason(send("a", &now, "sha256=00", "{}")), "signature_malformed");
    assert_eq!(reason(send("a", "", &good, "{}")), "timestamp_missing");
    let (old, early) = ((NOW - 301).to_string(), (NOW + 301).to_string());
    assert_eq!(reason(send("a", &old, &sign("a", &old, "{}"), "{}")), "timestamp_too_old");
    assert_eq!(reason(send("a", &early, &sign("a", &early, "{}"), "{}")), "timestamp_in_future");
    assert_eq!(reason(send("a", "soon", &sign("a", "soon", "{}"), "{}")), "timestamp_malformed");
    assert_eq!(reason(send("a", &now, &sign("a", &now, "{"), "{")), "body_malformed");
    // The same bytes, cut in another place: `a.1` as the id of what was signed as `a`.
    assert_eq!(reason(send("a.1", &now, &sign("a.1", &now, "{}"), "{}")), "signature_malformed");
    assert_eq!(reason(receiver.receive(&post(&[("X-Signature", &good)], "{}"), &[])), "no_key");
}

#[test]
fn keys_that_are_sent_are_taken_where_they_are_configured() {
    let with = |proof| receiver("generic", json!({"proof": proof, "id": "none"}));
    let wrong = keys(&["another key altogether", "yet another key of ours"]);
    let valid = keys(&["another key altogether", KEY]);
    let check = |proof: serde_json::Value, request: crate::Received| {
        let receiver = with(proof);
        let arrived = receiver.receive(&request, &valid);
        let Ok(Arrived::Events(verified)) = arrived else { panic!("{arrived:?}") };
        assert_eq!(verified.by, ProvedBy::Credential { key: 1 });
        assert_eq!(verified.events[0].id, None);
        assert!(!verified.events[0].document.to_string().contains(KEY));
        assert_eq!(reason(receiver.receive(&request, &wrong)), "credential_mismatch");
        assert_eq!(reason(receiver.receive(&post(&[], "{}"), &valid)), "credential_missing");
        receiver.weaknesses()
    };
    let weak = [Weakness::BodyUnsigned, Weakness::NoIds];
    assert_eq!(check(json!({"by": "token", "header": "X-Token"}), post(&[("x-token", KEY)], "{}")), weak);
    let bearer = format!("Bearer {KEY}");
    assert_eq!(check(json!({"by": "token"}), post(&[("Authorization", &bearer)], "{}")), weak);
    use base64::Engine as _;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{KEY}")));
    assert_eq!(check(json!({"by": "basic", "username": "me"}), post(&[("Authorization", &basic)], "{}")), weak);
    let mut request = post(&[], "{}");
    request.query = format!("a=b&token={}", KEY.replace(' ', "+"));
    let weak = [Weakness::BodyUnsigned, Weakness::KeyInAddress, Weakness::NoIds];
    assert_eq!(check(json!({"by": "address"}), request), weak);
}

#[test]
fn a_verified_service_account_is_a_proof_if_the_hook_names_it() {
    let receiver = receiver("generic", json!({"proof": {"by": "oauth", "callers": ["client_a"]}, "id": "none"}));
    let send = |caller: Option<&str>| {
        let mut request = post(&[], "{}");
        request.caller = caller.map(str::to_owned);
        receiver.receive(&request, &[])
    };
    assert_eq!(one(send(Some("client_a"))).document["caller"], "client_a");
    assert_eq!(reason(send(Some("client_b"))), "caller_not_allowed");
    assert_eq!(reason(send(None)), "caller_missing");
    assert!(receiver.key().is_none());
    assert!(receiver.check_key(&KEY.to_owned().into()).is_err());
}

#[test]
fn bodies_of_other_types_become_json_or_are_refused() {
    let receiver = receiver("generic", json!({"proof": {"by": "token"}, "id": "none"}));
    let bearer = format!("Bearer {KEY}");
    let send = |kind: &str, body: &[u8]| {
        receiver.receive(&post(&[("Authorization", &bearer), ("Content-Type", kind)], body), &keys(&[KEY]))
    };
    let body = |kind, bytes| one(send(kind, bytes)).document["body"].take();
    assert_eq!(body("application/x-www-form-urlencoded", b"a=1&b=x+y%C3%A4"), json!({"a": "1", "b": "x yä"}));
    assert_eq!(body("application/vnd.x+json; charset=\"UTF-8\"", b"[1]"), json!([1]));
    assert_eq!(body("text/plain", b"hello"), json!("hello"));
    assert_eq!(body("text/plain", b""), json!(null));
    assert_eq!(reason(send("text/plain", b"\xff")), "body_malformed");
    assert_eq!(reason(send("application/x-www-form-urlencoded", b"a=1&a=2")), "body_malformed");
    assert_eq!(reason(send("application/json; charset=utf-16", b"{}")), "content_type");
    assert_eq!(reason(send("application/octet-stream", b"{}")), "content_type");
}

#[test]
fn an_id_is_made_from_the_body_only_if_the_hook_says_so() {
    let id = |settings: serde_json::Value, body: &str| {
        let request = post(&[("Authorization", &format!("Bearer {KEY}"))], body);
        one(receiver("generic", settings).receive(&request, &keys(&[KEY]))).id
    };
    let plain = json!({"proof": {"by": "token"}, "id": "none"});
    let once = json!({"proof": {"by": "token"}, "id": "none", "once_per_body": true});
    assert_eq!(id(plain, "{}"), None);
    assert!(id(once.clone(), "{}").is_some());
    assert_eq!(id(once.clone(), "{}"), id(once.clone(), "{}"));
    assert_ne!(id(once.clone(), "{}"), id(once, "{ }"));
    let number = json!({"proof": {"by": "token"}, "id": {"fields": ["/a"]}});
    assert_eq!(id(number.clone(), r#"{"a":18446744073709551615}"#).as_deref(), Some("18446744073709551615"));
    for rounded in ["1.5", "1e2", "18446744073709551616"] {
        let request = post(&[("Authorization", &format!("Bearer {KEY}"))], format!("{{\"a\":{rounded}}}"));
        let refused = receiver("generic", number.clone()).receive(&request, &keys(&[KEY]));
        assert_eq!(reason(refused), "id_missing", "{rounded}");
    }
    let fields = json!({"proof": {"by": "token"}, "id": {"fields": ["/a", "/b"]}});
    assert_eq!(id(fields.clone(), r#"{"a":"1","b":2,"c":1}"#), id(fields.clone(), r#"{"b":"2","a":1}"#));
    assert_ne!(id(fields.clone(), r#"{"a":"1","b":"23"}"#), id(fields, r#"{"a":"12","b":"3"}"#));
}

#[test]
fn an_id_that_is_not_signed_can_be_replayed_until_the_time_is_over() {
    let of = |proof: serde_json::Value, id: serde_json::Value| {
        receiver("generic", json!({"proof": proof, "id": id})).weaknesses()
    };
    let timed = json!({"by": "hmac", "header": "X-S", "signed": "{timestamp}.{body}", "timestamp": {"header": "X-T"}});
    let standard = json!({"by": "standard"});
    for proof in [timed.clone(), standard.clone()] {
        assert_eq!(of(proof.clone(), json!({"header": "X-Id"})), [Weakness::ReplayableBriefly]);
        assert_eq!(of(proof.clone(), json!("none")), [Weakness::ReplayableBriefly, Weakness::NoIds]);
        assert!(of(proof, json!({"fields": ["/id"]})).is_empty());
    }
    assert!(of(standard, json!({"header": "Webhook-Id"})).is_empty());
    assert_eq!(of(json!({"by": "hmac", "header": "X-S"}), json!({"header": "X-Id"})), [Weakness::Replayable]);
}

#[test]
fn a_header_that_is_there_twice_is_refused() {
    let receiver = receiver("generic", json!({"proof": {"by": "token", "header": "X-Token"}, "id": "none"}));
    let request = post(&[("X-Token", KEY), ("x-token", KEY)], "{}");
    assert_eq!(reason(receiver.receive(&request, &keys(&[KEY]))), "header_ambiguous");
}

#[test]
fn settings_that_prove_nothing_are_refused_with_the_field_that_is_wrong() {
    let id = json!("none");
    let hmac = |more: serde_json::Value| {
        let mut proof = json!({"by": "hmac", "header": "X-S"});
        proof.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"proof": proof, "id": "none"})
    };
    for (settings, field) in [
        (json!({"id": id}), "proof"),
        (json!({"proof": {"by": "faith"}, "id": id}), "proof"),
        (json!({"proof": {"by": "token"}}), ""),
        (json!({"proof": {"by": "token"}, "id": id, "nonsense": 1}), ""),
        (json!({"proof": {"by": "token", "nonsense": 1}, "id": id}), "proof"),
        (json!({"proof": {"by": "token"}, "id": {"fields": []}}), "id.fields"),
        (json!({"proof": {"by": "token"}, "id": id, "headers": ["X-Api-Key"]}), "headers"),
        (json!({"proof": {"by": "token", "header": "X-Mine"}, "id": id, "headers": ["X-Mine"]}), "headers"),
        (json!({"proof": {"by": "oauth", "callers": []}, "id": id}), "proof.callers"),
        (json!({"proof": {"by": "basic", "username": "a:b"}, "id": id}), "proof.username"),
        (json!({"proof": {"by": "address", "parameter": "a&b"}, "id": id}), "proof.parameter"),
        (hmac(json!({"signed": "{timestamp}.{body}"})), "proof.timestamp"),
        (hmac(json!({"timestamp": {"header": "X-T"}})), "proof.signed"),
        (hmac(json!({"signed": "{timestamp}"})), "proof.signed"),
        (hmac(json!({"separator": "a"})), "proof.separator"),
        (hmac(json!({"header": "X S"})), "proof.header"),
        (
            hmac(json!({"signed": "{timestamp}.{body}", "timestamp": {"header": "X-T", "tolerance_seconds": 9999}})),
            "proof.timestamp.tolerance_seconds",
        ),
    ] {
        assert_eq!(problem("generic", settings.clone()), field, "{settings}");
    }
    assert_eq!(problem("telepathy", json!({})), "kind");
    assert_eq!(problem("run_task", json!({"proof": {"by": "token"}})), "proof.by");
}

#[test]
fn a_key_is_long_enough_and_one_can_be_made() {
    let receiver = receiver("generic", settings());
    for bad in ["", "short", "with a line\nbreak in it", " spaces at its ends "] {
        assert!(receiver.check_key(&bad.to_owned().into()).is_err(), "{bad}");
    }
    receiver.check_key(&receiver.generate_key().unwrap()).unwrap();
}

#[test]
fn answers_say_what_became_of_it() {
    let receiver = receiver("generic", settings());
    let answer = receiver.answer(&post(&[], ""), &Outcome::Repeat { delivery: "d", job: Some("j") });
    assert_eq!((answer.status, &*answer.body), (200, r#"{"delivery":"d","job":"j","state":"repeat"}"#));
    assert_eq!(receiver.answer(&post(&[], ""), &Outcome::Accepted { delivery: "d" }).status, 202);
    assert_eq!(receiver.answer(&post(&[], ""), &Outcome::Conflict { delivery: "d" }).status, 409);
    let busy = receiver.answer(&post(&[], ""), &Outcome::Busy { retry_after: 7 });
    assert!(busy.status == 503 && busy.headers.contains(&("retry-after", "7".into())));
    for reason in Reason::ALL {
        let refusal = crate::Refusal::new(reason, "Why.");
        let answer = receiver.answer(&post(&[], ""), &Outcome::Refused(&refusal));
        assert_eq!(answer.status, reason.status());
        assert!(answer.body.contains(reason.code()));
    }
}
