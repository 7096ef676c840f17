use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::support::{NOW, hex_hmac, ids, keys, one, post, problem, reason, receiver};
use crate::{Arrived, Outcome, Refusal, Weakness};

const KEY: &str = "the token of Alertmanager";

fn notification() -> Value {
    json!({
        "receiver": "runwarden", "status": "firing", "version": "4", "truncatedAlerts": 0,
        "groupKey": "{}:{alertname=\"DiskFull\"}", "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull", "severity": "critical"}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [
            {"status": "firing", "labels": {"alertname": "DiskFull", "instance": "db1"}, "annotations": {"value": "91 %"},
             "startsAt": "2023-11-14T22:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
             "generatorURL": "http://prometheus.example/graph", "fingerprint": "c5a2ab4a5b4b2c4e"},
            {"status": "firing", "labels": {"alertname": "DiskFull", "instance": "db2"}, "annotations": {},
             "startsAt": "2023-11-14T22:01:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
             "generatorURL": "http://prometheus.example/graph", "fingerprint": "1f3d5a7b9c0e2d4f"},
        ],
    })
}

fn send(settings: Value, body: &Value) -> Result<Arrived, Refusal> {
    let request = post(&[("Authorization", &format!("Bearer {KEY}"))], body.to_string());
    receiver("alertmanager", settings).receive(&request, &keys(&[KEY]))
}

fn by_token() -> Value {
    json!({"proof": {"by": "token"}})
}

#[test]
fn a_group_in_the_same_state_is_a_repeat_and_anything_else_is_not() {
    let first = one(send(by_token(), &notification()));
    assert_eq!(first.event, "firing");
    assert_eq!(first.document["body"], notification());

    // What `repeat_interval` sends again: the same alerts, in any order, with texts that have changed.
    let mut again = notification();
    again["alerts"].as_array_mut().unwrap().reverse();
    again["alerts"][1]["annotations"]["value"] = json!("92 %");
    again["notification_reason"] = json!("repeat_interval");
    let again = one(send(by_token(), &again));
    assert_eq!((&again.id, again.content), (&first.id, first.content));

    let other = |change: fn(&mut Value)| {
        let mut body = notification();
        change(&mut body);
        assert_ne!(one(send(by_token(), &body)).id, first.id);
    };
    other(|body| body["status"] = json!("resolved"));
    other(|body| body["alerts"][0]["startsAt"] = json!("2023-11-15T08:00:00.000Z"));
    other(|body| body["alerts"][0]["status"] = json!("resolved"));
    other(|body| drop(body["alerts"].as_array_mut().unwrap().pop()));
    other(|body| body["groupKey"] = json!("{}:{alertname=\"Other\"}"));
    other(|body| body["truncatedAlerts"] = json!(3));
    other(|body| body["orgId"] = json!(2));
}

#[test]
fn a_hook_may_take_each_alert_as_an_event() {
    let settings = json!({"proof": {"by": "token"}, "per": "alert"});
    let Ok(Arrived::Events(verified)) = send(settings.clone(), &notification()) else { panic!() };
    let [first, second] = &verified.events[..] else { panic!() };
    assert_ne!(first.id, second.id);
    assert_eq!(first.document["body"]["alert"]["labels"]["instance"], "db1");
    assert_eq!(first.document["body"]["commonLabels"]["severity"], "critical");
    assert!(first.document["body"].get("alerts").is_none());
    // The one that fires on while another is resolved is a repeat, whatever its group says.
    let mut later = notification();
    later["alerts"][1]["status"] = json!("resolved");
    let later = ids(send(settings.clone(), &later));
    assert_eq!(Some(&later[0]), first.id.as_ref());
    assert_ne!(Some(&later[1]), second.id.as_ref());
    let mut flood = notification();
    flood["alerts"] = vec![notification()["alerts"][0].clone(); 257].into();
    assert_eq!(reason(send(settings.clone(), &flood)), "too_many_events");
    assert!(send(by_token(), &flood).is_ok());
    // Two organisations of a Grafana may have the same alert.
    let mut organisation = notification();
    organisation["orgId"] = json!(2);
    assert_ne!(Some(&ids(send(settings, &organisation))[0]), first.id.as_ref());
}

#[test]
fn what_alerts_share_is_not_repeated_without_bounds() {
    let settings = json!({"proof": {"by": "token"}, "per": "alert"});
    let mut large = notification();
    large["commonAnnotations"]["text"] = json!("x".repeat(500_000));
    assert_eq!(ids(send(settings.clone(), &large)).len(), 2);
    large["alerts"] = vec![notification()["alerts"][0].clone(); 20].into();
    assert_eq!(reason(send(settings, &large)), "too_many_events");
    assert!(send(by_token(), &large).is_ok());
}

#[test]
fn what_is_not_a_notification_is_refused() {
    for body in [json!({}), json!([]), json!({"alerts": []}), json!({"alerts": [1]}), json!({"alerts": {}})] {
        assert_eq!(reason(send(by_token(), &body)), "body_malformed", "{body}");
    }
    assert_eq!(problem("alertmanager", json!({})), "proof");
    assert_eq!(problem("alertmanager", json!({"proof": {"by": "hmac", "header": "X"}})), "proof.by");
    let receiver = receiver("alertmanager", by_token());
    assert_eq!(receiver.weaknesses(), [Weakness::BodyUnsigned]);
    // 5xx is what it sends again.
    assert_eq!(receiver.answer(&post(&[], ""), &Outcome::Busy { retry_after: 5 }).status, 503);
}

#[test]
fn grafana_signs_the_body_and_the_time_if_it_is_configured_so() {
    let body = json!({
        "receiver": "runwarden", "status": "firing", "orgId": 1, "version": "1", "groupKey": "{}:{alertname=\"DiskFull\"}",
        "title": "[FIRING:1] DiskFull", "state": "alerting", "message": "**Firing**", "truncatedAlerts": 0,
        "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}, "annotations": {}, "fingerprint": "3f8f3bd6a2f5b6c0",
                    "startsAt": "2023-11-14T22:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "values": {"B": 0.300_000_000_000_000_04},
                    "valueString": "[ var='B' ]", "silenceURL": "https://grafana.example/alerting/silence/new"}],
    })
    .to_string();
    let key = "the secret of Grafana";
    let plain = receiver("grafana", json!({}));
    let signature = hex_hmac(HMAC_SHA256, key, body.as_bytes());
    let mut request = post(&[("X-Grafana-Alerting-Signature", &signature)], body.as_str());
    assert_eq!(one(plain.receive(&request, &keys(&[key]))).event, "firing");
    request.method = "PUT".into();
    assert!(plain.receive(&request, &keys(&[key])).is_ok());
    request.method = "DELETE".into();
    assert_eq!(reason(plain.receive(&request, &keys(&[key]))), "method");

    let timed = receiver(
        "grafana",
        json!({"proof": {
        "by": "hmac", "header": "X-Grafana-Alerting-Signature", "signed": "{timestamp}:{body}",
        "timestamp": {"header": "X-Grafana-Timestamp"}}}),
    );
    let signature = hex_hmac(HMAC_SHA256, key, format!("{NOW}:{body}").as_bytes());
    let time = NOW.to_string();
    let headers = [("X-Grafana-Alerting-Signature", signature.as_str()), ("X-Grafana-Timestamp", &time)];
    assert!(timed.receive(&post(&headers, body), &keys(&[key])).is_ok());
}
