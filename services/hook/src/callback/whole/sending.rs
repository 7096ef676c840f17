//! Messages are made once, sent until they arrive, and hold up nobody.

use runwarden_proto::executor::v1::JobOrigin;
use runwarden_webhooks::standard::SigningKey;

use super::receiver::Receiver;
use super::*;
use crate::callback::keys::KeyKind;
use crate::callback::manage::Changes;
use crate::callback::schedule::{LONGEST_FAILURE, PAUSES};
use crate::callback::{Disabled, Why};
use crate::store::messages::{MessageState, Which};

#[tokio::test]
async fn a_result_arrives_signed_by_every_key_with_a_stable_id() {
    let world = World::new().await;
    let receiver = Receiver::answering("204 Fine", Duration::ZERO).await;
    let WithKey { callback, key: first } = world.callback("ci", &receiver.url).await;
    let second = world.callbacks.rotate_key(&admin(), "ci", KeyKind::Ed25519, &Repeat::default()).await.unwrap();
    assert!(second.key.is_none() && second.callback.keys[1].public.is_some(), "a private key is never shown");
    world.hear(vec![ended(1)], 10).await;
    world.send_due(&callback).await;
    let all = receiver.received();
    let [received] = &all[..] else { panic!("one request") };
    assert!(received.head.starts_with("POST /hook HTTP/1.1"), "{}", received.head);
    assert_eq!(received.header("content-type"), "application/json");
    let (id, time) = (received.header("webhook-id"), received.header("webhook-timestamp"));
    assert_eq!((id, time), (&*event::message_id(&callback.id, &ended(1).id, event::Event::Finished), "1700000000"));
    assert_eq!(received.body, event::body(&ended(1), event::Event::Finished).unwrap());
    let first = SigningKey::parse(&first.unwrap().into()).unwrap().sign(id, 1_700_000_000, received.body.as_bytes());
    let signatures: Vec<_> = received.header("webhook-signature").split(' ').collect();
    assert!(signatures.len() == 2 && signatures[0] == first && signatures[1].starts_with("v1a,"), "{signatures:?}");
    // The older one is retired: it signs nothing more.
    world.callbacks.retire_key(&admin(), "ci", &second.callback.keys[0].id).await.unwrap();
    world.callbacks.replay(&admin(), "ci", Which::One(id.to_owned())).await.unwrap();
    world.send_due(&callback).await;
    let again = &receiver.received()[1];
    assert_eq!(again.header("webhook-id"), id);
    assert!(again.header("webhook-signature").starts_with("v1a,") && !again.header("webhook-signature").contains(' '));
}

