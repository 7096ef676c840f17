use super::*;
use crate::config::Commit;
use crate::sqlite::SqliteConfigStore;

const NOW: Moment = Moment::from_micros(0);
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    _dir: tempfile::TempDir,
    store: Arc<dyn ConfigStore>,
    idempotency: Idempotency,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&dir.path().join("config.db")).await.unwrap());
    let idempotency = Idempotency::new(Arc::clone(&store), Pepper::new([7; 32]));
    World { _dir: dir, store, idempotency }
}

fn request<'a>(key: Option<&'a str>, body: &'a [u8]) -> Request<'a> {
    Request { tenant: "acme", principal: "sa_1", operation: "client.create", key, body }
}

impl World {
    async fn ticket(&self, request: Request<'_>, now: Moment) -> Ticket {
        match self.idempotency.begin(request, now).await.unwrap() {
            Begin::Fresh(ticket) => ticket,
            Begin::Replay(answer) => panic!("replayed {answer:?}"),
        }
    }

    async fn answer(&self, request: Request<'_>, answer: &[u8], now: Moment) -> Commit {
        let ticket = self.ticket(request, now).await;
        let mut change = Change::new();
        change.put("thing", b"1");
        ticket.keep(&mut change, answer).unwrap();
        self.store.commit(change).await.unwrap()
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer() {
    let world = world().await;
    world.answer(request(Some("k"), b"body"), b"secret answer", NOW).await;
    let Begin::Replay(answer) = world.idempotency.begin(request(Some("k"), b"body"), NOW).await.unwrap() else {
        panic!("not replayed");
    };
    assert_eq!(answer, b"secret answer");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let world = world().await;
    world.answer(request(Some("k"), b"body"), b"answer", NOW).await;
    let refused = world.idempotency.begin(request(Some("k"), b"other"), NOW).await;
    assert!(matches!(refused, Err(IdempotencyError::Reused)));
}

#[tokio::test]
async fn a_repeat_while_the_first_runs_is_told_to_wait_and_may_start_over_when_it_failed() {
    let world = world().await;
    let ticket = world.ticket(request(Some("k"), b"body"), NOW).await;
    let waiting = world.idempotency.begin(request(Some("k"), b"body"), NOW).await;
    assert!(matches!(waiting, Err(IdempotencyError::InProgress)));
    drop(ticket);
    world.ticket(request(Some("k"), b"body"), NOW).await;
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant_principal_and_operation() {
    let world = world().await;
    world.answer(request(Some("k"), b"body"), b"answer", NOW).await;
    let mine = request(Some("k"), b"body");
    for other in [
        Request { tenant: "other", ..mine },
        Request { principal: "sa_2", ..mine },
        Request { operation: "project.create", ..mine },
        Request { tenant: "acmes", principal: "a_1", ..mine },
    ] {
        world.ticket(other, NOW).await;
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_a_repeat_or_kept() {
    let world = world().await;
    world.answer(request(None, b"body"), b"answer", NOW).await;
    world.answer(request(None, b"body"), b"answer", NOW).await;
    assert_eq!(world.store.count(PREFIX).await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused() {
    let world = world().await;
    let long = "k".repeat(runwarden_kit::idempotency::LONGEST_KEY + 1);
    for bad in ["", " ", "a b", "a\nb", "ä", &long] {
        let refused = world.idempotency.begin(request(Some(bad), b""), NOW).await;
        assert!(matches!(refused, Err(IdempotencyError::BadKey)), "{bad:?}");
    }
}

#[tokio::test]
async fn an_answer_of_another_process_in_the_meantime_refuses_the_commit() {
    let world = world().await;
    let other = Idempotency::new(Arc::clone(&world.store), Pepper::new([7; 32]));
    let ticket = world.ticket(request(Some("k"), b"body"), NOW).await;
    let Begin::Fresh(theirs) = other.begin(request(Some("k"), b"body"), NOW).await.unwrap() else { panic!() };
    let mut change = Change::new();
    theirs.keep(&mut change, b"theirs").unwrap();
    world.store.commit(change).await.unwrap();
    let mut change = Change::new();
    ticket.keep(&mut change, b"mine").unwrap();
    let Commit::Refused { key } = world.store.commit(change).await.unwrap() else { panic!("both won") };
    assert!(ticket.lost(&key));
    assert!(!ticket.lost("thing"));
}

#[tokio::test]
async fn an_answer_is_forgotten_after_a_day() {
    let world = world().await;
    world.answer(request(Some("k"), b"body"), b"answer", NOW).await;
    world.answer(request(Some("young"), b"body"), b"answer", NOW.plus(HOUR)).await;
    let later = NOW.plus(KEPT);
    assert_eq!(world.idempotency.prune(later.minus(Duration::from_secs(1))).await.unwrap(), 0);
    // Expired but not yet pruned: the key is free again, for any body.
    assert!(matches!(world.answer(request(Some("k"), b"new"), b"again", later).await, Commit::Done { .. }));
    assert_eq!(world.idempotency.prune(later).await.unwrap(), 0);
    assert_eq!(world.idempotency.prune(later.plus(HOUR * 2)).await.unwrap(), 1);
    assert_eq!(world.store.count(PREFIX).await.unwrap(), 1);
}

#[tokio::test]
async fn neither_the_answer_nor_the_key_can_be_read_from_the_store() {
    let world = world().await;
    world.answer(request(Some("the-key-of-the-caller"), b"body"), b"the secret answer", NOW).await;
    for entry in world.store.list(PREFIX, None, 10).await.unwrap() {
        for hidden in [&b"the secret answer"[..], b"the-key-of-the-caller", b"body"] {
            assert!(!entry.value.windows(hidden.len()).any(|window| window == hidden));
            assert!(!entry.key.as_bytes().windows(hidden.len()).any(|window| window == hidden));
        }
    }
}

#[tokio::test]
async fn a_changed_answer_does_not_open() {
    let world = world().await;
    world.answer(request(Some("k"), b"body"), b"answer", NOW).await;
    let entry = world.store.list(PREFIX, None, 1).await.unwrap().remove(0);
    // A later expiry and a changed last byte are both noticed.
    for at in [8, entry.value.len() - 1] {
        let mut value = entry.value.clone();
        value[at] ^= 1;
        let mut change = Change::new();
        change.put(&entry.key, value);
        world.store.commit(change).await.unwrap();
        let refused = world.idempotency.begin(request(Some("k"), b"body"), NOW).await;
        assert!(matches!(refused, Err(IdempotencyError::Store(StoreError::Corrupt(_)))), "{refused:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_in_place_of_a_record_are_read_without_panic(bytes: Vec<u8>) {
        let hashes = Hashes::new(&Pepper::new([7; 32]), &request(Some("k"), b""), "k");
        if let Ok(record) = Record::decode(&bytes) {
            record.open(&hashes).unwrap_err();
        }
    }
}
