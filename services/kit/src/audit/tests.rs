//! Handing over: in portions, tenant by tenant, and past what is stuck.

use std::sync::Mutex;

use super::*;

#[derive(Default)]
struct Queue(Mutex<Vec<Entry>>);

#[async_trait]
impl OutboxStore for Queue {
    async fn pending(&self, limit: usize) -> Result<Vec<Entry>> {
        Ok(self.0.lock().unwrap().iter().take(limit).cloned().collect())
    }

    async fn remove(&self, entry_ids: &[String]) -> Result<()> {
        self.0.lock().unwrap().retain(|entry| !entry_ids.contains(&entry.entry_id));
        Ok(())
    }

    async fn count(&self) -> Result<usize> {
        Ok(self.0.lock().unwrap().len())
    }
}

/// Takes nothing of one tenant.
struct Picky(Arc<MemoryRecorder>);

#[async_trait]
impl Recorder for Picky {
    async fn record_all(&self, entries: Vec<Entry>) -> Result<()> {
        if entries.iter().any(|entry| entry.tenant == "stuck") {
            return Err(Error::new(ErrorReason::AuditUnavailable, "damaged"));
        }
        self.0.record_all(entries).await
    }
}

fn entry(tenant: &str, number: usize, details: usize) -> Entry {
    Entry {
        entry_id: format!("rec_{number:06}"),
        tenant: tenant.into(),
        details_json: "x".repeat(details),
        ..Entry::default()
    }
}

#[tokio::test]
async fn a_log_that_takes_nothing_does_not_hold_up_another_however_much_waits_for_it() {
    let queue = Queue::default();
    let mut entries: Vec<Entry> = (0..1000).map(|n| entry("stuck", n, 0)).collect();
    entries.extend((1000..1300).map(|n| entry("acme", n, 0)));
    *queue.0.lock().unwrap() = entries;
    let memory = MemoryRecorder::new();
    let error = drain_once(&queue, &Picky(memory.clone())).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::AuditUnavailable);
    assert_eq!(memory.entries().len(), 300);
    assert_eq!(queue.count().await.unwrap(), 1000);
    // In the order they were written.
    assert!(memory.entries().is_sorted_by_key(|entry| entry.entry_id.clone()));
}

#[tokio::test]
async fn what_waits_is_handed_over_on_shutdown() {
    let queue = Arc::new(Queue::default());
    let memory = MemoryRecorder::new();
    memory.set_down(true);
    let (bell, shutdown) = (Bell::default(), Shutdown::new());
    let draining = tokio::spawn(drain(queue.clone(), memory.clone(), bell.clone(), shutdown.clone()));
    queue.0.lock().unwrap().push(entry("acme", 1, 0));
    bell.ring();
    memory.set_down(false);
    shutdown.begin();
    draining.await.unwrap();
    assert_eq!(memory.entries().len(), 1);
}

#[test]
fn a_batch_is_cut_by_size_and_nothing_is_lost() {
    let entries: Vec<Entry> = (0..10).map(|n| entry("acme", n, PORTION / 3)).collect();
    let cut = portions(entries.clone());
    assert!(cut.iter().all(|portion| portion.iter().map(Entry::encoded_len).sum::<usize>() <= PORTION));
    assert_eq!(cut.concat(), entries);
    assert_eq!(portions(vec![entry("acme", 1, PORTION * 2)]).len(), 1);
    assert!(portions(Vec::new()).is_empty());
}
