use aws_lc_rs::hmac;
use serde_json::json;

use super::support::{NOW, keys, one, post, reason, receiver};

const KEY: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";

fn body(pending: u8) -> String {
    json!({"id": "evt_1NG8Du2eZvKYlo2CUI79vXWy", "object": "event", "type": "setup_intent.created",
           "pending_webhooks": pending, "data": {"object": {"id": "seti_1NG8Du2eZvKYlo2C9XMqbR0x"}}})
    .to_string()
}

fn header(at: i64, body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), format!("{at}.{body}").as_bytes());
    format!("t={at},v0={},v1={},v1={}", "0".repeat(64), "1".repeat(64), hex::encode(tag))
}

#[test]
fn one_of_several_signatures_of_the_known_scheme_is_enough() {
    let receiver = receiver("stripe", json!({}));
    let send =
        |at: i64, body: &str| receiver.receive(&post(&[("Stripe-Signature", &header(at, body))], body), &keys(&[KEY]));
    let event = one(send(NOW - 300, &body(1)));
    assert_eq!((event.id.as_deref(), &*event.event), (Some("evt_1NG8Du2eZvKYlo2CUI79vXWy"), "setup_intent.created"));
    assert_eq!(event.content, one(send(NOW, &body(2))).content, "a repeat counts differently");
    assert_eq!(reason(send(NOW - 301, &body(1))), "timestamp_too_old");
    assert_eq!(reason(send(NOW, "{}")), "id_missing");
    let v0 = header(NOW, &body(1)).replace("v1=", "v0=");
    assert_eq!(
        reason(receiver.receive(&post(&[("Stripe-Signature", &v0)], body(1)), &keys(&[KEY]))),
        "signature_malformed"
    );
    assert!(receiver.generate_key().is_none(), "Stripe makes the key");
}
