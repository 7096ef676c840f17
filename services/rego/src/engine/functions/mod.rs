//! Functions of our own: what the engine lacks, and what it would answer otherwise than OPA does.
//!
//! Each answers in time and room that are bounded by the size of its arguments, or fails: the engine looks at its clock
//! before and after a call, not during one.

mod arguments;
mod glob;
pub(super) mod json;
mod list;
mod net;
mod numbers;
mod paths;
mod print;
pub(super) mod regex;
mod room;
mod semver;
mod text;
mod time;
mod url;

use anyhow::Result;
use regorus::{Engine, Value};

use self::arguments::Arguments;

/// A function of ours.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arguments: u8,
    run: fn(&Arguments<'_>) -> Result<Value>,
}

const fn function(name: &'static str, arguments: u8, run: fn(&Arguments<'_>) -> Result<Value>) -> Function {
    Function { name, arguments, run }
}

/// All of them. One that the engine has as well takes the place of the engine's.
pub(super) const FUNCTIONS: &[Function] = &[
    function("array.flatten", 1, list::flatten),
    function("array.slice", 3, list::slice),
    function("base64.decode", 1, url::base64_decode),
    function("base64.is_valid", 1, url::base64_is_valid),
    function("base64url.decode", 1, url::base64url_decode),
    function("count", 1, text::count),
    function("glob.match", 3, glob::is_match),
    function("glob.quote_meta", 1, glob::quote_meta),
    function("graph.reachable", 2, list::reachable),
    function("graph.reachable_paths", 2, list::reachable_paths),
    function("hex.decode", 1, url::hex_decode),
    function("indexof", 2, text::index_of),
    function("indexof_n", 2, text::index_of_n),
    function("json.filter", 2, paths::filter),
    function("json.is_valid", 1, json::is_valid),
    function("json.marshal", 1, json::marshal),
    function("json.remove", 2, paths::remove),
    function("json.unmarshal", 1, json::unmarshal),
    function("lower", 1, text::lower),
    function("net.cidr_contains", 2, net::cidr_contains),
    function("net.cidr_contains_matches", 2, net::cidr_contains_matches),
    function("net.cidr_expand", 1, net::cidr_expand),
    function("net.cidr_intersects", 2, net::cidr_intersects),
    function("net.cidr_is_valid", 1, net::cidr_is_valid),
    function("net.cidr_merge", 1, net::cidr_merge),
    function("numbers.range", 2, numbers::range),
    function("numbers.range_step", 3, numbers::range_step),
    function("object.subset", 2, paths::subset),
    function("regex.find_all_string_submatch_n", 3, regex::find_all_string_submatch_n),
    function("regex.find_n", 3, regex::find_n),
    function("regex.is_valid", 1, regex::is_valid),
    function("regex.match", 2, regex::is_match),
    function("regex.replace", 3, regex::replace),
    function("regex.split", 2, regex::split),
    function("regex.template_match", 4, regex::template_match),
    function("replace", 3, text::replace),
    function("semver.compare", 2, semver::compare),
    function("semver.is_valid", 1, semver::is_valid),
    function("sprintf", 2, print::sprintf),
    function("strings.count", 2, text::count_in),
    function("strings.replace_n", 2, text::replace_n),
    function("strings.split_n", 3, text::split_n),
    function("substring", 3, text::substring),
    function("time.add_date", 4, time::add_date),
    function("time.parse_duration_ns", 1, time::parse_duration_ns),
    function("time.parse_rfc3339_ns", 1, time::parse_rfc3339_ns),
    function("to_number", 1, numbers::to_number),
    function("upper", 1, text::upper),
    function("urlquery.decode", 1, url::decode),
    function("urlquery.decode_object", 1, url::decode_object),
    function("urlquery.encode", 1, url::encode),
    function("urlquery.encode_object", 1, url::encode_object),
];

/// Gives them to an engine.
pub(super) fn install(engine: &mut Engine) -> Result<()> {
    for function in FUNCTIONS {
        let run = function.run;
        let extension = move |arguments: Vec<Value>| run(&Arguments(&arguments));
        engine.add_extension(function.name.to_owned(), function.arguments, Box::new(extension))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn try_call(name: &str, arguments: &[Value]) -> Result<Value> {
        let function = FUNCTIONS.iter().find(|function| function.name == name).unwrap();
        assert_eq!(usize::from(function.arguments), arguments.len());
        (function.run)(&Arguments(arguments))
    }

    #[track_caller]
    pub(super) fn call(name: &str, arguments: &[Value]) -> Value {
        try_call(name, arguments).unwrap()
    }

    #[track_caller]
    pub(super) fn fails(name: &str, arguments: &[Value]) {
        let said = try_call(name, arguments);
        assert!(said.is_err(), "{name}: {said:?}");
    }
}
