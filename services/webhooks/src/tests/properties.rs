//! Whatever arrives: no panic, no event without its proof.

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::{NOW, hex_hmac, keys, post, receiver};
use crate::standard::SigningKey;
use crate::{Headers, Received, Receiver, kinds};

const KEY: &str = "a key that all of them share";
const STANDARD_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Every kind, with a proof.
fn receivers() -> Vec<Receiver> {
    kinds()
        .map(|kind| {
            let settings = match kind.name {
                "alertmanager" | "servicenow" | "cloudevents" => json!({"proof": {"by": "token"}}),
                "generic" => json!({"proof": {"by": "token"}, "id": {"fields": ["/id"]}, "event": {"field": "/type"}}),
                _ => json!({}),
            };
            receiver(kind.name, settings)
        })
        .collect()
}

/// A body with headers that prove it to every kind.
fn proven(content_type: &str, extra: &[(String, String)], body: &[u8]) -> Received {
    let over = |prefix: &str| [prefix.as_bytes(), body].concat();
    let sha256 = |prefix: &str| hex_hmac(HMAC_SHA256, KEY, &over(prefix));
    let standard = SigningKey::parse(&STANDARD_KEY.to_owned().into()).unwrap().sign("msg_1", NOW, body);
    let headers = [
        ("x-tfc-task-signature", hex_hmac(HMAC_SHA512, KEY, body)),
        ("x-hub-signature-256", format!("sha256={}", sha256(""))),
        ("x-hub-signature", format!("sha256={}", sha256(""))),
        ("x-grafana-alerting-signature", sha256("")),
        ("x-pagerduty-signature", format!("v1={}", sha256(""))),
        ("x-slack-signature", format!("v0={}", sha256(&format!("v0:{NOW}:")))),
        ("x-slack-request-timestamp", NOW.to_string()),
        ("stripe-signature", format!("t={NOW},v1={}", sha256(&format!("{NOW}.")))),
        ("webhook-id", "msg_1".into()),
        ("webhook-timestamp", NOW.to_string()),
        ("webhook-signature", standard),
        ("authorization", format!("Bearer {KEY}")),
        ("content-type", content_type.into()),
    ];
    let headers: Headers =
        headers.into_iter().chain(extra.iter().map(|(name, value)| (name.as_str(), value.clone()))).collect();
    Received { headers, ..post(&[], body) }
}

fn a_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "1.0",
            "test-token",
            "event_callback",
            "url_verification",
            "firing",
            "https://app.terraform.io/x"
        ])
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "id",
            "type",
            "event",
            "event_id",
            "event_type",
            "alerts",
            "status",
            "labels",
            "payload",
            "specversion",
            "source",
            "access_token",
            "run_id",
            "task_result_callback_url",
            "task_result_id",
            "sys_id",
            "sys_mod_count",
            "data",
            "challenge",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn a_type() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "application/json",
            "application/x-www-form-urlencoded",
            "text/plain",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
            "application/json; charset=utf-8",
            "",
            ";",
            "application/octet-stream",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,30}",
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(
        ("(x-github-event|x-github-delivery|ce-id|ce-[a-z]{0,3}|x-event-key|[a-z-]{1,9})", "\\PC{0,20}"),
        0..5,
    )
}

proptest! {
    #[test]
    fn no_body_that_is_proven_makes_any_kind_panic_or_tell_a_key(
        body in prop_oneof![
            a_document().prop_map(|document| document.to_string().into_bytes()),
            "([a-z_]{1,8}=[a-z%0-9+&]{0,9}&?){0,6}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..200),
        ],
        content_type in a_type(),
        extra in headers(),
    ) {
        let request = proven(&content_type, &extra, &body);
        for receiver in receivers() {
            match receiver.receive(&request, &keys(&[KEY, STANDARD_KEY])) {
                Ok(crate::Arrived::Events(verified)) => {
                    prop_assert!(!verified.events.is_empty());
                    for event in &verified.events {
                        prop_assert!(!event.document["headers"].to_string().contains(KEY));
                        prop_assert!(event.id.as_ref().is_some_and(|id| id.len() <= 256));
                        prop_assert_eq!(event.document["version"].as_u64(), Some(1));
                    }
                }
                Ok(crate::Arrived::Handshake { answer, .. }) => prop_assert!(answer.status < 300),
                Err(refusal) => prop_assert!(!refusal.detail.contains(KEY)),
            }
        }
    }

    #[test]
    fn no_headers_or_queries_make_any_kind_panic_and_none_is_a_proof(
        headers in prop::collection::vec(("(x-[a-z-]{1,20}|webhook-(id|timestamp|signature)|stripe-signature|authorization|x-hub-signature-256|content-type)",
            prop_oneof!["\\PC{0,40}", "(v1|v0|t|sha256)[=,][0-9a-f]{0,64}(,v1=[0-9a-f]{64})?", "(Basic|Bearer) [a-zA-Z0-9+/=]{0,30}"]), 0..10),
        query in "\\PC{0,40}",
        body in prop::collection::vec(any::<u8>(), 0..50),
        at in any::<i64>(),
    ) {
        let headers: Headers = headers.into_iter().collect();
        let request = Received { headers, query, at, ..post(&[], body) };
        for receiver in receivers() {
            let refusal = receiver.receive(&request, &keys(&[KEY, STANDARD_KEY])).unwrap_err();
            prop_assert!(refusal.reason.is_unproven(), "{:?}", refusal);
        }
    }

    #[test]
    fn one_flipped_bit_of_a_signed_body_is_refused(document in a_document(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut request = proven("application/json", &[], document.to_string().as_bytes());
        let place = at.index(request.body.len());
        request.body[place] ^= 1 << bit;
        for receiver in receivers().iter().filter(|r| r.weaknesses().iter().all(|w| w.code() != "body_unsigned")) {
            let refusal = receiver.receive(&request, &keys(&[KEY, STANDARD_KEY])).unwrap_err();
            prop_assert_eq!(refusal.reason, crate::Reason::SignatureMismatch, "{}", receiver);
        }
    }

    #[test]
    fn no_settings_make_it_panic(settings in a_document(), proof in a_document()) {
        for kind in kinds() {
            for settings in [settings.clone(), json!({"proof": proof}), json!({"id": settings, "proof": {"by": "hmac", "header": proof}})] {
                if let Value::Object(settings) = settings {
                    drop(Receiver::parse(kind.name, &settings));
                }
            }
        }
    }

    #[test]
    fn no_key_makes_it_panic(key in "(whsec_|whpk_|whsk_)?[a-zA-Z0-9+/= ]{0,60}") {
        for receiver in receivers() {
            drop(receiver.check_key(&key.clone().into()));
        }
        drop(SigningKey::parse(&key.into()));
    }

    #[test]
    fn what_is_signed_is_verified(id in "[a-zA-Z0-9_-]{1,40}", body in "\\PC{0,100}", seed in any::<[u8; 32]>()) {
        let signing = SigningKey::parse(&format!("whsk_{}", STANDARD.encode(seed)).into()).unwrap();
        let signature = signing.sign(&id, NOW, body.as_bytes());
        let time = NOW.to_string();
        let request = post(&[("webhook-id", &id), ("webhook-timestamp", &time), ("webhook-signature", &signature)], body);
        prop_assert_eq!(crate::standard::check(&request, &keys(&[&signing.public_key().unwrap()])).unwrap(), 0);
    }
}
