//! Results out: what becomes of jobs reaches the receivers of callbacks, signed, at least once, and nobody else.

use std::time::{Duration, Instant};

use reqwest::Method;
use runwarden_harness::jobs::text;
use runwarden_harness::receiver::{Authority, Received};
use runwarden_harness::{Controller, Receiver, Signal, System, Tenant, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;

use super::hooks::{KEY, deliver, hook, push};
use super::write_only::is_nowhere;
use super::{acme, deployment, settings};

struct World {
    controller: Controller,
    system: System,
    acme: Tenant,
    authority: Authority,
    _files: TempDir,
}

/// Receivers on this machine may be reached, by the authority that vouches for them.
async fn world() -> World {
    let (authority, files) = (Authority::default(), tempfile::tempdir().unwrap());
    let file = files.path().join("receivers.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let settings = settings().that_stays().set("RUNWARDEN_OUTBOUND_ALLOW", "127.0.0.1");
    let (controller, system, acme) =
        acme(&settings.set("RUNWARDEN_OUTBOUND_CA_FILE", &file.display().to_string())).await;
    acme.map("deploy", "deploy").await;
    World { controller, system, acme, authority, _files: files }
}

impl World {
    async fn receiver(&self) -> Receiver {
        Receiver::start(&self.authority).await
    }

    /// Makes a callback with these settings on top, and answers it with its key.
    async fn callback(&self, name: &str, url: &str, more: Value) -> Value {
        let mut body = json!({"name": name, "project": "web", "url": url});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.acme.admin.post("/api/v1/callbacks", &body).await.expect(201)
    }

    async fn messages(&self, callback: &str) -> Vec<Value> {
        self.acme.admin.all(&format!("/api/v1/callbacks/{callback}/messages")).await
    }

    /// Messages of a callback, once there are so many in this state and no others.
    async fn all_are(&self, callback: &str, number: usize, state: &str) -> Vec<Value> {
        until(&format!("{number} messages to {callback} to be {state}"), async || {
            let all = self.messages(callback).await;
            let stand = all.iter().all(|message| text(message, "state") == state);
            (stand && all.len() == number).then_some(all)
        })
        .await
    }

    /// Runs a job to its end.
    async fn run(&self) -> String {
        text(&self.acme.launcher.run("deploy", deployment()).await, "id").to_owned()
    }
}

fn job(received: &Received) -> String {
    text(&received.json()["data"]["job"], "id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_arrives_signed_and_keys_are_replaced_without_a_gap() {
    let world = world().await;
    let (symmetric, public) = (world.receiver().await, world.receiver().await);
    let made = world.callback("ci", &symmetric.url(), json!({})).await;
    let ed25519 = world.callback("ed", &public.url(), json!({"key_kind": "ed25519"})).await;
    let (first, public_key) = (text(&made, "key").to_owned(), text(&ed25519["keys"][0], "public_key").to_owned());
    assert!(ed25519.get("key").is_none(), "a private key is never shown: {ed25519}");

    let body = json!({"template": "deploy", "parameters": deployment(), "reference": "CHG0031415"});
    let submitted = world.acme.launcher.post("/api/v1/jobs", &body).await.expect(202);
    let ended = world.acme.launcher.over(text(&submitted, "id")).await;
    let received = symmetric.has(1).await.remove(0);
    assert!(received.head.starts_with("POST /hook/s3cret HTTP/1.1"), "{}", received.head);
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.is_signed_by(&first) && received.signatures() == 1);
    let told = received.json();
    assert_eq!((text(&told, "type"), &told["version"]), ("job.finished", &json!(1)), "{told}");
    for field in ["id", "state", "template", "reference", "requested_by", "created_at", "finished_at", "outcome"] {
        assert_eq!(told["data"]["job"][field], ended[field], "{field} of {told}");
    }
    assert_eq!(text(&told["data"]["job"], "reference"), "CHG0031415");
    assert!(!received.body.contains("1.4.2"), "parameters are not sent: {told}");
    let other = public.has(1).await.remove(0);
    assert!(other.is_signed_by(&public_key) && !other.is_signed_by(&first) && !received.is_signed_by(&public_key));
    assert_ne!(other.id(), received.id(), "two receivers get two messages");

    // While a key is replaced, both sign; the one that is retired signs nothing more.
    let rotated = world.acme.admin.post("/api/v1/callbacks/ci/rotate-key", &json!({})).await.expect(200);
    let second = text(&rotated, "key").to_owned();
    world.run().await;
    let received = symmetric.has(2).await.remove(1);
    assert!(received.is_signed_by(&first) && received.is_signed_by(&second) && received.signatures() == 2);
    let path = format!("/api/v1/callbacks/ci/keys/{}", text(&rotated["keys"][0], "id"));
    let _retired = world.acme.admin.delete(&path).await.expect(200);
    world.run().await;
    let received = symmetric.has(3).await.remove(2);
    assert!(!received.is_signed_by(&first) && received.is_signed_by(&second) && received.signatures() == 1);

    world.all_are("ci", 3, "delivered").await;
    for secret in [&first, &second] {
        is_nowhere(&world.system, secret, &[]);
    }
}

/// The key is shown again to whoever repeats the request, so it is kept for that; but not in clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_made_for_a_request_that_may_be_repeated_is_nowhere_in_clear() {
    let world = world().await;
    let receiver = world.receiver().await;
    let admin = &world.acme.admin;
    let new = json!({"name": "ci", "project": "web", "url": receiver.url()});
    for (path, body, status) in [("/api/v1/callbacks", new, 201), ("/api/v1/callbacks/ci/rotate-key", json!({}), 200)] {
        let ask = async || {
            let call = admin.call(Method::POST, path).header("idempotency-key", "the-same-key-each-time");
            text(&call.json(&body).send().await.expect(status), "key").to_owned()
        };
        let key = ask().await;
        assert_eq!(ask().await, key, "{path}");
        is_nowhere(&world.system, &key, &[]);
        is_nowhere(&world.system, key.trim_start_matches("whsec_"), &[]);
    }
    is_nowhere(&world.system, "the-same-key-each-time", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_told_of_what_it_is_for() {
    let world = world().await;
    let (all, plain, hooked, asked) =
        (world.receiver().await, world.receiver().await, world.receiver().await, world.receiver().await);
    world.acme.map_bare("plain", "plain").await;
    hook(&world.acme, "push").await;
    world.callback("all", &all.url(), json!({"events": ["job.running", "job.finished"]})).await;
    world.callback("plain", &plain.url(), json!({"templates": ["plain"]})).await;
    world.callback("hooked", &hooked.url(), json!({"hooks": ["push"]})).await;
    world.callback("asked", &asked.url(), json!({"on_request": true})).await;

    let by_hand = world.run().await;
    let bare = text(&world.acme.launcher.run("plain", json!({})).await, "id").to_owned();
    let body = json!({"template": "deploy", "parameters": deployment(), "callbacks": ["asked"]});
    let named = world.acme.launcher.post("/api/v1/jobs", &body).await.expect(202);
    let named = text(&world.acme.launcher.over(text(&named, "id")).await, "id").to_owned();
    let base = world.system.reach().base_url.clone();
    let delivery = deliver(&base, "/webhook/acme/push", KEY, "1", &push("1.4.2")).await.unwrap().expect(202);
    let path = format!("/api/v1/hooks/push/deliveries/{}", text(&delivery, "delivery"));
    let delivered = until("the delivery's job", async || {
        let found = world.acme.admin.get(&path).await.expect(200);
        found["job"].as_str().map(str::to_owned)
    })
    .await;
    world.acme.admin.over(&delivered).await;

    for (receiver, job_id) in [(&plain, &bare), (&hooked, &delivered), (&asked, &named)] {
        assert_eq!(job(&receiver.has(1).await[0]), *job_id);
    }
    let told = &hooked.received()[0].json()["data"]["job"];
    assert_eq!((text(told, "hook"), text(told, "delivery")), ("push", text(&delivery, "delivery")));
    until("the delivery to say that its callback was made", async || {
        let found = world.acme.admin.get(&path).await.expect(200);
        let steps = found["steps"].as_array().unwrap();
        let made = |step: &&Value| text(step, "detail") == "hooked, job.finished: delivered";
        steps
            .iter()
            .find(made)
            .map(|step| assert_eq!((text(step, "name"), text(step, "result")), ("called_back", "ok")))
    })
    .await;
    let ends = until("all four ends", async || {
        let ends: Vec<_> =
            all.received().iter().filter(|one| text(&one.json(), "type") == "job.finished").map(job).collect();
        (ends.len() == 4).then_some(ends)
    })
    .await;
    for id in [&by_hand, &bare, &named, &delivered] {
        assert!(ends.contains(id), "{ends:?}");
    }
    for (name, number) in [("plain", 1), ("hooked", 1), ("asked", 1)] {
        assert_eq!(world.messages(name).await.len(), number, "{name}");
    }
    assert_eq!(world.controller.launched(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_left_alone_and_what_it_missed_is_sent_on_request() {
    let world = world().await;
    let receiver = world.receiver().await;
    receiver.answers("410 Gone");
    world.callback("ci", &receiver.url(), json!({})).await;
    world.run().await;
    let disabled = until("the callback to be disabled", async || {
        let callback = world.acme.admin.get("/api/v1/callbacks/ci").await.expect(200);
        (text(&callback, "disabled_why") == "gone").then_some(callback)
    })
    .await;
    assert!(disabled.get("disabled_since").is_some(), "{disabled}");
    world.run().await;
    world.run().await;
    let dead = world.all_are("ci", 3, "dead").await;
    assert_eq!(receiver.received().len(), 1, "nothing was sent after the 410");
    assert_eq!((&dead[2]["status"], text(&dead[0], "problem").contains("410")), (&json!(410), true), "{dead:?}");
    let filtered = world.acme.admin.all("/api/v1/callbacks/ci/messages?state=dead").await;
    let others = world.acme.admin.all("/api/v1/callbacks/ci/messages?state=delivered").await;
    assert_eq!((filtered.len(), others.len()), (3, 0));
    until("the record of it", async || {
        let records = world.acme.admin.all("/api/v1/audit/records?action=callback.disable").await;
        (records.len() == 1).then_some(())
    })
    .await;

    // One by one, and then by time: the newest but one and later, so without the first.
    receiver.answers("200 OK");
    let one = format!("/api/v1/callbacks/ci/messages/{}/replay", text(&dead[2], "id"));
    world.acme.admin.act(&one).await.refused(409, "CONFLICT");
    let _enabled = world.acme.admin.patch("/api/v1/callbacks/ci", &json!({"disabled": false})).await.expect(200);
    assert_eq!(world.acme.admin.act(&one).await.expect(200)["replayed"], 1);
    assert_eq!(receiver.has(2).await[1].id(), text(&dead[2], "id"), "under the id that it had");
    let period = json!({"from": text(&dead[1], "created_at"), "until": "2100-01-01T00:00:00Z"});
    let replayed = world.acme.admin.post("/api/v1/callbacks/ci/replay", &period).await.expect(200);
    assert_eq!(replayed["replayed"], 2);
    let received = receiver.has(4).await;
    for message in &dead[..2] {
        assert!(received[2..].iter().any(|one| one.id() == text(message, "id")), "{message}");
    }
    world.all_are("ci", 3, "delivered").await;
    let read = world.acme.admin.get(&format!("/api/v1/callbacks/ci/messages/{}", text(&dead[0], "id"))).await;
    assert_eq!(read.expect(200)["body"], received[2..].iter().find(|r| r.id() == text(&dead[0], "id")).unwrap().json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_pause_gets_it_in_seconds_and_as_a_date() {
    let world = world().await;
    let (seconds, date) = (world.receiver().await, world.receiver().await);
    // Longer than the first pause of the schedule may become.
    seconds.answers("503 Later\r\nretry-after: 8");
    let then = OffsetDateTime::now_utc() + Duration::from_secs(20);
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    date.answers(&format!("429 Slowly\r\nretry-after: {}", then.format(form).unwrap()));
    world.callback("seconds", &seconds.url(), json!({})).await;
    world.callback("date", &date.url(), json!({})).await;
    world.run().await;
    let first = (seconds.has(1).await.remove(0), date.has(1).await.remove(0));
    seconds.answers("204 Fine");
    date.answers("204 Fine");
    let again = (seconds.has(2).await.remove(1), date.has(2).await.remove(1));
    let dated = OffsetDateTime::now_utc();
    assert!(again.0.at.duration_since(first.0.at) >= Duration::from_secs(8));
    assert!(dated.unix_timestamp() >= then.unix_timestamp(), "{dated} is before {then}");
    assert_eq!((first.0.id(), first.1.id()), (again.0.id(), again.1.id()));
    for name in ["seconds", "date"] {
        assert_eq!(world.all_are(name, 1, "delivered").await[0]["attempts"], 2, "{name}");
    }
}

/// Wherever the process is killed between the end of a job and the note that its result was sent.
#[tokio::test(flavor = "multi_thread")]
async fn no_result_is_lost_wherever_the_process_dies() {
    let mut world = world().await;
    let receiver = world.receiver().await;
    world.callback("ci", &receiver.url(), json!({})).await;
    for (number, (point, times)) in
        (1..).zip([("message.before", 1), ("message.after", 1), ("send.before", 1), ("send.after", 2)])
    {
        world.system.set("RUNWARDEN_HOOK_FAILPOINT", point);
        world.system.restart(Signal::Term).await;
        let submitted = world.acme.launcher.submit("deploy", deployment()).await;
        world.system.process().ended().await;
        world.system.set("RUNWARDEN_HOOK_FAILPOINT", "");
        world.system.start_again().await;
        let of_job = || {
            let all = receiver.received();
            all.into_iter().filter(|one| job(one) == text(&submitted, "id")).collect::<Vec<_>>()
        };
        world.all_are("ci", number, "delivered").await;
        let sent = of_job();
        assert_eq!(sent.len(), times, "{point}");
        assert!(sent.iter().all(|one| one.id() == sent[0].id()), "{point}: one id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_an_address_inside_unless_the_operator_allows_it() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let receiver = Receiver::start(&Authority::default()).await;
    let make = async |url: &str| {
        let body = json!({"name": "ci", "project": "web", "url": url});
        acme.admin.post("/api/v1/callbacks", &body).await
    };
    for url in [
        receiver.url().as_str(),
        "https://10.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://１２７.0.0.1/",
    ] {
        let refused = make(url).await.refused(422, "VALIDATION_FAILED");
        assert_eq!(refused["errors"][0]["pointer"], "/url", "{url}: {refused}");
        assert!(text(&refused, "detail").contains("only the operator can allow it"), "{url}: {refused}");
    }
    for (url, says) in [
        ("http://receiver.example/", "https://"),
        ("https://user:secret@receiver.example/", "user name"),
        ("file:///etc/passwd", "https://"),
    ] {
        let refused = make(url).await.refused(422, "VALIDATION_FAILED");
        assert!(text(&refused, "detail").contains(says), "{url}: {refused}");
    }
    assert!(acme.admin.all("/api/v1/callbacks").await.is_empty());

    // A name says nothing about where it leads until it is used.
    let _made = make(&receiver.named_url()).await.expect(201);
    let ended = acme.launcher.run("deploy", deployment()).await;
    assert_eq!(text(&ended, "state"), "succeeded");
    let tried = until("an attempt", async || {
        let all = acme.admin.all("/api/v1/callbacks/ci/messages").await;
        all.into_iter().find(|message| message["attempts"] == 1)
    })
    .await;
    assert_eq!(text(&tried, "state"), "waiting", "{tried}");
    assert!(text(&tried, "problem").contains("not public") && tried.get("status").is_none(), "{tried}");
    assert!(receiver.received().is_empty());
    assert_eq!(controller.launched(), 1);
    drop(system);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_a_dead_receiver_do_not_delay_a_healthy_one() {
    let world = world().await;
    let (slow, healthy) = (world.receiver().await, world.receiver().await);
    slow.hangs();
    world.callback("slow", &slow.url(), json!({})).await;
    // Nothing listens there.
    world.callback("dead", "https://127.0.0.1:9/", json!({})).await;
    world.callback("healthy", &healthy.url(), json!({})).await;
    for _ in 0..12 {
        world.acme.launcher.submit("deploy", deployment()).await;
    }
    for submitted in world.acme.launcher.all("/api/v1/jobs").await {
        world.acme.launcher.over(text(&submitted, "id")).await;
    }
    // A slow receiver's time is up after 20 seconds: a healthy one that waited for it would take longer.
    let over = Instant::now();
    healthy.has(12).await;
    assert!(over.elapsed() < Duration::from_secs(10), "{:?}", over.elapsed());
    let delivered = world.all_are("healthy", 12, "delivered").await;
    assert!(delivered.iter().all(|message| message["attempts"] == 1), "{delivered:?}");
    world.all_are("slow", 12, "waiting").await;
    world.all_are("dead", 12, "waiting").await;
    assert!(slow.received().len() <= 4, "a slow receiver has its few places and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_made_once_for_a_project_that_is_there() {
    let world = world().await;
    let make = async |key: &str, project: &str| {
        let call = world.acme.admin.call(Method::POST, "/api/v1/callbacks").header("idempotency-key", key);
        let body = json!({"name": "ci", "project": project, "url": "https://receiver.example/"});
        call.json(&body).send().await
    };
    let refused = make("1", "nowhere").await.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["pointer"], "/project", "{refused}");
    let first = make("2", "web").await.expect(201);
    let again = make("2", "web").await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first, "true"));
    make("3", "web").await.refused(409, "ALREADY_EXISTS");
}
