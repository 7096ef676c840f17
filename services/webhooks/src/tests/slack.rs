use aws_lc_rs::hmac::HMAC_SHA256;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::support::{NOW, handshake, hex_hmac, keys, one, post, reason, receiver};
use crate::{Outcome, Received};

const KEY: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const COMMAND: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const FORM: &str = "application/x-www-form-urlencoded";

fn signed(content_type: &str, body: &str) -> Received {
    let signature = format!("v0={}", hex_hmac(HMAC_SHA256, KEY, format!("v0:{NOW}:{body}").as_bytes()));
    let time = NOW.to_string();
    let headers = [
        ("X-Slack-Signature", signature.as_str()),
        ("X-Slack-Request-Timestamp", &time),
        ("Content-Type", content_type),
    ];
    post(&headers, body)
}

#[test]
fn the_published_slash_command_is_verified_and_its_capability_is_kept_apart() {
    let receiver = receiver("slack", json!({}));
    let headers = [
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
        ("Content-Type", FORM),
    ];
    let mut request = post(&headers, COMMAND);
    assert_eq!(reason(receiver.receive(&request, &keys(&[KEY]))), "timestamp_too_old");
    request.at = 1_531_420_618 + 300;
    let event = one(receiver.receive(&request, &keys(&[KEY])));
    assert_eq!(event.event, "/webhook-collect");
    assert_eq!(event.id.as_deref(), Some("398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"));
    assert!(event.secrets["response_url"].expose_secret().starts_with("https://hooks.slack.com/"));
    let document = event.document.to_string();
    assert!(!document.contains("hooks.slack.com") && !document.contains("xyzz0"), "{document}");
    request.at += 1;
    assert_eq!(reason(receiver.receive(&request, &keys(&[KEY]))), "timestamp_too_old");
}

#[test]
fn a_challenge_is_echoed_if_it_is_signed() {
    let receiver = receiver("slack", json!({}));
    let body = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let (what, answer) = handshake(receiver.receive(&signed("application/json", body), &keys(&[KEY])));
    assert_eq!((what, answer.status), ("url_verification", 200));
    assert_eq!(answer.body, r#"{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#);
    assert_eq!(reason(receiver.receive(&post(&[], body), &keys(&[KEY]))), "signature_missing");
    let check = signed(FORM, "ssl_check=1&token=Jhj5dZrVaK7ZwHHjRyZWjbDl");
    assert_eq!(handshake(receiver.receive(&check, &keys(&[KEY]))).0, "ssl_check");
}

#[test]
fn events_and_interactions_are_known_by_their_own_ids() {
    let receiver = receiver("slack", json!({}));
    let body = r#"{"token":"ZZZZZZWSxiZZZ2yIvs3peJ","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"app_mention","user":"U123ABC456","text":"deploy","ts":"1515449522.000016"},"type":"event_callback","event_id":"Ev123ABC456","event_time":1515449522000016}"#;
    let event = one(receiver.receive(&signed("application/json", body), &keys(&[KEY])));
    assert_eq!((event.id.as_deref(), event.event.as_str()), (Some("Ev123ABC456"), "app_mention"));

    let payload = json!({"type": "block_actions", "team": {"id": "T9TK3CUKW"}, "token": "9s8d9as89d8as9d8as989",
        "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3", "response_url": "https://hooks.slack.com/actions/A/1/x",
        "actions": [{"type": "button", "action_id": "approve", "value": "CHG1"}]})
    .to_string();
    let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload).finish();
    let event = one(receiver.receive(&signed(FORM, &form), &keys(&[KEY])));
    assert_eq!(event.event, "block_actions");
    assert_eq!(event.document["body"]["actions"][0]["value"], "CHG1");
    assert!(!event.document.to_string().contains("hooks.slack.com"));
    for bad in ["payload=x", "a=b", "payload=%7B%7D"] {
        assert!(receiver.receive(&signed(FORM, bad), &keys(&[KEY])).is_err(), "{bad}");
    }
}

#[test]
fn a_person_reads_the_answer_and_a_button_gets_none() {
    let receiver = receiver("slack", json!({}));
    let answer = receiver.answer(&signed(FORM, COMMAND), &Outcome::Accepted { delivery: "dlv_1" });
    assert_eq!((answer.status, &*answer.body), (200, r#"{"response_type":"ephemeral","text":"Accepted as dlv_1."}"#));
    let busy = receiver.answer(&signed(FORM, COMMAND), &Outcome::Busy { retry_after: 1 });
    assert!(busy.status == 200 && busy.body.contains("not accepted"));
    let button = receiver.answer(&signed(FORM, "payload=%7B%7D"), &Outcome::Accepted { delivery: "dlv_1" });
    assert_eq!((button.status, &*button.body), (200, ""));
    let event = signed("application/json", "{}");
    assert_eq!(receiver.answer(&event, &Outcome::Busy { retry_after: 1 }).status, 503);
    let conflict = receiver.answer(&event, &Outcome::Conflict { delivery: "dlv_1" });
    assert!(conflict.headers.contains(&("x-slack-no-retry", "1".into())));
}
