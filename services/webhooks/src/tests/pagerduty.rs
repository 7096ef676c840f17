use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::json;

use super::support::{handshake, hex_hmac, keys, one, post, reason, receiver};

const KEY: &str = "IWM6XqYPVJD+dUO4QI/yBVrGmvUrtCPb/C5e6RpVoJEXvT2xvBhd1ffUZ";

#[test]
fn an_incident_is_taken_with_either_of_two_signatures() {
    let body = json!({"event": {"id": "01BTPPTB0R0NNFM06WZX5YXJTG", "event_type": "incident.triggered", "resource_type": "incident",
        "occurred_at": "2020-10-02T18:45:22.169Z", "agent": {"id": "PLH1HKV", "type": "user_reference"}, "client": null,
        "data": {"id": "PGR0VU2", "type": "incident", "number": 2, "status": "triggered", "title": "A little bump in the road",
                 "service": {"id": "PF9KMXH", "summary": "API Service"}, "urgency": "high"}}})
    .to_string();
    let signature = format!("v1={},v1={}", "0".repeat(64), hex_hmac(HMAC_SHA256, KEY, body.as_bytes()));
    let receiver = receiver("pagerduty", json!({}));
    let headers = [("X-PagerDuty-Signature", signature.as_str()), ("X-Webhook-Subscription", "PBJDXXX")];
    let event = one(receiver.receive(&post(&headers, body.as_str()), &keys(&[KEY])));
    assert_eq!((event.id.as_deref(), event.event.as_str()), (Some("01BTPPTB0R0NNFM06WZX5YXJTG"), "incident.triggered"));
    assert_eq!(event.document["headers"]["x-webhook-subscription"], "PBJDXXX");
    assert_eq!(reason(receiver.receive(&post(&headers, body.replace('2', "3")), &keys(&[KEY]))), "signature_mismatch");
    assert!(receiver.weaknesses().is_empty(), "the id is a part of the signed body");
    assert!(receiver.generate_key().is_none(), "PagerDuty makes the key");
}

#[test]
fn a_test_event_launches_nothing() {
    let body = r#"{"event":{"id":"01FKZOXA868SHYEE4DVNWB5P9W","event_type":"pagey.ping","resource_type":"pagey","occurred_at":"2025-04-07T03:00:55.532Z","agent":null,"client":null,"data":{"message":"Hello from your friend Pagey!","type":"ping"}}}"#;
    let signature = format!("v1={}", hex_hmac(HMAC_SHA256, KEY, body.as_bytes()));
    let receiver = receiver("pagerduty", json!({}));
    let request = post(&[("X-PagerDuty-Signature", &signature)], body);
    assert_eq!(handshake(receiver.receive(&request, &keys(&[KEY]))).0, "ping");
}
