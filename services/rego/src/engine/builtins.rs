//! Which of the engine's functions a policy may call.

use regorus::unstable::BUILTINS;

use super::functions;

/// What becomes of a call to a function no module defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    /// It may be called, with so many arguments.
    Allowed(usize),
    /// It may be called with so many arguments, and not with one more that names the result.
    WithoutResult(usize),
    /// It takes any number of arguments.
    Variadic,
    /// It may not be called, for this reason.
    Refused(&'static str),
    /// There is none of this name.
    Unknown,
}

const NETWORK: &str = "a policy decides on its input alone and reaches nothing else";
const UNSTEADY: &str = "a decision must be repeatable";
const ZONES: &str =
    "take the parts from `time.date` and `time.clock`, which know time zones, and put them together with `sprintf`";

/// Refused by name, with what to write instead, whether or not the engine knows them: a policy that was written for
/// another engine must fail when it is uploaded, not silently decide otherwise.
const REFUSED: &[(&str, &str)] = &[
    ("http.send", NETWORK),
    ("net.lookup_ip_addr", NETWORK),
    ("opa.runtime", NETWORK),
    ("providers.aws.sign_req", NETWORK),
    ("rand.intn", UNSTEADY),
    ("time.now_ns", "a decision must be repeatable; use `time.parse_rfc3339_ns(input.time)`"),
    ("uuid.rfc4122", UNSTEADY),
    (
        "json.match_schema",
        "parameters are checked by the template's own schema; use `is_string`, `is_number` and the like",
    ),
    ("json.verify_schema", "parameters are checked by the template's own schema"),
    ("json.patch", "use `object.union` to set fields and `json.remove` to remove them"),
    ("json.marshal_with_options", "use `json.marshal`, which writes one line"),
    ("yaml.is_valid", "pass an object as the parameter, or JSON and `json.is_valid`"),
    ("yaml.marshal", "use `json.marshal`: JSON is YAML"),
    ("yaml.unmarshal", "pass an object as the parameter, or JSON and `json.unmarshal`"),
    ("regex.globs_match", "match each text with `glob.match` or `regex.match`"),
    ("strings.render_template", "use `sprintf`"),
    ("time.diff", "subtract the nanoseconds: an hour is 3600000000000"),
    ("time.format", ZONES),
    ("time.parse_ns", "use `time.parse_rfc3339_ns`; other forms can be rewritten with `regex.replace` first"),
    ("units.parse", "take the number with `trim_suffix` and `to_number` and multiply it"),
    ("units.parse_bytes", "take the number with `trim_suffix` and `to_number` and multiply it"),
    ("uri.is_valid", "use `regex.match`"),
    ("uri.parse", "take the parts with `regex.find_all_string_submatch_n`"),
    ("uuid.parse", "use `regex.match` to see whether it is one"),
    ("test.sleep", "a policy cannot wait"),
    ("all", "it is not part of Rego v1; use `every`"),
    ("any", "it is not part of Rego v1; use `some … in`"),
    ("re_match", "it is not part of Rego v1; use `regex.match`"),
    ("set_diff", "it is not part of Rego v1; use `-`"),
    ("net.cidr_overlap", "it is not part of Rego v1; use `net.cidr_contains`"),
    ("cast_array", "it is not part of Rego v1; use `is_array`, or `[x | some x in set]`"),
    ("cast_boolean", "it is not part of Rego v1; use `is_boolean`"),
    ("cast_null", "it is not part of Rego v1; use `is_null`"),
    ("cast_object", "it is not part of Rego v1; use `is_object`"),
    ("cast_set", "it is not part of Rego v1; use `is_set`, or `{x | some x in array}`"),
    ("cast_string", "it is not part of Rego v1; use `is_string`"),
];

/// Whole families that are not there.
const REFUSED_FAMILIES: &[(&str, &str)] = &[
    (
        "crypto.",
        "compare what is meant itself, not its hash; signatures and certificates are checked before a policy is asked",
    ),
    ("io.jwt.", "the token was verified before a policy is asked: use `input.principal`"),
    ("graphql.", "pass what is to be decided on as parameters of their own: a policy cannot read GraphQL"),
    ("rego.", "a policy cannot look at its own text; use `startswith` on a name that modules agree on, or a constant"),
    ("internal.", "only OPA itself calls it"),
    ("__", "only the engine itself calls it"),
];

pub(super) fn find(name: &str) -> Builtin {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Builtin::Refused(why);
    }
    if let Some((_, why)) = REFUSED_FAMILIES.iter().find(|(family, _)| name.starts_with(family)) {
        return Builtin::Refused(why);
    }
    if name == "print" {
        return Builtin::Variadic;
    }
    let own = || functions::FUNCTIONS.iter().find(|own| own.name == name).map(|own| usize::from(own.arguments));
    match BUILTINS.get(name) {
        Some((_, arity)) => Builtin::Allowed(usize::from(*arity)),
        None => own().map_or(Builtin::Unknown, Builtin::WithoutResult),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

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
        assert_eq!(find("net.cidr_contains"), Builtin::WithoutResult(2));
        assert_eq!(find("no.such"), Builtin::Unknown);
    }

    /// The table "not available" of the page, as the names that are in code in its first column.
    fn missing_by_the_page() -> BTreeSet<String> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page.split_once("| not available | use instead |").unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let first = rows.filter_map(|row| row.split('|').nth(1));
        first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }

    /// Families that only an engine itself calls; nobody writes a policy with them.
    const NOT_FOR_PEOPLE: [&str; 2] = ["internal.", "__"];

    #[test]
    fn the_page_lists_what_is_refused_and_nothing_else() {
        let page = missing_by_the_page();
        let listed = |name: &str| {
            page.iter().any(|entry| entry.strip_suffix('*').map_or(entry == name, |start| name.starts_with(start)))
        };
        for (name, _) in REFUSED {
            assert!(listed(name), "docs/policies.md does not list `{name}`");
        }
        for (family, _) in REFUSED_FAMILIES.iter().filter(|(family, _)| !NOT_FOR_PEOPLE.contains(family)) {
            assert!(page.contains(&format!("{family}*")), "docs/policies.md does not list `{family}*`");
        }
        for entry in &page {
            let refused = match entry.strip_suffix('*') {
                Some(start) => REFUSED.iter().chain(REFUSED_FAMILIES).any(|(name, _)| name.starts_with(start)),
                None => matches!(find(entry), Builtin::Refused(_)),
            };
            assert!(refused, "docs/policies.md lists `{entry}`, which is not refused");
        }
    }
}
