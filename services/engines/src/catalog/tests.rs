//! What every service relies on when it reads and changes its records.

use runwarden_kit::ErrorReason;
use runwarden_kit::page::BAD_TOKEN;
use serde::Deserialize;

use super::*;
use crate::outbox::ConfigOutbox;
use crate::sqlite::SqliteConfigStore;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Thing {
    secret: String,
    shown: bool,
}

fn thing(secret: &str, shown: bool) -> Thing {
    Thing { secret: secret.to_owned(), shown }
}

struct World {
    _dir: tempfile::TempDir,
    store: Arc<dyn ConfigStore>,
    outbox: ConfigOutbox,
    catalog: Catalog,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.db");
        let store: Arc<dyn ConfigStore> = Arc::new(SqliteConfigStore::open(&path).await.unwrap());
        let outbox = ConfigOutbox::new(Arc::clone(&store));
        let catalog = Catalog::new(Arc::clone(&store), Outbox::undrained(Arc::new(outbox.clone())));
        Self { _dir: dir, store, outbox, catalog }
    }

    async fn put(&self, key: &str, value: &Thing) {
        let mut change = Change::new();
        put(&mut change, key, value).unwrap();
        assert!(self.catalog.commit_silently(change).await.unwrap().is_done());
    }
}

fn entry(id: &str) -> Entry {
    Entry { entry_id: id.to_owned(), tenant: "acme".to_owned(), ..Entry::default() }
}

#[tokio::test]
async fn a_record_is_changed_only_as_it_was_read_and_with_its_entry() {
    let world = World::new().await;
    let key = "things/a";
    let change = |seen: Option<&Stored<Thing>>, value| {
        let mut change = Change::new();
        guard(&mut change, key, seen);
        put(&mut change, key, &value).unwrap();
        change
    };
    let new = change(None, thing("1", true));
    assert!(world.catalog.commit(new.clone(), &entry("rec_1")).await.unwrap().is_done());
    let refused = Commit::Refused { key: key.to_owned() };
    assert_eq!(world.catalog.commit(new, &entry("rec_2")).await.unwrap(), refused);
    let read = world.catalog.get::<Thing>(key).await.unwrap().unwrap();
    assert_eq!((read.key.as_str(), &read.value), (key, &thing("1", true)));
    assert!(world.catalog.commit(change(Some(&read), thing("2", true)), &entry("rec_3")).await.unwrap().is_done());
    assert_eq!(world.catalog.commit(change(Some(&read), thing("3", true)), &entry("rec_4")).await.unwrap(), refused);
    assert_eq!(world.catalog.get::<Thing>(key).await.unwrap().unwrap().value, thing("2", true));
    let ids: Vec<String> =
        world.outbox.pending("acme", 9).await.unwrap().into_iter().map(|entry| entry.entry_id).collect();
    assert_eq!(ids, ["rec_1", "rec_3"]);
}

#[tokio::test]
async fn what_is_stored_is_plain_json_under_the_plain_key() {
    let world = World::new().await;
    world.put("things/a", &thing("1", true)).await;
    let stored = world.store.get("things/a").await.unwrap().unwrap();
    assert_eq!(stored.value, br#"{"secret":"1","shown":true}"#);
    assert_eq!(world.catalog.get::<Thing>("things/b").await.unwrap(), None);
    assert!(world.catalog.exists("things/a").await.unwrap());
    assert!(!world.catalog.exists("things/b").await.unwrap());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_not_shown() {
    let world = World::new().await;
    let mut change = Change::new();
    change.put("things/bad", br#"{"secret":"hunter2","shown":"hunter2"}"#.to_vec());
    world.store.commit(change).await.unwrap();
    let errors = [
        world.catalog.get::<Thing>("things/bad").await.unwrap_err(),
        world.catalog.list::<Thing>("things/", None, 10).await.unwrap_err(),
        world.catalog.list_all::<Thing>("things/").await.unwrap_err(),
        world.catalog.written_since::<Thing>("things/", 0).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.reason(), ErrorReason::Internal);
        let cause = format!("{:#}", error.cause().unwrap());
        assert!(cause.contains("things/bad is unreadable at line 1 column"), "{cause}");
        assert!(!cause.contains("hunter2"), "{cause}");
    }
}

#[tokio::test]
async fn pages_hold_each_record_that_may_be_seen_once_and_say_nothing_of_the_others() {
    let world = World::new().await;
    for number in 0..(BATCH + 20) {
        // Hidden ones fill more than what is read at once.
        world.put(&format!("things/{number:04}"), &thing("x", !(5..BATCH + 15).contains(&number))).await;
    }
    world.put("thingsx/0000", &thing("x", true)).await;
    let listing = Listing::of("things", Some("acme"));
    let is_name = |name: &str| name.len() == 4;
    let page = async |size, token: String| {
        let request = PageRequest { size, token };
        world.catalog.page(&listing, "things/", &request, is_name, |thing: &Thing| thing.shown).await
    };
    for (size, expected) in [(1, 10), (3, 4), (5, 2), (9, 2), (10, 1)] {
        let (mut pages, mut seen, mut token) = (0, 0, String::new());
        loop {
            let found = page(size, token).await.unwrap();
            (pages, seen, token) = (pages + 1, seen + found.items.len(), found.next);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((seen, pages), (10, expected), "{size}");
    }
    for bad in [listing.token("toolong"), Listing::of("others", Some("acme")).token("0001"), "x".to_owned()] {
        assert_eq!(page(1, bad).await.unwrap_err().fields()[0].detail, BAD_TOKEN);
    }
    assert!(page(-1, String::new()).await.is_err());
    assert_eq!(world.catalog.list_all::<Thing>("things/").await.unwrap().len(), BATCH + 20);
    assert_eq!(world.catalog.count("things/").await.unwrap(), BATCH as u64 + 20);
}

#[tokio::test]
async fn what_was_written_since_is_told_with_where_to_go_on() {
    let world = World::new().await;
    world.put("things/a", &thing("1", true)).await;
    let first = world.catalog.written_since::<Thing>("things/", 0).await.unwrap();
    world.put("things/b", &thing("2", true)).await;
    world.put("others/c", &thing("3", true)).await;
    let next = world.catalog.written_since::<Thing>("things/", first.head).await.unwrap();
    let keys = |written: &Written<Thing>| written.records.iter().map(|stored| stored.key.clone()).collect::<Vec<_>>();
    assert_eq!((keys(&first), keys(&next)), (vec!["things/a".to_owned()], vec!["things/b".to_owned()]));
    assert_eq!(next.head, first.head + 2);
}