#[tokio::test]
async fn what_is_heard_twice_is_told_once() {
    let world = World::new().await;
    let callback = world.callback("ci", "https://receiver.example/").await.callback;
    world.hear(vec![ended(1), ended(2)], 10).await;
    // The process died before it noted how far it was, or the executor's store was restored.
    world.hear(vec![ended(2), ended(3)], 11).await;
    world.jobs.0.lock().unwrap().push(WatchJobsResponse { jobs: vec![ended(1)], last: 3, starts_over: true });
    world.follower.step(Duration::ZERO).await.unwrap();
    assert_eq!(world.all(&callback).await.len(), 3);
    assert_eq!(world.callbacks.messages.cursor().await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_job_that_names_a_callback_is_told_to_it() {
    let world = World::new().await;
    let new = NewCallback {
        name: "ci".into(),
        project: "web".into(),
        url: "https://receiver.example/".into(),
        on_request: true,
        ..NewCallback::default()
    };
    let callback = world.callbacks.create(&admin(), new, &Repeat::default()).await.unwrap().callback;
    let asked = JobOrigin { callbacks: vec!["ci".into()], reference: "PR 7".into(), ..JobOrigin::default() };
    let elsewhere = Job { tenant: "zed".into(), origin: Some(asked.clone()), ..ended(3) };
    world.hear(vec![ended(1), Job { origin: Some(asked), ..ended(2) }, elsewhere], 10).await;
    let all = world.all(&callback).await;
    let [message] = &all[..] else { panic!("one message") };
    assert!(message.job == ended(2).id && message.body.contains("PR 7"), "{message:?}");
}

#[tokio::test]
async fn a_message_is_sent_by_the_published_schedule_and_then_dies_where_it_can_be_seen() {
    let world = World::new().await;
    let receiver = Receiver::answering("500 No", Duration::ZERO).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear(vec![ended(1)], 10).await;
    for pause in PAUSES {
        world.send_due(&callback).await;
        assert!(world.due(&callback).await.is_empty());
        let waiting = world.all(&callback).await.remove(0);
        assert!(waiting.due_at.since(world.now()) >= pause && waiting.problem == "the receiver answered 500");
        world.clock.set(waiting.due_at);
    }
    world.send_due(&callback).await;
    let dead = world.all(&callback).await.remove(0);
    assert_eq!((dead.state, dead.attempts, receiver.received().len()), (MessageState::Dead, 10, 10));
    receiver.answer("200 OK");
    let period = Which::DeadBetween(NOW, world.now());
    assert_eq!(world.callbacks.replay(&admin(), "ci", period).await.unwrap(), 1);
    world.send_due(&callback).await;
    let delivered = world.all(&callback).await.remove(0);
    assert_eq!((delivered.state, delivered.attempts, delivered.id), (MessageState::Delivered, 1, dead.id));
    let recorded = world.recorder.entries();
    assert!(recorded.iter().any(|entry| entry.action == "callback.replay" && entry.tenant == "acme"), "{recorded:?}");
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let world = World::new().await;
    let receiver = Receiver::answering("429 Slowly\r\nretry-after: 3600", Duration::ZERO).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear(vec![ended(1)], 10).await;
    world.send_due(&callback).await;
    let waiting = world.all(&callback).await.remove(0);
    assert!(waiting.due_at.since(world.now()) >= Duration::from_secs(3600), "{waiting:?}");
}

#[tokio::test]
async fn a_pause_begins_when_a_receiver_asks_for_it_however_long_it_thought() {
    let world = World::new().await;
    let receiver = Receiver::answering("503 Later\r\nretry-after: 7", Duration::from_millis(500)).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear(vec![ended(1)], 10).await;
    let message = world.due(&callback).await.remove(0);
    let (sent, _) = tokio::join!(world.sender.deliver(&message), async {
        until(async || !receiver.received().is_empty()).await;
        world.clock.advance(Duration::from_secs(10));
    });
    let () = sent;
    let waiting = world.all(&callback).await.remove(0);
    assert!(waiting.due_at.since(world.now()) >= Duration::from_secs(7), "{waiting:?}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_sent_nothing_more_until_somebody_enables_it() {
    let world = World::new().await;
    let receiver = Receiver::answering("410 Gone", Duration::ZERO).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear(vec![ended(1), ended(2)], 10).await;
    let first = world.due(&callback).await.remove(0);
    world.sender.deliver(&first).await;
    let disabled = world.again(&callback).await;
    assert_eq!(disabled.disabled, Some(Disabled { why: Why::Gone, since: NOW }));
    // What waited, and what comes now, is kept.
    world.hear(vec![ended(3)], 11).await;
    assert!(world.due(&callback).await.is_empty());
    assert!(world.all(&callback).await.iter().all(|message| message.state == MessageState::Dead));
    assert_eq!(receiver.received().len(), 1);
    let everything = || Which::DeadBetween(NOW, NOW.plus(Duration::from_secs(1)));
    assert!(world.callbacks.replay(&admin(), "ci", everything()).await.is_err(), "it is disabled");
    receiver.answer("200 OK");
    let enable = Changes { disabled: Some(false), ..Changes::default() };
    world.callbacks.update(&admin(), "ci", enable).await.unwrap();
    assert_eq!(world.callbacks.replay(&admin(), "ci", everything()).await.unwrap(), 3);
    world.send_due(&callback).await;
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test]
async fn a_receiver_that_accepts_nothing_for_days_is_disabled() {
    let world = World::new().await;
    let receiver = Receiver::answering("503 Later", Duration::ZERO).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear(vec![ended(1)], 10).await;
    world.send_due(&callback).await;
    world.clock.advance(LONGEST_FAILURE - Duration::from_secs(1));
    world.send_due(&callback).await;
    assert_eq!(world.again(&callback).await.disabled, None);
    assert_eq!(world.callbacks.get(&admin(), "ci").await.unwrap().1, Some(NOW), "it is shown since when it fails");
    world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    world.send_due(&callback).await;
    assert_eq!(world.again(&callback).await.disabled.map(|disabled| disabled.why), Some(Why::Failing));
}

#[tokio::test]
async fn a_slow_and_a_dead_receiver_hold_up_nobody() {
    let world = World::new().await;
    let healthy = Receiver::answering("200 OK", Duration::ZERO).await;
    let slow = Receiver::answering("200 OK", Duration::from_secs(600)).await;
    let healthy_one = world.callback("healthy", &healthy.url).await.callback;
    let slow_one = world.callback("slow", &slow.url).await.callback;
    // Nothing listens there.
    let dead_one = world.callback("dead", "http://127.0.0.1:9/").await.callback;
    let jobs: Vec<_> = (0..100).map(ended).collect();
    world.hear(jobs, 10).await;
    let shutdown = world.start();
    until(async || healthy.received().len() == 100).await;
    until(async || world.all(&healthy_one).await.iter().all(|message| message.state == MessageState::Delivered)).await;
    until(async || slow.most_at_once() == 4).await;
    assert_eq!(slow.received().len(), 4, "a receiver has a few places and no more");
    assert!(world.all(&slow_one).await.iter().all(|message| message.state == MessageState::Waiting));
    assert!(world.all(&dead_one).await.iter().all(|message| message.state == MessageState::Waiting));
    shutdown.begin();
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_one_message_at_a_time() {
    let world = World::new().await;
    let receiver = Receiver::answering("500 No", Duration::from_millis(20)).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    world.hear((0..20).map(ended).collect(), 10).await;
    let first = world.due(&callback).await.remove(0);
    world.sender.deliver(&first).await;
    let shutdown = world.start();
    until(async || receiver.received().len() == 20).await;
    assert_eq!(receiver.most_at_once(), 1);
    receiver.answer("200 OK");
    world.clock.advance(Duration::from_secs(60));
    world.callbacks.bell.notify_one();
    until(async || world.all(&callback).await.iter().all(|message| message.state == MessageState::Delivered)).await;
    shutdown.begin();
}

#[tokio::test]
async fn an_address_that_may_not_be_reached_is_not() {
    let world = World::new().await;
    let receiver = Receiver::answering("200 OK", Duration::ZERO).await;
    let callback = world.callback("ci", &receiver.url).await.callback;
    // The operator took it off the list since.
    let strict = Client::new(Settings::default(), Arc::new(SystemResolver::default())).unwrap();
    let old = &world.sender;
    let sender = Sender {
        catalog: old.catalog.clone(),
        messages: old.messages.clone(),
        keys: old.keys.clone(),
        client: strict,
        clock: old.clock.clone(),
        bell: old.bell.clone(),
        known: Known::default(),
        failpoint: Failpoint::default(),
    };
    world.hear(vec![ended(1)], 10).await;
    sender.deliver(&world.due(&callback).await[0]).await;
    let message = world.all(&callback).await.remove(0);
    assert!(message.attempts == 1 && message.problem.contains("https"), "{message:?}");
    assert!(receiver.received().is_empty());
}
