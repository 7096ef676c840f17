//! How long a decision takes, worker and all: `cargo bench -p runwarden-policy`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use runwarden_kit::tenant::TenantId;
use runwarden_policy::worker::{ModuleText, Pool, Settings};

const ROUNDS: usize = 2_000;
const INPUT: &str = r#"{"principal": {"id": "sa_1", "roles": ["launcher"]}, "action": "jobs.submit",
    "tenant": "acme", "project": "web", "template": {"name": "deploy", "controller": "awx"},
    "parameters": {"environment": "dev", "version": "1.2.3"}, "time": "2026-11-22T06:00:00Z"}"#;

fn main() -> anyhow::Result<()> {
    let modules = [ModuleText {
        name: "launchers-dev-only".to_owned(),
        rego: include_str!("../examples/launchers-dev-only.rego").to_owned(),
    }];
    let pool = Pool::new(Settings {
        command: PathBuf::from(env!("CARGO_BIN_EXE_runwarden-policy")),
        workers: 2,
        memory_bytes: 512 * 1024 * 1024,
        decision: Duration::from_secs(2),
        compilation: Duration::from_secs(5),
        queue: Duration::from_secs(5),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        pool.warm_up().await?;
        println!("worker started in {:?}", begun.elapsed());

        let begun = Instant::now();
        if pool.check(&modules, INPUT).await?.is_err() {
            anyhow::bail!("the example cannot be used");
        }
        println!("upload tried in {:?}", begun.elapsed());

        let begun = Instant::now();
        pool.decide(&TenantId::trusted("acme"), "acme@1", &modules, INPUT).await?;
        println!("first decision in {:?}", begun.elapsed());

        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            pool.decide(&TenantId::trusted("acme"), "acme@1", &modules, INPUT).await?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let at = |share: usize| times.get(ROUNDS * share / 100).copied().unwrap_or_default();
        println!("decisions: p50 {:?}, p99 {:?}", at(50), at(99));
        Ok(())
    })
}
