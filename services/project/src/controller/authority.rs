//! A certificate authority to trust for one controller.

use runwarden_kit::{Error, Result};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};

const LONGEST: usize = 64 * 1024;
const MOST: usize = 20;

/// Checks that the text is one or more certificates and nothing else. Empty means the system's authorities.
pub(crate) fn ca_pem(given: &str) -> Result<String> {
    let wrong = |detail: &str| Error::invalid("/ca_pem", detail);
    let trimmed = given.trim();
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    if trimmed.len() > LONGEST {
        return Err(wrong("is too long: at most 64 KiB"));
    }
    let mut count = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(trimmed.as_bytes()) {
        let (kind, der) = section.map_err(|_| wrong("is not PEM"))?;
        if kind != SectionKind::Certificate {
            return Err(wrong(
                "must contain certificates only; if there is a private key in it, consider that key compromised",
            ));
        }
        let certificate = CertificateDer::from(der);
        let (rest, _) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| wrong("contains something that is not a certificate"))?;
        if !rest.is_empty() {
            return Err(wrong("contains something after a certificate"));
        }
        count += 1;
    }
    match count {
        0 => Err(wrong("contains no certificate: it must have lines such as -----BEGIN CERTIFICATE-----")),
        1..=MOST => Ok(format!("{trimmed}\n")),
        _ => Err(wrong("contains more than 20 certificates")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["awx.example".to_owned()]).unwrap()
    }

    #[test]
    fn certificates_are_taken() {
        let one = certificate().cert.pem();
        assert_eq!(ca_pem(&one).unwrap().trim(), one.trim());
        ca_pem(&format!("{one}\n{one}")).unwrap();
        assert_eq!(ca_pem("  ").unwrap(), "");
    }

    #[test]
    fn everything_else_is_refused() {
        let made = certificate();
        let one = made.cert.pem();
        for bad in [
            "hello".to_owned(),
            made.signing_key.serialize_pem(),
            format!("{one}{}", made.signing_key.serialize_pem()),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned(),
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----".to_owned(),
            one.repeat(MOST + 1),
            "x".repeat(LONGEST + 1),
        ] {
            assert!(ca_pem(&bad).is_err(), "{}", bad.get(..60).unwrap_or(&bad));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_without_panic(given in "(-----BEGIN CERTIFICATE-----\n)?[A-Za-z0-9+/=\n-]{0,80}(\n-----END CERTIFICATE-----)?") {
            let _ = ca_pem(&given);
        }
    }
}
