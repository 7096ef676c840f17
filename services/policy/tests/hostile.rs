//! What foreign policies try, and that the service outlives all of it: at upload, and at the
//! decision for what an upload cannot see.

#![cfg(test)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use runwarden_kit::tenant::TenantId;
use runwarden_policy::worker::{ModuleText, Pool, Settings, Trouble};
use runwarden_rego::text::guard;
use runwarden_rego::{Mapped, Verdict};

const COMPILATION: Duration = Duration::from_secs(8);
const DECISION: Duration = Duration::from_secs(3);
/// What starting a process and a busy machine may add.
const SLACK: Duration = Duration::from_secs(20);

fn pool(workers: usize) -> Pool {
    Pool::new(Settings {
        command: PathBuf::from(env!("CARGO_BIN_EXE_runwarden-policy")),
        workers,
        memory_bytes: 512 * 1024 * 1024,
        decision: DECISION,
        compilation: COMPILATION,
        queue: Duration::from_secs(30),
    })
}

fn module(rules: &str) -> Vec<ModuleText> {
    vec![ModuleText { name: "m".to_owned(), rego: format!("package runwarden.authz\n{rules}\n") }]
}

const SAMPLE: &str = r#"{"parameters": {}}"#;

/// Uploads as the service does: guard first, then a worker of its own.
async fn upload(pool: &Pool, rules: &str) -> Result<(), String> {
    let modules = module(rules);
    guard::check("m", &modules[0].rego).map_err(|problem| problem.detail)?;
    let problems = pool.check(&modules, SAMPLE).await.unwrap().err().unwrap_or_default();
    match problems.first() {
        Some(problem) => Err(problem.detail.clone()),
        None => Ok(()),
    }
}

async fn refused_at_upload(what: &str, rules: &str) -> String {
    let pool = pool(2);
    let begun = Instant::now();
    let refusal = upload(&pool, rules).await.expect_err(what);
    assert!(begun.elapsed() < COMPILATION + SLACK, "{what}: {refusal}");
    upload(&pool, "allow := true").await.expect("the service goes on");
    refusal
}

#[tokio::test]
async fn recursion_is_refused_at_upload() {
    let said = refused_at_upload("recursion", "f(x) := f(x)\nallow if f(1)").await;
    assert!(said.contains("themselves"), "{said}");
    let said = refused_at_upload("mutual", "f(x) := g(x)\ng(x) := f(x)\nallow if f(1)").await;
    assert!(said.contains("f → authz.g"), "{said}");
}

