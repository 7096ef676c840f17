use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::support::{keys, one, post, reason, receiver};

const KEY: &str = "the password of the instance";
const BODY: &str = r#"{"event":"change.approved","sys_id":"46e18c0fa9fe19810066a0083f76bd56","sys_mod_count":"4","number":"CHG0030192"}"#;

#[test]
fn a_record_and_its_change_are_the_id() {
    let receiver = receiver("servicenow", json!({"proof": {"by": "basic", "username": "snow"}}));
    let basic = format!("Basic {}", STANDARD.encode(format!("snow:{KEY}")));
    let send = |body: &str| receiver.receive(&post(&[("Authorization", &basic)], body), &keys(&[KEY]));
    let event = one(send(BODY));
    assert_eq!(event.event, "change.approved");
    assert_eq!(event.id, one(send(&BODY.replace("\"4\"", "4"))).id, "a number or its text");
    assert_ne!(event.id, one(send(&BODY.replace("\"4\"", "5"))).id);
    assert_eq!(reason(send(r#"{"sys_id":"46e18c0fa9fe19810066a0083f76bd56"}"#)), "id_missing");
    let another = format!("Basic {}", STANDARD.encode(format!("other:{KEY}")));
    assert_eq!(
        reason(receiver.receive(&post(&[("Authorization", &another)], BODY), &keys(&[KEY]))),
        "credential_mismatch"
    );
}

#[test]
fn a_header_or_a_service_account_will_do_as_well() {
    let header = receiver("servicenow", json!({"proof": {"by": "token", "header": "X-Runwarden-Token"}}));
    assert!(header.receive(&post(&[("X-Runwarden-Token", KEY)], BODY), &keys(&[KEY])).is_ok());
    let oauth = receiver(
        "servicenow",
        json!({"proof": {"by": "oauth", "callers": ["client_snow"]},
                                              "id": {"fields": ["/number"]}}),
    );
    let mut request = post(&[], BODY);
    request.caller = Some("client_snow".into());
    assert_eq!(one(oauth.receive(&request, &[])).id.as_deref(), Some("CHG0030192"));
}
