use std::time::Duration;

use super::*;
use crate::engine::{Verdict, compile};

fn texts(rules: &str) -> Vec<ModuleText> {
    vec![ModuleText { name: "m".to_owned(), rego: format!("package runwarden.authz\n{rules}\n") }]
}

fn vetted(modules: &[ModuleText]) -> Result<(), Problem> {
    let mut compiled = compile(modules, Duration::from_secs(5)).unwrap_or_else(|problems| panic!("{problems:?}"));
    compiled.vet(modules)
}

#[track_caller]
fn stays_out(rules: &str) {
    assert!(vetted(&texts(rules)).is_err(), "{rules}");
}

#[track_caller]
fn comes_in(rules: &str) {
    vetted(&texts(rules)).unwrap_or_else(|problem| panic!("{rules}: {problem:?}"));
}

#[test]
fn what_people_write_comes_in() {
    comes_in("allow := true");
    comes_in("default allow := false\nallow if \"launcher\" in input.principal.roles");
    for rules in [
        "deny contains \"no\" if input.parameters.environment == \"prod\"",
        "hour := time.clock(time.parse_rfc3339_ns(input.time))[0]\nallow if hour >= 22",
        "roles := {role | some role in input.principal.roles}\nallow if roles & {\"a\", \"b\"} != set()",
        "limits := {\"dev\": 5, \"prod\": 2}\nallow if input.parameters.n <= limits[input.parameters.environment]",
        "known := {\"a\", \"b\"}\nunknown := object.keys(input.parameters) - known\ndeny contains sprintf(\"unknown: %s\", [concat(\", \", sort(unknown))]) if count(unknown) > 0",
        "deny contains msg if {\n\tsome key, value in input.parameters\n\tnot startswith(value, \"x-\")\n\tmsg := sprintf(\"%s must not be %v\", [key, value])\n}",
        "hosts := [\"web-*\", \"db-?\"]\nallow if {\n\tsome pattern in hosts\n\tglob.match(pattern, [], input.parameters.host)\n}",
        "allow if regex.match(`^v[0-9]+(\\.[0-9]+)*$`, input.parameters.version)",
        "is_admin(roles) if \"admin\" in roles\nallow if is_admin(input.principal.roles)",
        "allow if every host in input.parameters.hosts { startswith(host, \"web\") }",
        "names := [name | name := input.parameters.hosts[_].name]\nallow if count(names) < 5",
        "by_name[host.name] := host if some host in input.parameters.hosts\nallow if by_name.web",
        "allow if net.cidr_contains(\"10.0.0.0/8\", input.parameters.ip)",
    ] {
        comes_in(rules);
    }
}

#[test]
fn functions_that_make_much_of_little_stay_out() {
    for call in [
        "numbers.range(1, input.parameters.n)",
        "numbers.range_step(1, input.parameters.n, 2)",
        "net.cidr_expand(input.parameters.net)",
        "bits.lsh(1, input.parameters.n)",
        "sprintf(input.parameters.format, [1])",
        "regex.replace(input.parameters.text, \"a\", \"bbbb\")",
        "strings.replace_n({\"a\": \"bbbb\"}, input.parameters.text)",
        "replace(input.parameters.text, \"a\", input.parameters.text)",
        "graph.reachable(input.parameters.graph, {\"a\"})",
        "graph.reachable_paths(input.parameters.graph, {\"a\"})",
        "json.unmarshal(input.parameters.text)",
        "json.marshal(input.parameters.text)",
        "regex.split(input.parameters.pattern, \"a\")",
        "concat(input.parameters.a, input.parameters.b)",
        "input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a * input.parameters.a",
    ] {
        stays_out(&format!("x := {call}\nallow if x"));
    }
    stays_out("allow if { some path, value\n\twalk(input, [path, value])\n\tvalue == 1 }");
    stays_out("allow if { print(input)\n\ttrue }");
    stays_out("allow if regex.match(input.parameters.pattern, \"a\")");
    stays_out("allow if regex.match(`(a{1000}){1000}`, input.parameters.text)");
    stays_out("allow if glob.match(input.parameters.pattern, [], \"a\")");
}

