use serde_json::{Value, json};

use super::support::{handshake, ids, keys, one, post, problem, reason, receiver};
use crate::{Arrived, Received, Refusal};

const KEY: &str = "the token of the event grid";

fn settings() -> Value {
    json!({"proof": {"by": "address", "parameter": "access_token"}, "origins": ["eventgrid.azure.net"], "rate_per_minute": 120})
}

fn send(headers: &[(&str, &str)], body: &str) -> Result<Arrived, Refusal> {
    let query = format!("access_token={}", KEY.replace(' ', "%20"));
    receiver("cloudevents", settings()).receive(&Received { query, ..post(headers, body) }, &keys(&[KEY]))
}

fn event() -> Value {
    json!({"specversion": "1.0", "type": "com.github.pull_request.opened", "source": "https://github.com/cloudevents/spec/pull",
           "subject": "123", "id": "A234-1234-1234", "time": "2018-04-05T17:31:00Z", "datacontenttype": "application/json",
           "data": {"appinfoA": "abc"}})
}

const STRUCTURED: &[(&str, &str)] = &[("Content-Type", "application/cloudevents+json; charset=UTF-8")];
const BATCHED: &[(&str, &str)] = &[("Content-Type", "application/cloudevents-batch+json")];

#[test]
fn an_event_is_the_same_in_all_three_modes() {
    let structured = one(send(STRUCTURED, &event().to_string()));
    assert_eq!(structured.id.as_deref(), Some("https://github.com/cloudevents/spec/pull A234-1234-1234"));
    assert_eq!(structured.event, "com.github.pull_request.opened");
    assert_eq!(structured.document["body"], event());
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.github.pull_request.opened"),
        ("ce-source", "https://github.com/cloudevents/spec/pull"),
        ("ce-subject", "123"),
        ("ce-id", "A234-1234-1234"),
        ("ce-time", "2018-04-05T17:31:00Z"),
    ];
    let binary = one(send(&binary, r#"{"appinfoA":"abc"}"#));
    assert_eq!((&binary.id, &binary.document["body"]), (&structured.id, &structured.document["body"]));
    assert_eq!(binary.content, structured.content);
    let batched = one(send(BATCHED, &json!([event()]).to_string()));
    assert_eq!((batched.id, batched.content), (structured.id, structured.content));
}

#[test]
fn attributes_in_headers_are_decoded_and_other_data_is_kept() {
    let headers = |kind| {
        [
            ("ce-specversion", "1.0"),
            ("ce-type", "t"),
            ("ce-source", "/s"),
            ("ce-id", "1"),
            ("Content-Type", kind),
            ("ce-comment", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ]
    };
    let body = |kind, bytes| one(send(&headers(kind), bytes)).document["body"].take();
    assert_eq!(body("text/plain", "hello")["comment"], "Euro € 😀");
    assert_eq!(body("text/plain", "hello")["data"], "hello");
    assert_eq!(body("application/octet-stream", "hello")["data_base64"], "aGVsbG8=");
    assert!(body("text/plain", "").get("data").is_none());
    for bad in ["%", "%4", "%zz", "%ff"] {
        let mut headers = headers("text/plain");
        headers[5].1 = bad;
        assert_eq!(reason(send(&headers, "")), "body_malformed", "{bad}");
    }
}

#[test]
fn a_batch_is_one_delivery_for_each_event() {
    let mut second = event();
    second["id"] = json!("another");
    assert_eq!(ids(send(BATCHED, &json!([event(), second]).to_string())).len(), 2);
    assert_eq!(handshake(send(BATCHED, "[]")).1.status, 204);
    assert_eq!(reason(send(BATCHED, &json!(vec![event(); 257]).to_string())), "too_many_events");
    assert_eq!(reason(send(BATCHED, &json!([event(), {}]).to_string())), "body_malformed");
    assert_eq!(reason(send(BATCHED, "{}")), "body_malformed");
}

#[test]
fn what_is_no_event_of_this_version_is_refused() {
    for (field, value) in [("specversion", "0.3"), ("id", ""), ("source", ""), ("type", "")] {
        let mut event = event();
        event[field] = json!(value);
        assert_eq!(reason(send(STRUCTURED, &event.to_string())), "body_malformed", "{field}");
    }
    assert_eq!(reason(send(&[("Content-Type", "application/cloudevents+avro")], "x")), "content_type");
    assert_eq!(reason(send(&[], "{}")), "body_malformed");
    let long = json!({"specversion": "1.0", "type": "t", "source": "/".repeat(300), "id": "ü"});
    assert_eq!(ids(send(STRUCTURED, &long.to_string()))[0].len(), 64, "an id that would not fit becomes a digest");
}

#[test]
fn a_signature_covers_what_is_said_in_headers_or_they_are_refused() {
    use aws_lc_rs::hmac::HMAC_SHA256;
    let body = event().to_string();
    let binary: Vec<_> =
        [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s"), ("ce-id", "1")].into_iter().collect();
    let send = |proof: Value, signed: &str, more: &[(&str, &str)], body: &str| {
        let signature = super::support::hex_hmac(HMAC_SHA256, KEY, signed.as_bytes());
        let headers: Vec<_> = [("X-Signature", signature.as_str())].into_iter().chain(more.iter().copied()).collect();
        receiver("cloudevents", json!({"proof": proof})).receive(&post(&headers, body), &keys(&[KEY]))
    };
    let over_body = json!({"by": "hmac", "header": "X-Signature"});
    assert_eq!(reason(send(over_body.clone(), "{}", &binary, "{}")), "attributes_unsigned");
    assert!(send(over_body.clone(), &body, STRUCTURED, &body).is_ok());
    let over_all = json!({"by": "hmac", "header": "X-Signature",
        "signed": "{header:ce-specversion} {header:ce-type} {header:ce-source} {header:ce-id} {body}"});
    assert_eq!(one(send(over_all.clone(), "1.0 t /s 1 {}", &binary, "{}")).id.as_deref(), Some("/s 1"));
    let more = [&binary[..], &[("ce-subject", "another")]].concat();
    assert_eq!(reason(send(over_all, "1.0 t /s 1 {}", &more, "{}")), "attributes_unsigned");
    assert!(receiver("cloudevents", json!({"proof": over_body})).weaknesses().is_empty());
}

#[test]
fn only_named_origins_may_send() {
    let receiver = receiver("cloudevents", settings());
    let ask = |headers: &[(&str, &str)]| {
        receiver.receive(&Received { method: "OPTIONS".into(), ..post(headers, "") }, &keys(&[KEY]))
    };
    let (_, answer) = handshake(ask(&[
        ("WebHook-Request-Origin", "eventgrid.azure.net"),
        ("WebHook-Request-Callback", "https://evil.example/confirm"),
        ("WebHook-Request-Rate", "1000"),
    ]));
    assert_eq!(answer.status, 200);
    for header in
        [("webhook-allowed-origin", "eventgrid.azure.net"), ("webhook-allowed-rate", "120"), ("allow", "POST")]
    {
        assert!(answer.headers.contains(&(header.0, header.1.into())), "{header:?}");
    }
    assert_eq!(reason(ask(&[("WebHook-Request-Origin", "evil.example")])), "origin_not_allowed");
    assert_eq!(reason(ask(&[])), "origin_not_allowed");
    assert_eq!(problem("cloudevents", json!({"proof": {"by": "token"}, "origins": ["*"]})), "origins");
}

#[test]
fn the_key_is_in_no_header_that_is_kept_as_an_attribute() {
    assert_eq!(problem("cloudevents", json!({"proof": {"by": "token", "header": "CE-Key"}})), "headers");
    receiver("cloudevents", json!({"proof": {"by": "token", "header": "X-Key"}}));
}
