use secrecy::SecretString;
use serde_json::json;

use super::support::{keys, one, post, reason, receiver};
use crate::standard::SigningKey;
use crate::{Arrived, ProvedBy, Received, Refusal};

const SYMMETRIC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const AT: i64 = 1_649_367_553;

fn request(id: &str, at: i64, signature: &str, body: &str) -> Received {
    let time = at.to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", &*time), ("webhook-signature", signature)];
    Received { at: AT, ..post(&headers, body) }
}

fn send(id: &str, at: i64, signature: &str, valid: &[&str]) -> Result<Arrived, Refusal> {
    receiver("standard_webhooks", json!({})).receive(&request(id, at, signature, BODY), &keys(valid))
}

#[test]
fn the_published_symmetric_vector_is_made_and_verified() {
    let vector = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    assert_eq!(SigningKey::parse(&SYMMETRIC.to_owned().into()).unwrap().sign(ID, AT, BODY.as_bytes()), vector);
    assert_eq!(one(send(ID, AT, vector, &[SYMMETRIC])).id.as_deref(), Some(ID));
    assert_eq!(reason(send("msg_2", AT, vector, &[SYMMETRIC])), "signature_mismatch");
    assert_eq!(reason(send(ID, AT + 1, vector, &[SYMMETRIC])), "signature_mismatch");
    assert_eq!(reason(send(ID, AT, &vector.replace("v1,", "v1a,"), &[SYMMETRIC])), "signature_mismatch");
    assert_eq!(reason(send(ID, AT, &vector.replace("v1,", "v2,"), &[SYMMETRIC])), "signature_malformed");
}

#[test]
fn the_published_ed25519_vector_is_made_and_verified() {
    let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
    let vector = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
    let key = SigningKey::parse(&PRIVATE.to_owned().into()).unwrap();
    assert_eq!(key.sign(id, at, body.as_bytes()), vector);
    assert_eq!(key.public_key().as_deref(), Some(PUBLIC));
    let request = Received { at, ..request(id, at, vector, body) };
    let receiver = receiver("standard_webhooks", json!({}));
    assert!(receiver.receive(&request, &keys(&[PUBLIC])).is_ok());
    assert_eq!(reason(receiver.receive(&request, &keys(&[SYMMETRIC]))), "signature_mismatch");
}

#[test]
fn during_a_rotation_any_key_and_any_signature_will_do() {
    let sign = |key: &str| SigningKey::parse(&SecretString::from(key)).unwrap().sign(ID, AT, BODY.as_bytes());
    let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let both = format!("{} v2,future {} {}", sign(new), sign(SYMMETRIC), sign(PRIVATE));
    let by = |signatures: &str, valid: &[&str]| {
        let Ok(Arrived::Events(verified)) = send(ID, AT, signatures, valid) else { panic!() };
        verified.by
    };
    assert_eq!(by(&both, &[PUBLIC]), ProvedBy::Signature { key: 0 });
    assert_eq!(by(&sign(SYMMETRIC), &[new, SYMMETRIC]), ProvedBy::Signature { key: 1 });
    assert_eq!(by(&both, &[new, SYMMETRIC]), ProvedBy::Signature { key: 0 });
}

#[test]
fn five_minutes_are_allowed_both_ways() {
    let key = SigningKey::parse(&SYMMETRIC.to_owned().into()).unwrap();
    let at = |at: i64| send(ID, at, &key.sign(ID, at, BODY.as_bytes()), &[SYMMETRIC]);
    assert!(at(AT - 300).is_ok() && at(AT + 300).is_ok());
    assert_eq!(reason(at(AT - 301)), "timestamp_too_old");
    assert_eq!(reason(at(AT + 301)), "timestamp_in_future");
    assert_eq!(reason(send("msg.1", AT, &key.sign("msg.1", AT, BODY.as_bytes()), &[SYMMETRIC])), "id_malformed");
    // Without a proof, an id that is wrong is answered as a signature that is.
    assert_eq!(reason(send("msg.1", AT, "v1,AAAA", &[SYMMETRIC])), "signature_mismatch");
    assert_eq!(reason(send("", AT, "v1,AAAA", &[SYMMETRIC])), "signature_missing");
}

#[test]
fn keys_of_other_forms_are_refused_and_none_is_ever_printed() {
    let receiver = receiver("standard_webhooks", json!({}));
    let ok = |key: &str| receiver.check_key(&SecretString::from(key)).is_ok();
    assert!(ok(SYMMETRIC) && ok(PUBLIC));
    assert!(ok(secrecy::ExposeSecret::expose_secret(&receiver.generate_key().unwrap())));
    for bad in [PRIVATE, "whsec_", "whsec_%", "whsec_AAAA", "whpk_AAAA", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", ""] {
        assert!(!ok(bad), "{bad}");
    }
    let wrong = PRIVATE.replace("X0dRqSKJ", "aaaaaaaa");
    assert!(SigningKey::parse(&wrong.into()).is_err(), "a public key that is not the seed's");
    for made in [SigningKey::generate_symmetric(), SigningKey::generate_ed25519()] {
        let made = made.unwrap();
        let key = SigningKey::parse(&made).unwrap();
        assert!(!format!("{key:?} {made:?}").contains(secrecy::ExposeSecret::expose_secret(&made)));
    }
}