#[tokio::test]
async fn deep_nesting_is_refused_at_upload() {
    for depth in [9, 24, 200] {
        let literal = format!("x := {}1{}", "[".repeat(depth), "]".repeat(depth));
        let said = refused_at_upload("nesting", &literal).await;
        assert!(said.contains("nest"), "{said}");
        let object = format!("x := {}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        refused_at_upload("nesting", &object).await;
    }
}

#[tokio::test]
async fn a_huge_range_is_refused_at_upload() {
    refused_at_upload("range", "allow if count(numbers.range(1, 100000000)) > 1").await;
}

#[tokio::test]
async fn a_gigabyte_of_string_is_refused_at_upload() {
    let mut rules = String::from("s0 := \"0123456789abcdef\"\n");
    for step in 1..=26 {
        rules += &format!("s{step} := concat(\"\", [s{}, s{}])\n", step - 1, step - 1);
    }
    refused_at_upload("string", &format!("{rules}allow if count(s26) > 1")).await;
    refused_at_upload("padding", "allow if sprintf(\"%1000000000d\", [1]) != \"\"").await;
}

#[tokio::test]
async fn nested_loops_are_refused_at_upload() {
    let rules =
        "r := numbers.range(1, 2000)\nallow if {\n\tsome a in r\n\tsome b in r\n\tsome c in r\n\ta + b + c == 0\n}";
    refused_at_upload("loops", rules).await;
}

#[tokio::test]
async fn chains_that_overflow_the_stack_are_refused_at_upload() {
    for (what, chain) in [
        ("sum", format!("x := 1{}", format!("\n{}", "+ 1 ".repeat(200)).repeat(140))),
        ("minus", format!("x := {}1", format!("{}\n", "-".repeat(900)).repeat(60))),
        ("union", format!("x := 1{}", format!("\n{}", "| {1} ".repeat(150)).repeat(90))),
        ("equality", format!("x := 1{}", format!("\n{}", "== 1 ".repeat(150)).repeat(90))),
    ] {
        let said = refused_at_upload(what, &chain).await;
        assert!(said.contains("more memory or depth"), "{what}: {said}");
    }
}

#[tokio::test]
async fn what_is_only_large_passes() {
    let pool = pool(2);
    for rules in [
        format!("allow if {{\n{}}}", "not input.a\n".repeat(9_000)),
        format!("x := 1 if false{}", "\nelse := 1 if false".repeat(3_000)),
        format!("allow if input.a{}", "\nwith input.b as 1 ".repeat(3_000)),
    ] {
        upload(&pool, &rules).await.unwrap();
    }
}

/// Rules that pass with a sample request and turn on a real one.
const SMUGGLED: &[(&str, &str, u32)] = &[
    (
        "a range as large as a parameter says",
        "allow if count(numbers.range(1, object.get(input.parameters, \"n\", 1))) > 0",
        100_000_000,
    ),
    (
        "loops as long as a parameter says",
        "r := numbers.range(1, floor(object.get(input.parameters, \"n\", 1) / 10000))\nallow if {\n\tsome a in r\n\tsome b in r\n\tsome c in r\n\ta + b + c == 0\n}",
        100_000_000,
    ),
    (
        "a string as long as a parameter says",
        "allow if sprintf(concat(\"\", [\"%\", format_int(object.get(input.parameters, \"n\", 1), 10), \"d\"]), [1]) != \"\"",
        2_000_000_000,
    ),
    (
        "doubling until it does not fit",
        "s0 := concat(\"\", [x | some i in numbers.range(1, floor(object.get(input.parameters, \"n\", 1) / 10000)); x := \"0123456789\"])\ns1 := concat(\"\", [x | some i in numbers.range(1, 10000); x := s0])\nallow if count(s1) > 1000000000",
        100_000_000,
    ),
];

#[tokio::test]
async fn what_an_upload_cannot_see_is_a_no_in_bounded_time() {
    for (what, rules, number) in SMUGGLED {
        let pool = pool(1);
        upload(&pool, rules).await.unwrap_or_else(|said| panic!("{what} should pass with a sample: {said}"));
        let begun = Instant::now();
        let outcome = pool
            .decide(
                &TenantId::trusted("acme"),
                "acme@1",
                &module(rules),
                &format!("{{\"parameters\": {{\"n\": {number}}}}}"),
            )
            .await;
        assert!(begun.elapsed() < DECISION + SLACK, "{what}");
        assert!(!matches!(outcome, Ok(Verdict::Allowed)), "{what}: {outcome:?}");
        let next = pool.decide(&TenantId::trusted("acme"), "acme@2", &module("allow := true"), SAMPLE).await;
        assert!(matches!(next, Ok(Verdict::Allowed)), "{what}: {next:?}");
    }
}

#[tokio::test]
async fn one_tenants_slow_policy_leaves_a_worker_to_the_others() {
    let pool = pool(2);
    let slow = module(SMUGGLED[1].1);
    let input = r#"{"parameters": {"n": 100000000}}"#;
    let hog = TenantId::trusted("hog");
    let hogs = async {
        tokio::join!(
            pool.decide(&hog, "hog@1", &slow, input),
            pool.decide(&hog, "hog@1", &slow, input),
            pool.decide(&hog, "hog@1", &slow, input),
        )
    };
    let fair = async {
        let begun = Instant::now();
        let outcome = pool.decide(&TenantId::trusted("acme"), "acme@1", &module("allow := true"), SAMPLE).await;
        (outcome, begun.elapsed())
    };
    let begun = Instant::now();
    let ((first, second, third), (outcome, took)) = tokio::join!(hogs, fair);
    assert!(matches!(outcome, Ok(Verdict::Allowed)), "{outcome:?}");
    assert!(took < begun.elapsed() / 2, "it did not wait for the slow ones");
    for hog in [first, second, third] {
        assert!(!matches!(hog, Ok(Verdict::Allowed)), "{hog:?}");
    }
}

#[tokio::test]
async fn a_worker_that_was_killed_is_replaced() {
    let pool = pool(1);
    pool.warm_up().await.unwrap();
    let allow = module("allow := true");
    for round in 0..3 {
        let crash = pool
            .decide(
                &TenantId::trusted("acme"),
                &format!("acme@{round}"),
                &module(SMUGGLED[3].1),
                r#"{"parameters": {"n": 100000000}}"#,
            )
            .await;
        assert!(!matches!(crash, Ok(Verdict::Allowed)), "{crash:?}");
        let outcome = pool.decide(&TenantId::trusted("acme"), "acme@a", &allow, SAMPLE).await;
        assert!(matches!(outcome, Ok(Verdict::Allowed)), "{outcome:?}");
    }
}

/// Kills every worker of this process.
fn kill_workers() -> usize {
    let children = std::fs::read_dir("/proc/self/task").unwrap().flatten().flat_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    });
    let children: Vec<String> = children.collect();
    for child in &children {
        assert!(std::process::Command::new("kill").args(["-9", child]).status().unwrap().success());
    }
    children.len()
}

