//! What every store of messages must do. Each function takes a fresh and empty store.

use std::sync::Arc;
use std::time::Duration;

use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;

use super::{MIGRATIONS, Message, MessageState, Messages, NewMessage, SqliteMessages, Tried, Which};

type Store = Arc<dyn Messages>;

async fn sqlite() -> anyhow::Result<(tempfile::TempDir, Store)> {
    let folder = tempfile::tempdir()?;
    let settings = runwarden_engines::EngineSettings::embedded(folder.path());
    let database = runwarden_engines::Engines::open(settings)?.database("callbacks.db", MIGRATIONS).await?;
    Ok((folder, Arc::new(database.stores::<SqliteMessages>())))
}

mod on_sqlite {
    runwarden_engines::conformance_tests!(
        super::sqlite,
        [super],
        messages_and_how_far_jobs_were_followed_are_kept_together,
        a_message_that_was_made_before_stays_as_it_is,
        what_is_due_is_found_by_callback_longest_due_first,
        what_became_of_an_attempt_is_noted_and_ends_a_message_once,
        a_receiver_fails_from_its_first_failure_until_it_accepts,
        a_tenant_is_a_wall,
        dead_messages_are_sent_anew_one_by_one_or_by_when_they_were_made,
        what_was_buried_is_dead_and_can_be_sent_anew,
        what_is_old_is_forgotten_and_what_waits_never,
        a_list_pages_newest_first,
        what_is_told_of_a_job_is_found_by_the_job,
    );
}

fn acme() -> TenantId {
    TenantId::trusted("acme")
}

fn at(second: u64) -> Moment {
    Moment::from_micros(0).plus(Duration::from_secs(second))
}

fn new(id: &str, callback: &str) -> NewMessage {
    NewMessage {
        id: id.into(),
        tenant: acme(),
        callback: callback.into(),
        job: format!("job_{id}"),
        event: "job.finished",
        body: format!("{{\"id\":\"{id}\"}}"),
        dead: String::new(),
    }
}

