use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::json;

use super::support::{handshake, hex_hmac, keys, one, post, reason, receiver};
use crate::{Arrived, Refusal};

const KEY: &str = "the repository's secret";

fn send(headers: &[(&str, &str)], body: &str) -> Result<Arrived, Refusal> {
    let signature = format!("sha256={}", hex_hmac(HMAC_SHA256, KEY, body.as_bytes()));
    let headers = [headers, &[("X-Hub-Signature", signature.as_str())]].concat();
    receiver("bitbucket", json!({})).receive(&post(&headers, body), &keys(&[KEY]))
}

#[test]
fn cloud_and_data_center_have_ids_of_their_own() {
    let cloud = [
        ("X-Event-Key", "repo:push"),
        ("X-Request-UUID", "273b5b1f-3c68-4a17-8ff8-2a2fd4dd1c35"),
        ("X-Hook-UUID", "c1b1a7b5"),
        ("X-Attempt-Number", "1"),
    ];
    let event = one(send(&cloud, r#"{"push":{"changes":[]},"repository":{"full_name":"team/repo"}}"#));
    assert_eq!(event.id.as_deref(), Some("273b5b1f-3c68-4a17-8ff8-2a2fd4dd1c35"));
    assert_eq!(event.event, "repo:push");
    let center = [("X-Event-Key", "repo:refs_changed"), ("X-Request-Id", "3c8b6f70-0c4d")];
    assert_eq!(one(send(&center, r#"{"eventKey":"repo:refs_changed"}"#)).id.as_deref(), Some("3c8b6f70-0c4d"));
    assert_eq!(reason(send(&cloud[..1], "{}")), "id_missing");
}

#[test]
fn a_connection_test_launches_nothing() {
    let (what, _) = handshake(send(&[("X-Event-Key", "diagnostics:ping")], r#"{"test":true}"#));
    assert_eq!(what, "ping");
}
