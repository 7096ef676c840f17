//! Modules of hooks, in real workers.

use std::path::PathBuf;
use std::time::Duration;

use runwarden_kit::tenant::TenantId;
use runwarden_policy::worker::{Mapped, Pool, Settings};

fn pool() -> Pool {
    Pool::new(Settings {
        command: PathBuf::from(env!("CARGO_BIN_EXE_runwarden-policy")),
        workers: 2,
        memory_bytes: 512 * 1024 * 1024,
        decision: Duration::from_secs(20),
        compilation: Duration::from_secs(20),
        queue: Duration::from_secs(20),
    })
}

fn module(rules: &str) -> String {
    format!("package runwarden.hook\n{rules}\n")
}

#[tokio::test]
async fn a_module_of_a_hook_is_checked_and_run_in_a_worker_and_no_two_see_each_other() {
    let (pool, acme) = (pool(), TenantId::trusted("acme"));
    let wanted = module("accept if input.n > 1\nparameters := {\"n\": input.n}");
    assert!(pool.check_hook(&wanted).await.unwrap().is_empty());
    let broken = pool.check_hook(&module("accept iff")).await.unwrap();
    assert_eq!(broken[0].line, 2);
    for _ in 0..2 {
        let accepted = Mapped::Accepted { parameters: "{\"n\":2}".into(), reference: String::new() };
        assert_eq!(pool.run_hook(&acme, &wanted, "{\"n\": 2}").await.unwrap(), accepted);
        assert_eq!(pool.run_hook(&acme, &wanted, "{\"n\": 1}").await.unwrap(), Mapped::Unwanted);
        let other = module("accept := data.runwarden.hook.parameters.n == 2\nreference := \"x\"");
        assert_eq!(pool.run_hook(&acme, &other, "{\"n\": 2}").await.unwrap(), Mapped::Unwanted);
    }
}

#[tokio::test]
async fn what_takes_a_worker_with_it_is_a_failure_and_the_next_is_answered() {
    let (pool, acme) = (pool(), TenantId::trusted("acme"));
    let greedy = module(
        "parameters := {\"n\": [x | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); x := [a, b]]}",
    );
    assert!(!matches!(pool.run_hook(&acme, &greedy, "{}").await, Ok(Mapped::Accepted { .. } | Mapped::Unwanted)));
    let fine = Mapped::Accepted { parameters: "{}".into(), reference: String::new() };
    assert_eq!(pool.run_hook(&acme, &module("accept := true"), "{}").await.unwrap(), fine);
}