async fn put(store: &Store, second: u64, messages: &[(&str, &str)]) -> anyhow::Result<()> {
    let messages = messages.iter().map(|(id, callback)| new(id, callback)).collect();
    Ok(store.put(messages, 1, at(second)).await?)
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

fn failed(second: u64, again_at: Option<Moment>) -> Tried {
    Tried { at: at(second), status: 500, problem: "no".into(), again_at }
}

fn accepted(second: u64) -> Tried {
    Tried { at: at(second), status: 204, problem: String::new(), again_at: None }
}

pub(crate) async fn messages_and_how_far_jobs_were_followed_are_kept_together(store: Store) -> anyhow::Result<()> {
    assert_eq!(store.cursor().await?, None);
    store.put(Vec::new(), 7, at(1)).await?;
    assert_eq!(store.cursor().await?, Some(7));
    store.put(vec![new("m1", "a"), new("m2", "b")], 9, at(2)).await?;
    assert_eq!((store.cursor().await?, store.heads().await?.len()), (Some(9), 2));
    Ok(())
}

pub(crate) async fn a_message_that_was_made_before_stays_as_it_is(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a")]).await?;
    store.tried("m1", accepted(2)).await?;
    store.put(vec![new("m1", "a"), new("m2", "a")], 5, at(3)).await?;
    assert_eq!(ids(&store.due("a", at(9), 9).await?), ["m2"], "what was delivered is not sent again");
    assert_eq!(store.list(&acme(), "a", None, None, 9).await?.len(), 2);
    Ok(())
}

pub(crate) async fn what_is_due_is_found_by_callback_longest_due_first(store: Store) -> anyhow::Result<()> {
    put(&store, 5, &[("m1", "b"), ("m2", "a")]).await?;
    put(&store, 3, &[("m3", "a"), ("m4", "a"), ("m5", "c")]).await?;
    store.tried("m5", accepted(4)).await?;
    let heads = store.heads().await?;
    let heads: Vec<_> = heads.iter().map(|head| (head.callback.as_str(), head.tenant.as_str(), head.due_at)).collect();
    assert_eq!(heads, [("a", "acme", at(3)), ("b", "acme", at(5))]);
    assert_eq!(ids(&store.due("a", at(5), 9).await?), ["m3", "m4", "m2"]);
    assert_eq!(ids(&store.due("a", at(4), 9).await?), ["m3", "m4"]);
    assert_eq!(ids(&store.due("a", at(5), 1).await?), ["m3"]);
    store.put_off("m3", at(8)).await?;
    assert_eq!(ids(&store.due("a", at(5), 9).await?), ["m4", "m2"]);
    assert_eq!(store.due("a", at(9), 9).await?[2].attempts, 0, "nothing was tried");
    Ok(())
}

pub(crate) async fn what_became_of_an_attempt_is_noted_and_ends_a_message_once(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a"), ("m2", "a")]).await?;
    store.tried("m1", failed(2, Some(at(7)))).await?;
    let message = store.get(&acme(), "a", "m1").await?.unwrap();
    assert_eq!((message.state, message.attempts, message.due_at), (MessageState::Waiting, 1, at(7)));
    assert_eq!((message.tried_at, message.status, message.problem.as_str()), (Some(at(2)), 500, "no"));
    store.tried("m1", failed(7, None)).await?;
    store.tried("m2", accepted(8)).await?;
    for id in ["m1", "m2"] {
        store.tried(id, failed(9, Some(at(10)))).await?;
    }
    let state = async |id: &str| anyhow::Ok(store.get(&acme(), "a", id).await?.unwrap().state);
    assert_eq!((state("m1").await?, state("m2").await?), (MessageState::Dead, MessageState::Delivered));
    assert!(store.heads().await?.is_empty());
    Ok(())
}

pub(crate) async fn a_receiver_fails_from_its_first_failure_until_it_accepts(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a"), ("m2", "a"), ("m3", "b")]).await?;
    assert_eq!(store.tried("m1", failed(2, Some(at(3)))).await?, Some(at(2)));
    assert_eq!(store.tried("m2", failed(5, Some(at(6)))).await?, Some(at(2)));
    assert_eq!((store.failing_since("a").await?, store.failing_since("b").await?), (Some(at(2)), None));
    assert_eq!(store.tried("m1", accepted(7)).await?, None);
    assert_eq!(store.failing_since("a").await?, None);
    store.tried("m2", failed(8, Some(at(9)))).await?;
    store.trust_again("a").await?;
    assert_eq!(store.failing_since("a").await?, None);
    Ok(())
}

pub(crate) async fn a_tenant_is_a_wall(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a")]).await?;
    let other = TenantId::trusted("zed");
    assert!(store.get(&other, "a", "m1").await?.is_none() && store.get(&acme(), "b", "m1").await?.is_none());
    assert!(store.list(&other, "a", None, None, 9).await?.is_empty());
    store.tried("m1", accepted(2)).await?;
    assert_eq!(store.replay(&other, "a", Which::One("m1".into()), at(3)).await?, 0);
    assert_eq!(store.replay(&acme(), "b", Which::One("m1".into()), at(3)).await?, 0);
    assert_eq!(store.replay(&acme(), "a", Which::One("m1".into()), at(3)).await?, 1);
    Ok(())
}

pub(crate) async fn dead_messages_are_sent_anew_one_by_one_or_by_when_they_were_made(
    store: Store,
) -> anyhow::Result<()> {
    for (second, id) in [(10, "m1"), (20, "m2"), (30, "m3"), (20, "m4")] {
        put(&store, second, &[(id, "a")]).await?;
        store.tried(id, if id == "m4" { accepted(40) } else { failed(40, None) }).await?;
    }
    assert_eq!(store.replay(&acme(), "a", Which::DeadBetween(at(20), at(30)), at(50)).await?, 1, "m2 alone is dead");
    let again = store.due("a", at(50), 9).await?;
    assert_eq!((ids(&again), again[0].attempts, again[0].problem.as_str()), (vec!["m2"], 0, ""));
    assert_eq!(store.replay(&acme(), "a", Which::One("m2".into()), at(50)).await?, 0, "it is on its way");
    for id in ["m1", "m4"] {
        assert_eq!(store.replay(&acme(), "a", Which::One(id.into()), at(50)).await?, 1, "{id}");
    }
    assert_eq!(store.replay(&acme(), "a", Which::One("m9".into()), at(50)).await?, 0);
    Ok(())
}

pub(crate) async fn what_was_buried_is_dead_and_can_be_sent_anew(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a"), ("m2", "a"), ("m3", "b")]).await?;
    store.tried("m1", accepted(2)).await?;
    assert_eq!(store.bury("a", "disabled").await?, 1);
    let buried = store.get(&acme(), "a", "m2").await?.unwrap();
    assert_eq!((buried.state, buried.problem.as_str()), (MessageState::Dead, "disabled"));
    let dead = NewMessage { dead: "disabled".into(), ..new("m4", "a") };
    store.put(vec![dead], 2, at(3)).await?;
    assert_eq!(store.replay(&acme(), "a", Which::DeadBetween(at(0), at(9)), at(9)).await?, 2);
    assert_eq!(store.heads().await?.len(), 2);
    store.remove("a").await?;
    assert!(store.list(&acme(), "a", None, None, 9).await?.is_empty() && store.heads().await?.len() == 1);
    Ok(())
}

pub(crate) async fn what_is_old_is_forgotten_and_what_waits_never(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a"), ("m2", "a"), ("m3", "a")]).await?;
    put(&store, 9, &[("m4", "a")]).await?;
    store.tried("m1", accepted(2)).await?;
    store.tried("m2", failed(2, None)).await?;
    store.tried("m4", accepted(9)).await?;
    assert_eq!(store.forget(at(5), at(1), 9).await?, 1, "delivered ones go first");
    assert_eq!(store.forget(at(5), at(5), 9).await?, 1);
    assert_eq!(ids(&store.list(&acme(), "a", None, None, 9).await?), ["m4", "m3"]);
    assert_eq!(store.forget(at(5), at(5), 9).await?, 0);
    Ok(())
}

pub(crate) async fn a_list_pages_newest_first(store: Store) -> anyhow::Result<()> {
    put(&store, 1, &[("m1", "a"), ("m2", "a"), ("m3", "b"), ("m4", "a")]).await?;
    store.tried("m2", failed(2, None)).await?;
    let page = store.list(&acme(), "a", None, None, 2).await?;
    assert_eq!(ids(&page), ["m4", "m2"]);
    assert_eq!(ids(&store.list(&acme(), "a", None, Some(page[1].number), 2).await?), ["m1"]);
    assert_eq!(ids(&store.list(&acme(), "a", Some(MessageState::Dead), None, 9).await?), ["m2"]);
    Ok(())
}

pub(crate) async fn what_is_told_of_a_job_is_found_by_the_job(store: Store) -> anyhow::Result<()> {
    let of_job = |id: &str, callback: &str| NewMessage { job: "job_1".into(), ..new(id, callback) };
    store.put(vec![of_job("m1", "a"), of_job("m2", "b"), new("m3", "a")], 1, at(1)).await?;
    let (all, count) = store.of_job(&acme(), "job_1", 9).await?;
    assert_eq!((ids(&all), count), (vec!["m1", "m2"], 2));
    let (newest, count) = store.of_job(&acme(), "job_1", 1).await?;
    assert_eq!((ids(&newest), count), (vec!["m2"], 2));
    assert!(store.of_job(&TenantId::trusted("zed"), "job_1", 9).await?.0.is_empty());
    Ok(())
}
