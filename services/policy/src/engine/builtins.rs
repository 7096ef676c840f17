//! Which of the engine's functions a policy may call.

use regorus::unstable::BUILTINS;

/// What becomes of a call to a function no module defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    /// It may be called, with so many arguments.
    Allowed(usize),
    /// It takes any number of arguments.
    Variadic,
    /// It may not be called, for this reason.
    Refused(&'static str),
    /// There is none of this name.
    Unknown,
}

const NETWORK: &str = "a policy decides on its input alone and reaches nothing else";
const UNSTEADY: &str = "a decision must come out the same when it is looked at again; use `input.time`";
const UNAVAILABLE: &str = "it is not available here";

/// Refused by name, whether or not the engine knows them: a policy that was written for another
/// engine must fail when it is uploaded, not silently decide otherwise.
const REFUSED: &[(&str, &str)] = &[
    ("http.send", NETWORK),
    ("net.lookup_ip_addr", NETWORK),
    ("opa.runtime", NETWORK),
    ("providers.aws.sign_req", NETWORK),
    ("rand.intn", UNSTEADY),
    ("time.now_ns", UNSTEADY),
    ("uuid.rfc4122", UNSTEADY),
    ("json.match_schema", UNAVAILABLE),
    ("json.verify_schema", UNAVAILABLE),
    ("test.sleep", UNAVAILABLE),
];

/// Whole families the engine does not have.
const REFUSED_FAMILIES: &[&str] = &["crypto.", "io.jwt.", "graphql.", "rego."];

pub(super) fn find(name: &str) -> Builtin {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Builtin::Refused(why);
    }
    if REFUSED_FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Builtin::Refused(UNAVAILABLE);
    }
    if name == "print" {
        return Builtin::Variadic;
    }
    BUILTINS.get(name).map_or(Builtin::Unknown, |(_, arity)| Builtin::Allowed(usize::from(*arity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_or_changes_is_refused_by_name() {
        for name in ["http.send", "opa.runtime", "rand.intn", "time.now_ns", "io.jwt.decode", "crypto.sha256"] {
            assert!(matches!(find(name), Builtin::Refused(_)), "{name}");
        }
    }

    #[test]
    fn ordinary_functions_are_known_with_their_arity() {
        for (name, arity) in [
            ("count", 1),
            ("startswith", 2),
            ("sprintf", 2),
            ("object.get", 3),
            ("glob.match", 3),
            ("regex.match", 2),
            ("time.parse_rfc3339_ns", 1),
            ("numbers.range", 2),
            ("contains", 2),
            ("to_number", 1),
            ("array.slice", 3),
        ] {
            assert_eq!(find(name), Builtin::Allowed(arity), "{name}");
        }
        assert_eq!(find("print"), Builtin::Variadic);
        assert_eq!(find("no.such"), Builtin::Unknown);
    }
}
