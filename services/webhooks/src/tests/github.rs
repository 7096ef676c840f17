use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::json;

use super::support::{handshake, hex_hmac, keys, one, post, reason, receiver};
use crate::{Arrived, Received, Refusal, Weakness};

const KEY: &str = "It's a Secret to Everybody";
const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const PUSH: &str = r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c","repository":{"id":35129377,"full_name":"baxterthehacker/public-repo"},"pusher":{"name":"baxterthehacker"}}"#;

fn request(event: &str, content_type: &str, body: &str) -> Received {
    let signature = format!("sha256={}", hex_hmac(HMAC_SHA256, KEY, body.as_bytes()));
    let headers = [
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000"),
        ("X-GitHub-Delivery", DELIVERY),
        ("X-GitHub-Event", event),
        ("X-GitHub-Hook-ID", "292430182"),
        ("Cookie", "secret"),
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("Content-Type", content_type),
    ];
    post(&headers, body)
}

fn send(request: &Received) -> Result<Arrived, Refusal> {
    receiver("github", json!({})).receive(request, &keys(&[KEY]))
}

#[test]
fn the_published_vector_is_verified() {
    let signed = |signature: &str| {
        let headers = [("X-Hub-Signature-256", signature), ("X-GitHub-Event", "push"), ("Content-Type", "text/plain")];
        reason(send(&post(&headers, "Hello, World!")))
    };
    // The body is not JSON: a proven sender that sends something else.
    let vector = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(signed(vector), "content_type");
    assert_eq!(signed(&vector.replace("757", "758")), "signature_mismatch");
    assert_eq!(signed("sha1=757107ea0eb2509fc211221cce984b8a37570b6d"), "signature_malformed");
}

#[test]
fn a_push_is_an_event_in_either_encoding() {
    let event = one(send(&request("push", "application/json", PUSH)));
    assert_eq!((event.id.as_deref(), event.event.as_str()), (Some(DELIVERY), "push"));
    assert_eq!(event.document["body"]["ref"], "refs/heads/main");
    assert_eq!(event.document["headers"]["x-github-hook-id"], "292430182");
    let headers = event.document["headers"].to_string();
    assert!(!headers.contains("secret") && !headers.contains("sha256="), "{headers}");

    let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", PUSH).finish();
    let same = one(send(&request("push", "application/x-www-form-urlencoded", &form)));
    assert_eq!(same.document["body"], event.document["body"]);
    assert_eq!(reason(send(&request("push", "application/x-www-form-urlencoded", "a=b"))), "body_malformed");
}

#[test]
fn a_ping_is_answered_and_launches_nothing() {
    let ping = r#"{"zen":"Keep it logically awesome.","hook_id":292430182,"hook":{}}"#;
    let (what, answer) = handshake(send(&request("ping", "application/json", ping)));
    assert_eq!((what, answer.status), ("ping", 200));
}

#[test]
fn a_delivery_without_an_id_is_refused_unless_the_body_is_its_id() {
    let mut bare = request("push", "application/json", PUSH);
    bare.headers = bare.headers.texts().filter(|(name, _)| *name != "x-github-delivery").collect();
    assert_eq!(reason(send(&bare)), "id_missing");
    let by_body = receiver("github", json!({"once_per_body": true}));
    assert!(one(by_body.receive(&bare, &keys(&[KEY]))).id.is_some());
    assert_eq!(receiver("github", json!({})).weaknesses(), [Weakness::Replayable]);
    assert!(by_body.weaknesses().is_empty());
}
