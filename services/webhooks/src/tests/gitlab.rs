use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::json;

use super::support::{NOW, keys, one, post, reason, receiver};
use crate::standard::SigningKey;

const BODY: &str = r#"{"object_kind":"push","event_name":"push","ref":"refs/heads/master","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","project_id":15}"#;
const ID: &str = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f";

#[test]
fn the_signed_form_is_standard_webhooks() {
    let key = format!("whsec_{}", STANDARD.encode([7; 32]));
    let receiver = receiver("gitlab", json!({}));
    receiver.check_key(&SecretString::from(key.clone())).unwrap();
    assert!(receiver.check_key(&SecretString::from("a plain token of GitLab")).is_err());
    let signature = SigningKey::parse(&key.clone().into()).unwrap().sign(ID, NOW, BODY.as_bytes());
    let time = NOW.to_string();
    let headers = [
        ("webhook-id", ID),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", &signature),
        ("Idempotency-Key", ID),
        ("X-Gitlab-Event", "Push Hook"),
        ("X-Gitlab-Instance", "https://gitlab.example.com"),
    ];
    let event = one(receiver.receive(&post(&headers, BODY), &keys(&[&key])));
    assert_eq!((event.id.as_deref(), event.event.as_str()), (Some(ID), "Push Hook"));
    assert_eq!(event.document["headers"]["x-gitlab-instance"], "https://gitlab.example.com");
    assert!(receiver.weaknesses().is_empty());
}

#[test]
fn the_token_is_taken_only_where_it_is_configured() {
    let token = "the project's token";
    let headers = [("X-Gitlab-Token", token), ("X-Gitlab-Event", "Push Hook"), ("Idempotency-Key", ID)];
    let request = post(&headers, BODY);
    let by_token = receiver("gitlab", json!({"proof": {"by": "token"}}));
    let event = one(by_token.receive(&request, &keys(&[token])));
    assert_eq!(event.id.as_deref(), Some(ID));
    assert!(!event.document.to_string().contains(token));
    assert_eq!(reason(by_token.receive(&request, &keys(&["another project's token"]))), "credential_mismatch");
    assert_eq!(reason(receiver("gitlab", json!({})).receive(&request, &keys(&[token]))), "signature_missing");
    // Before 17.4 there is no id: a retry could not be recognised.
    let old = post(&headers[..2], BODY);
    assert_eq!(reason(by_token.receive(&old, &keys(&[token]))), "id_missing");
}
