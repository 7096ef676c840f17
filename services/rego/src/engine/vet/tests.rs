use std::time::Duration;

mod generated;

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
fn nothing_else_may_be_called_input_or_data() {
    for name in ["input", "data"] {
        let doubled = (1..=8).map(|n| format!("f{n}(x) := f{0}(f{0}(x))\n", n - 1)).collect::<String>();
        for rules in [
            format!("f0({name}) := [{name}, {name}]\n{doubled}allow if f8([1]) == 1"),
            format!("f0(x) := y if {{ some {name} in [x]\n\ty := [{name}, {name}] }}\n{doubled}allow if f8([1]) == 1"),
            format!("f0(x) if {{ every {name} in [x] {{ [{name}, {name}] != 1 }} }}\nallow if f0([1])"),
            format!("f0(x) if {{ every {name}, y in [x] {{ [{name}, y] != 1 }} }}\nallow if f0([1])"),
            format!("f0(x) := {name} if {{ [{name}, y] := [[x, x], x] }}\nallow if f0([1])"),
            format!("f0(x) := {name} if {{ [x, x] = {name} }}\nallow if f0([1])"),
            format!("f0(x) := {name} if {{ some {name}\n\tx[{name}] }}\nallow if f0([1])"),
            format!("f0([{name}]) := {name}\nallow if f0([1])"),
            format!("f0(x) := [{name} | {name} := [x, x]]\nallow if f0([1])"),
            format!("{name} := [1, 1]\nallow if {name} == 1"),
        ] {
            // What does not compile cannot come in either.
            if compile(&texts(&rules), Duration::from_secs(5)).is_ok() {
                stays_out(&rules);
            }
        }
        let lib = ModuleText { name: "b".to_owned(), rego: "package runwarden.lib.b\nx := 1\n".to_owned() };
        let rego = format!("package runwarden.authz\nimport data.runwarden.lib.b as {name}\nallow if {name}.x == 1\n");
        let renamed = [ModuleText { name: "a".to_owned(), rego }, lib];
        if compile(&renamed, Duration::from_secs(5)).is_ok() {
            assert!(vetted(&renamed).is_err(), "{name} is imported");
        }
    }
    stays_out("f0(input) := [input, input]\nallow if f0([1]) == 1");
    stays_out("f0(x) := y if { some input in [x]\n\ty := [input, input] }\nallow if f0([1]) == 1");
    stays_out("f0(x) if { every input in [x] { input == 1 } }\nallow if f0([1])");
}

#[test]
fn deep_values_stay_out_however_they_are_made() {
    let too_deep = |rules: &str| {
        let problem = vetted(&texts(rules)).unwrap_err();
        assert!(problem.detail.contains("too large or too deep"), "{rules}: {problem:?}");
    };
    let calls = |n: usize| format!("{}x{}", format!("f{n}(").repeat(4), ")".repeat(4));
    let functions: String = (1..=4).map(|n| format!("f{n}(x) := {}\n", calls(n - 1))).collect();
    too_deep(&format!("f0(x) := [[[[[[x]]]]]]\n{functions}allow if f4(1) == 1"));
    let locals = |step: &str| -> String {
        let steps = (1..=100).map(|n| format!("\tx{n} := {}\n", step.replace('X', &format!("x{}", n - 1))));
        format!("allow if {{\n\tx0 := 1\n{}\tx100 == 1\n}}", steps.collect::<String>())
    };
    too_deep(&locals("[[[[[X]]]]]"));
    too_deep(&locals(r#"{"a": {"a": {"a": {"a": {"a": X}}}}}"#));
    too_deep(&locals("[[[[X]]] | true]"));
    too_deep(&locals("{{{{{X}}}}}"));
    comes_in("x := [[[[[[input]]]]]]\nallow if x != 1");
}

#[test]
fn what_equals_something_is_as_large() {
    // The variables hide small rules, so that the names are known all the same.
    let small: String = (1..=30).map(|n| format!("x{n} := 1\n")).collect();
    let chain: String = (1..=30).map(|n| format!("\tsome x{n}\n\tarray.concat(x{0}, x{0}) = x{n}\n", n - 1)).collect();
    stays_out(&format!("{small}allow if {{\n\tx0 := input\n{chain}\tx30 == 1\n}}"));
    comes_in("allow if { x = input.a\n\tinput.b = y\n\tx == y }");
}

#[test]
fn a_result_that_is_named_as_an_argument_stays_out() {
    // For functions of ours the compiler refuses that already.
    for call in ["array.concat(x0, x0, x1)", "sort(x0, x1)", "object.union({}, x0, x1)"] {
        let rules = format!("x1 := 1\nallow if {{\n\tsome x1\n\tx0 := input.l\n\t{call}\n\tx1 == 1\n}}");
        let problem = vetted(&texts(&rules)).unwrap_err();
        assert!(problem.detail.contains("named as an argument"), "{problem:?}");
    }
}

#[test]
fn what_takes_long_to_match_or_is_much_together_stays_out() {
    comes_in("allow if glob.match(\"a-*\", null, input.parameters.a)");
    comes_in("allow if glob.match(\"a-*\", [\".\", \"/\"], input.parameters.a)");
    stays_out("allow if glob.match(\"a-*\", input.parameters.d, input.parameters.a)");
    let many = ["\"a\""; 9].join(", ");
    stays_out(&format!("allow if glob.match(\"a-*\", [{many}], input.parameters.a)"));
    stays_out(&format!("allow if glob.match(\"{}\", [], input.parameters.a)", "?".repeat(200)));
    stays_out("allow if regex.match(`(a{100}){30}`, input.parameters.a)");
    stays_out("allow if glob.match(\"a-*\", [], concat(\"\", [input.parameters.a, input.parameters.b]))");
    // Each is within bounds.
    let locals = |many: usize| -> String {
        (0..many).map(|n| format!("\tx{n} := concat(\", 12345678901234567890\", sort(input.l))\n")).collect()
    };
    comes_in(&format!("allow if {{\n{}}}", locals(2)));
    stays_out(&format!("allow if {{\n{}}}", locals(200)));
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
