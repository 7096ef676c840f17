//! Requests as senders make them.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{Arrived, Event, Headers, Received, Receiver, Refusal};

/// When the requests of tests arrive.
pub(super) const NOW: i64 = 1_700_000_000;

pub(super) fn receiver(kind: &str, settings: Value) -> Receiver {
    Receiver::parse(kind, &object(settings)).unwrap()
}

pub(super) fn problem(kind: &str, settings: Value) -> String {
    Receiver::parse(kind, &object(settings)).unwrap_err().field
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(super) fn post(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Received {
    let json = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let json = (!json).then_some(("Content-Type", "application/json"));
    Received {
        method: "POST".into(),
        headers: headers.iter().copied().chain(json).collect::<Headers>(),
        query: String::new(),
        body: body.into(),
        at: NOW,
        caller: None,
    }
}

pub(super) fn keys(keys: &[&str]) -> Vec<SecretString> {
    keys.iter().map(|key| SecretString::from(*key)).collect()
}

pub(super) fn one(arrived: Result<Arrived, Refusal>) -> Event {
    let Arrived::Events(mut verified) = arrived.unwrap() else { panic!("a handshake") };
    assert_eq!(verified.events.len(), 1);
    verified.events.pop().unwrap()
}

pub(super) fn reason(arrived: Result<Arrived, Refusal>) -> &'static str {
    arrived.unwrap_err().reason.code()
}

/// An HMAC in hex.
pub(super) fn hex_hmac(algorithm: aws_lc_rs::hmac::Algorithm, key: &str, text: &[u8]) -> String {
    hex::encode(aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(algorithm, key.as_bytes()), text))
}

/// Of several events, their ids.
pub(super) fn ids(arrived: Result<Arrived, Refusal>) -> Vec<String> {
    let Arrived::Events(verified) = arrived.unwrap() else { panic!("a handshake") };
    verified.events.into_iter().map(|event| event.id.unwrap()).collect()
}

/// A handshake's answer.
pub(super) fn handshake(arrived: Result<Arrived, Refusal>) -> (&'static str, crate::Answer) {
    let Arrived::Handshake { what, answer } = arrived.unwrap() else { panic!("an event") };
    (what, answer)
}
