//! The sealed form that leaves the vault: `1 (format) ‖ data key number (4, big-endian) ‖ box`.
//!
//! Opaque to its keeper. The head is not encrypted, but part of what the box is bound to.

use super::envelope::{Binding, CryptoFailed, Key, OVERHEAD, seal_into};

const FORMAT: u8 = 1;
const HEAD_LEN: usize = 5;

/// What a sealed value is bound to.
pub(super) enum Belongs<'a> {
    /// A stored secret.
    Secret { tenant: &'a str, name: &'a str, version: i64 },
    /// A value somebody else keeps.
    Value { tenant: &'a str, context: &'a str },
}

/// What the box of a blob is bound to.
pub(super) fn binding(number: u32, belongs: &Belongs<'_>) -> Binding {
    let head = head(number);
    match belongs {
        Belongs::Secret { tenant, name, version } => {
            Binding::new("secret", &[&head, tenant.as_bytes(), name.as_bytes(), &version.to_be_bytes()])
        }
        Belongs::Value { tenant, context } => Binding::new("value", &[&head, tenant.as_bytes(), context.as_bytes()]),
    }
}

/// Seals a value with data key `number`.
pub(super) fn seal(number: u32, key: &Key, belongs: &Belongs<'_>, value: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
    let mut out = Vec::with_capacity(HEAD_LEN + OVERHEAD + value.len());
    out.extend_from_slice(&head(number));
    seal_into(&mut out, key, &binding(number, belongs), value)?;
    Ok(out)
}

/// Splits a blob into the number of its data key and its box; `None` when it has no such form.
pub(super) fn split(blob: &[u8]) -> Option<(u32, &[u8])> {
    let ([format, number @ ..], rest) = blob.split_first_chunk::<HEAD_LEN>()?;
    (*format == FORMAT).then(|| (u32::from_be_bytes(*number), rest))
}

fn head(number: u32) -> [u8; HEAD_LEN] {
    let [a, b, c, d] = number.to_be_bytes();
    [FORMAT, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::envelope::open;
    use super::{Belongs, Key, binding, seal, split};

    #[test]
    fn a_secret_of_another_version_name_or_kind_does_not_open() {
        let key = Key::generate().unwrap();
        let belongs = Belongs::Secret { tenant: "acme", name: "a", version: 1 };
        let blob = seal(7, &key, &belongs, b"value").unwrap();
        let (number, sealed) = split(&blob).unwrap();
        assert_eq!(number, 7);
        for other in [
            Belongs::Secret { tenant: "acme", name: "a", version: 2 },
            Belongs::Secret { tenant: "acme", name: "b", version: 1 },
            Belongs::Secret { tenant: "acm", name: "ea", version: 1 },
            Belongs::Value { tenant: "acme", context: "a" },
        ] {
            assert!(open(&key, &binding(7, &other), sealed).is_none());
        }
        assert!(open(&key, &binding(8, &belongs), sealed).is_none(), "the key's number is bound too");
        assert_eq!(open(&key, &binding(7, &belongs), sealed).unwrap().expose(), b"value");
    }

    proptest! {
        #[test]
        fn noise_is_split_without_panicking(noise: Vec<u8>) {
            if let Some((_, rest)) = split(&noise) {
                prop_assert_eq!(noise[0], 1);
                prop_assert_eq!(rest.len(), noise.len() - 5);
            }
        }
    }
}
