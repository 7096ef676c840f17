//! How many records a second become durable, by how many append at once: `cargo bench -p runwarden-audit`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runwarden_audit::log::{JournalLimits, Writer};
use runwarden_audit::record::{Actor, Details, Entry, Outcome, Timestamp};
use runwarden_audit::store::SqliteLogStore;
use runwarden_audit::{database_path, signing_key};
use runwarden_kit::clock::SystemClock;

const MEASURE: Duration = Duration::from_secs(3);

fn entry(id: String) -> anyhow::Result<Entry> {
    Ok(Entry {
        entry_id: id,
        occurred_at: Timestamp::from_micros(1_795_327_200_000_000)?,
        service: "executor".to_owned(),
        actor: Actor { principal: "sa_0199f0a0b0c0d0e0f".to_owned(), ..Actor::default() },
        action: "job.submit".to_owned(),
        object_type: "job".to_owned(),
        object_id: "job_0199f0a0b0c0d0e0f".to_owned(),
        outcome: Outcome::Success,
        decision_id: String::new(),
        policy_digest: "ab".repeat(32),
        payload_digest: "cd".repeat(32),
        details: Details::parse(r#"{"template":"deploy","project":"web"}"#)?,
        source_address: "192.0.2.7".to_owned(),
        request_id: "req_0199f0a0b0c0d0e0f".to_owned(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
    })
}

async fn measure(appenders: usize) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let store = Arc::new(SqliteLogStore::open(&database_path(dir.path())).await?);
    let key = Arc::new(signing_key::read_or_make(dir.path(), false)?);
    let (journal, writer) = Writer::start(store, key, Arc::new(SystemClock), JournalLimits::default()).await?;
    let writer = tokio::spawn(writer.run());
    let start = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|appender| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut count = 0_u64;
                while start.elapsed() < MEASURE {
                    let entry = entry(format!("rec_{appender}_{count}"))?;
                    journal.append(vec![("acme".to_owned(), entry)]).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{appenders:>4} at once: {:>8.0} durable records a second", count as f64 / seconds);
    drop(journal);
    writer.await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for appenders in [1, 8, 64, 256] {
        measure(appenders).await?;
    }
    Ok(())
}