#[tokio::test]
async fn nobody_is_refused_because_a_worker_was_killed() {
    let pool = pool(1);
    let (tenant, allow) = (TenantId::trusted("acme"), module("allow := true"));
    for round in 0..3 {
        let outcome = pool.decide(&tenant, "acme@1", &allow, SAMPLE).await;
        assert!(matches!(outcome, Ok(Verdict::Allowed)), "{round}: {outcome:?}");
        assert_eq!(kill_workers(), 1);
    }
    let hook = "package runwarden.hook\naccept := true\n";
    let mapped = pool.run_hook(&tenant, hook, r#"{"body": {}}"#).await;
    assert!(!matches!(mapped, Ok(Mapped::Failed { .. }) | Err(_)), "{mapped:?}");
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_found_out() {
    let settings = |command: &str| Settings {
        command: PathBuf::from(command),
        workers: 1,
        memory_bytes: 512 * 1024 * 1024,
        decision: DECISION,
        compilation: COMPILATION,
        queue: Duration::from_secs(30),
    };
    for command in ["/no/such/program", "/bin/true", "/bin/echo"] {
        let started = Pool::new(settings(command)).warm_up().await;
        assert!(matches!(started, Err(Trouble::Start(_))), "{command}: {started:?}");
    }
}

#[tokio::test]
async fn what_turns_on_a_real_request_is_vetted_by_nobody() {
    let pool = pool(1);
    let vet = async |rules: &str| pool.vet(&module(rules), SAMPLE).await.unwrap();
    for (what, rules, _) in SMUGGLED {
        assert!(!vet(rules).await, "{what}");
    }
    // Whether it was tried by an upload or is tried for this.
    upload(&pool, SMUGGLED[0].1).await.unwrap();
    assert!(!vet(SMUGGLED[0].1).await);
    assert!(!vet("allow := ").await, "what does not compile");
    upload(&pool, "allow if input.parameters.n == 1").await.unwrap();
    assert!(vet("allow if input.parameters.n == 1").await);
    assert!(vet("deny contains \"no\" if input.parameters.n == 2").await);
}
