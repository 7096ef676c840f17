//! Notes against published examples, and against whatever anybody might send instead.

use aws_lc_rs::signature::Ed25519KeyPair;
use proptest::prelude::*;

use super::*;
use crate::merkle::{Hash, leaf_hash};

/// The example in the documentation of the first implementation of signed notes.
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key() -> SigningKey {
    let seed = STANDARD.decode(SEED).unwrap();
    SigningKey::from_pair(Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap()).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: "runwarden-audit/acme".to_owned(), size: 42, root: leaf_hash(b"root") }
}

#[test]
fn the_published_example_verifies_and_is_made_again_byte_for_byte() {
    let verifier: VerifierKey = VERIFIER.parse().unwrap();
    assert_eq!(Note::parse(SIGNED).unwrap().verify(&verifier), Ok(TEXT));
    assert_eq!(key().verifier("PeterNeumann").unwrap().to_string(), VERIFIER);
    assert_eq!(sign(TEXT, "PeterNeumann", &key()).unwrap(), SIGNED);
}

#[test]
fn a_checkpoint_reads_as_the_specification_says() {
    let signed = checkpoint().sign(&key()).unwrap();
    let lines: Vec<_> = signed.split('\n').collect();
    assert_eq!(lines[..4], ["runwarden-audit/acme", "42", &leaf_hash(b"root").to_base64(), ""]);
    assert!(lines[4].starts_with("— runwarden-audit/acme "));
    let verifier = key().verifier("runwarden-audit/acme").unwrap();
    assert_eq!(Checkpoint::open(&signed, &verifier), Ok(checkpoint()));
    assert_eq!(verifier.to_string().parse(), Ok(verifier));
}

#[test]
fn another_logs_checkpoint_is_named_as_such() {
    let signed = checkpoint().sign(&key()).unwrap();
    let verifier = key().verifier("runwarden-audit/umbrella").unwrap();
    assert!(matches!(Checkpoint::open(&signed, &verifier), Err(NoteError::OtherLog { .. })));
}

#[test]
fn another_keys_checkpoint_is_not_believed() {
    let (other, pkcs8) = SigningKey::generate().unwrap();
    let signed = checkpoint().sign(&other).unwrap();
    let verifier = key().verifier("runwarden-audit/acme").unwrap();
    assert!(matches!(Checkpoint::open(&signed, &verifier), Err(NoteError::NotSigned(_))));
    let again = SigningKey::from_pkcs8(&pkcs8).unwrap();
    assert!(Checkpoint::open(&signed, &again.verifier("runwarden-audit/acme").unwrap()).is_ok());
}

#[test]
fn a_signature_by_others_as_well_does_no_harm_and_none_is_needed() {
    let (witness, _) = SigningKey::generate().unwrap();
    let signed = checkpoint().sign(&key()).unwrap();
    let text = checkpoint().to_string();
    let cosigned = format!("{signed}{}", sign(&text, "witness", &witness).unwrap().split("\n\n").nth(1).unwrap());
    let verifier = key().verifier("runwarden-audit/acme").unwrap();
    assert_eq!(Checkpoint::open(&cosigned, &verifier), Ok(checkpoint()));
    assert!(Note::parse(&cosigned).unwrap().verify(&witness.verifier("witness").unwrap()).is_ok());
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = checkpoint().root.to_base64();
    for text in [
        format!("\n1\n{root}\n"),
        format!("a\n01\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n9223372036854775808\n{root}\n"),
        "a\n1\n".to_owned(),
        "a\n1\nAAAA\n".to_owned(),
    ] {
        let note = sign(&text, "a", &key()).unwrap();
        assert!(Checkpoint::unverified(&note).is_err(), "{text:?}");
    }
    for note in ["", "\n", "\n\n", "a\n\n", "a\n\n— a\n", "a\n\n— a b\n", "a\n\n— a AAAA\n", "a\r\n\n— a AAAAAAAA\n"]
    {
        assert!(Note::parse(note).is_err(), "{note:?}");
    }
}

#[test]
fn verifier_keys_that_are_none_are_refused() {
    for text in [
        "",
        "a",
        "a+b",
        "a+00000000+AAAA",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpcQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
    }
}

#[test]
fn a_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", key()), "SigningKey(…)");
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,300}") {
        let _ = Note::parse(&text);
        let _ = Checkpoint::unverified(&text);
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn no_text_that_looks_like_a_note_makes_the_parser_panic(
        text in "[ -~\n—]{0,80}", name in "[a-z+ ]{0,5}", base64 in "[A-Za-z0-9+/=]{0,30}", end in "[\n—]{0,2}",
    ) {
        let note = format!("{text}\n\n— {name} {base64}{end}");
        let _ = Checkpoint::unverified(&note);
    }

    #[test]
    fn every_checkpoint_comes_back(origin in "[a-z_./-]{1,40}", size in 0..=i64::MAX as u64, root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint { origin, size, root: Hash::from_bytes(root) };
        let signed = checkpoint.sign(&key()).unwrap();
        let verifier = key().verifier(&checkpoint.origin).unwrap();
        prop_assert_eq!(Checkpoint::open(&signed, &verifier), Ok(checkpoint));
    }

    #[test]
    fn no_changed_byte_is_believed(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let verifier = key().verifier("runwarden-audit/acme").unwrap();
        let mut bytes = checkpoint().sign(&key()).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::open(&text, &verifier).is_err());
        }
    }
}