#[test]
fn doubling_stays_out_however_it_is_written() {
    let chain = |step: &dyn Fn(usize) -> String| -> String { (1..=30).map(|n| step(n) + "\n").collect() };
    let locals = |step: &dyn Fn(usize) -> String| format!("allow if {{\n\tx0 := input\n{}\tx30 == 1\n}}", chain(step));
    // Rules are stopped by how many use each other, so there they are few and large.
    for rules in [
        locals(&|n| format!("\tx{n} := [x{0}, x{0}]", n - 1)),
        locals(&|n| format!("\tx{n} := {{\"a\": x{0}, \"b\": x{0}}}", n - 1)),
        locals(&|n| format!("\tx{n} := concat(\"\", [x{0}, x{0}])", n - 1)),
        locals(&|n| format!("\tx{n} := array.concat(x{0}, x{0})", n - 1)),
        locals(&|n| format!("\tx{n} := sprintf(\"%s%s\", [x{0}, x{0}])", n - 1)),
        locals(&|n| format!("\tx{n} := x{0} * x{0}", n - 1)),
        locals(&|n| format!("\t[x{n}, y{n}] := [[x{0}, x{0}], 1]", n - 1)),
        format!("x0 := \"a\"\n{}allow if x30 == 1", chain(&|n| format!("x{n} := [x{0}, x{0}]", n - 1))),
        format!(
            "f0(x) := [x, x]\n{}allow if f8(input) == 1",
            (1..=8).map(|n| format!("f{n}(x) := f{0}(f{0}(x))\n", n - 1)).collect::<String>()
        ),
        "a := [x | some x in input.l]\nb := [a | some x in input.l]\nc := [b | some x in input.l]\nallow if c == 1"
            .to_owned(),
        "b := [[x | x := input] | some y in input.l]\nallow if b == 1".to_owned(),
        "b := [y | some x in input.l; y := input.m[_]; some z in input.n]\nallow if b == 1".to_owned(),
        "b := [input | input.l[_]]\nallow if b == 1".to_owned(),
        "b := [input | some i; input.l[i]]\nallow if b == 1".to_owned(),
        "b := [[y | j := 1; y := j], [input | input.l[j]]]\nallow if b == 1".to_owned(),
        "deny contains [x, input] if some x in input.l".to_owned(),
        "p[x] := input if some x in input.l\nallow if p == 1".to_owned(),
    ] {
        stays_out(&rules);
    }
}

#[test]
fn what_could_overflow_a_stack_or_stall_the_parser_stays_out() {
    stays_out(&format!("allow if 1{} == 41", " + 1".repeat(40)));
    stays_out(&format!("allow if input{}", ".a".repeat(60)));
    stays_out(&format!("x := {}1{}\nallow if x", "[".repeat(7), "]".repeat(7)));
    let chain: String = (1..=14).map(|n| format!("a{n} if a{}\n", n - 1)).collect();
    stays_out(&format!("a0 := true\n{chain}allow if a14"));
    stays_out(&format!("allow if {{\n{}}}", "not input.a\n".repeat(4_000)));
    stays_out("allow if { x with input.a as 1 }\nx := 1");
}

/// The deepest that comes in: chains of rules and functions, in one another as deep as may be.
fn deepest() -> String {
    let nested = |inner: &str| format!("count([a | a := [{{\"k\": [b | b := {inner}]}}]])");
    let chain: String =
        (1..=9).map(|n| format!("r{n} := {} if r{}\n", nested(&format!("r{}", n - 1)), n - 1)).collect();
    format!(
        "r0 := 1\n{chain}f(x) := {} if x\ndefault allow := false\nallow if f(1{}) == r9",
        nested("x"),
        " + 1".repeat(20)
    )
}

/// Threads of the runtime have 2 MiB.
#[test]
fn the_deepest_that_comes_in_fits_into_half_the_stack_there_is() {
    let rules = deepest();
    comes_in(&rules);
    let evaluating = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
        let compiled = compile(&texts(&rules), Duration::from_secs(20)).ok().unwrap();
        compiled.evaluate("{}")
    });
    assert_eq!(evaluating.unwrap().join().unwrap(), Verdict::Allowed);
}

#[test]
fn sizes_are_never_too_small() {
    // Sets that come in, with inputs that make the most of them: what they make stays in bounds.
    let input = format!(
        "{{\"l\": [{}]}}",
        ["\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""; 110].join(",")
    );
    assert!(input.len() <= MAX_INPUT_BYTES);
    for rules in [
        "deny contains sprintf(\"%s %s\", [x, x]) if some x in input.l",
        "deny contains concat(\"-\", [x, x, x]) if some x in input.l",
        "deny contains [x | some x in input.l]",
    ] {
        comes_in(rules);
        let compiled = compile(&texts(rules), Duration::from_secs(5)).ok().unwrap();
        assert!(matches!(compiled.evaluate(&input), Verdict::Denied { .. }), "{rules}");
    }
}
