//! The functions a vetted set may call, and how much each can make of its arguments. Those that can make much of little
//! (`numbers.range`, `net.cidr_expand`, `walk`, `bits.lsh`), that take a pattern or a format apart which is not written
//! out, or that nobody needs in a decision, are not here.

/// What a call can make.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Makes {
    /// A number, a truth value or a few of them.
    Little,
    /// So many times its arguments.
    Times(f64),
    /// At most its first argument times the others: `concat`.
    Product,
    /// As [`Self::Product`], and its arguments are numbers, which are added and multiplied digit by digit.
    Digits,
    /// What the format that is written out as the first argument says.
    Formatted,
    /// A truth value, if the pattern that is its first argument is a short one.
    Matched,
    /// A truth value, if the pattern that is its first argument is written out and compiles to little.
    Expression,
}

/// What a function can make; `None` if it may not be called.
pub(super) fn find(name: &str) -> Option<Makes> {
    Some(match name {
        "abs"
        | "base64.is_valid"
        | "base64url.is_valid"
        | "ceil"
        | "contains"
        | "count"
        | "endswith"
        | "floor"
        | "indexof"
        | "is_array"
        | "is_boolean"
        | "is_null"
        | "is_number"
        | "is_object"
        | "is_set"
        | "is_string"
        | "net.cidr_contains"
        | "net.cidr_intersects"
        | "net.cidr_is_valid"
        | "round"
        | "semver.compare"
        | "semver.is_valid"
        | "startswith"
        | "strings.any_prefix_match"
        | "strings.any_suffix_match"
        | "time.clock"
        | "time.date"
        | "time.parse_duration_ns"
        | "time.parse_rfc3339_ns"
        | "time.weekday"
        | "to_number"
        | "type_name" => Makes::Little,
        "array.concat" | "array.reverse" | "array.slice" | "intersection" | "max" | "min" | "object.filter"
        | "object.get" | "object.keys" | "object.remove" | "object.union" | "sort" | "split" | "strings.reverse"
        | "substring" | "trim" | "trim_left" | "trim_prefix" | "trim_right" | "trim_space" | "trim_suffix"
        | "union" => Makes::Times(2.0),
        // Some letters take three times the bytes in the other case; digits are more in a smaller base.
        "lower" | "upper" | "format_int" => Makes::Times(4.0),
        "concat" => Makes::Product,
        "sum" | "product" => Makes::Digits,
        "sprintf" => Makes::Formatted,
        "glob.match" => Makes::Matched,
        "regex.match" => Makes::Expression,
        _ => return None,
    })
}
