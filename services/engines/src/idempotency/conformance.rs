//! What keeping answers must be, on every config store. An engine runs it with
//! [`idempotency_conformance!`](crate::idempotency_conformance), which makes one test of each function here.
//!
//! Each function takes a [`Bench`] whose store is fresh and empty.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use runwarden_kit::clock::Moment;

use super::{Begin, Idempotency, IdempotencyError, KEPT, PREFIX, Pepper, Request, Ticket};
use crate::config::{Change, Commit, ConfigStore};
use crate::conformance::{Faults, at_every_call, failing_commits};

/// Makes one test of each promise. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, Bench)>`; the guard keeps what the store needs (a folder, a server) alive.
#[macro_export]
macro_rules! idempotency_conformance {
    ($make:path) => {
        $crate::conformance_tests!(
            $make,
            [$crate::idempotency::conformance],
            whatever_is_asked_and_answered_comes_back_byte_for_byte,
            a_commit_that_fails_keeps_neither_change_nor_answer,
            a_commit_that_is_cut_off_keeps_both_or_neither,
            of_processes_that_race_with_one_key_one_makes_its_change,
            an_answer_expires_by_the_clock_that_asks_and_comes_back_with_it,
            pruning_forgets_what_has_expired_and_nothing_else,
            what_is_used_anew_while_it_is_pruned_is_kept,
        );
    };
}

/// A store under test.
pub struct Bench {
    /// Two ways to the same store, as two processes have them.
    pub stores: [Arc<dyn ConfigStore>; 2],
    /// How it is made to fail.
    pub faults: Arc<dyn Faults>,
}

impl Bench {
    /// A process that uses the store.
    fn process(&self, number: usize) -> Process {
        let [one, two] = &self.stores;
        let store = Arc::clone(if number.is_multiple_of(2) { one } else { two });
        Process { answers: Idempotency::new(Arc::clone(&store), Pepper::new([7; 32])), store }
    }
}

struct Process {
    store: Arc<dyn ConfigStore>,
    answers: Idempotency,
}

const NOW: Moment = Moment::from_micros(1_795_327_200_000_000);

fn request<'a>(key: &'a str, body: &'a [u8]) -> Request<'a> {
    Request { tenant: "acme", principal: "sa_1", operation: "client.create", key: Some(key), body }
}

impl Process {
    async fn first(&self, request: Request<'_>, now: Moment) -> Result<Ticket> {
        match self.answers.begin(request, now).await? {
            Begin::Fresh(ticket) => Ok(ticket),
            Begin::Replay(_) => bail!("it is no repeat"),
        }
    }

    async fn repeat(&self, request: Request<'_>, now: Moment) -> Result<Option<Vec<u8>>> {
        match self.answers.begin(request, now).await? {
            Begin::Fresh(_) => Ok(None),
            Begin::Replay(answer) => Ok(Some(answer)),
        }
    }

    /// Makes a thing and keeps the answer. Answers whether that was done.
    async fn make(&self, ticket: &Ticket, thing: &str, answer: &[u8]) -> Result<bool> {
        let mut change = Change::new();
        change.put(format!("thing/{thing}"), answer);
        ticket.keep(&mut change, answer)?;
        match self.store.commit(change).await? {
            Commit::Done { .. } => Ok(true),
            Commit::Refused { key } => {
                ensure!(ticket.lost(&key), "refused because of {key}");
                Ok(false)
            }
        }
    }

    async fn answer(&self, key: &str, answer: &[u8], now: Moment) -> Result<bool> {
        let ticket = self.first(request(key, b"body"), now).await?;
        self.make(&ticket, key, answer).await
    }

    async fn has(&self, thing: &str) -> Result<bool> {
        Ok(self.store.get(&format!("thing/{thing}")).await?.is_some())
    }
}

/// Bodies and answers are bytes, short and long; keys have 1 to 255 visible ASCII characters.
pub async fn whatever_is_asked_and_answered_comes_back_byte_for_byte(bench: Bench) -> Result<()> {
    let process = bench.process(0);
    let long: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let longest = "~".repeat(255);
    let cases: [(&str, &[u8], &[u8]); 3] =
        [("!", b"", b""), ("a/%_'\"\\", "ä€𝄞\0".as_bytes(), "ä€𝄞\0".as_bytes()), (&longest, &long, &long)];
    for (key, body, answer) in cases {
        let ticket = process.first(request(key, body), NOW).await?;
        let mut change = Change::new();
        change.put("thing", b"1");
        ticket.keep(&mut change, answer)?;
        ensure!(matches!(process.store.commit(change).await?, Commit::Done { .. }));
        drop(ticket);
        ensure!(bench.process(1).repeat(request(key, body), NOW).await?.as_deref() == Some(answer), "{key}");
        let other = bench.process(1).answers.begin(request(key, b"other"), NOW).await;
        ensure!(matches!(other, Err(IdempotencyError::Reused)), "{key}");
    }
    for bad in ["", " ", "ä", &"~".repeat(256)] {
        let refused = process.answers.begin(request(bad, b""), NOW).await;
        ensure!(matches!(refused, Err(IdempotencyError::BadKey)), "{bad}");
    }
    Ok(())
}

/// What failed may be asked for again under the same key, and is then done.
pub async fn a_commit_that_fails_keeps_neither_change_nor_answer(bench: Bench) -> Result<()> {
    let process = bench.process(0);
    failing_commits(&*bench.faults, process.answer("k", b"answer", NOW)).await?;
    ensure!(!process.has("k").await? && process.store.count(PREFIX).await? == 0);
    ensure!(process.answer("k", b"answer", NOW).await?);
    ensure!(process.repeat(request("k", b"body"), NOW).await?.as_deref() == Some(&b"answer"[..]));
    Ok(())
}

/// Wherever the connection is lost: a repeat does what was not done, or gets the answer of what was.
pub async fn a_commit_that_is_cut_off_keeps_both_or_neither(bench: Bench) -> Result<()> {
    let (process, mut number) = (bench.process(0), 0);
    at_every_call(&*bench.faults, async |cut| {
        number += 1;
        let key = format!("k{number}");
        let done = cut.during(process.answer(&key, b"answer", NOW)).await;
        let is_done = process.has(&key).await?;
        ensure!(is_done || done.is_err());
        let again = process.repeat(request(&key, b"body"), NOW).await?;
        ensure!(again.as_deref() == is_done.then_some(&b"answer"[..]), "done: {is_done}, answer: {}", again.is_some());
        Ok(())
    })
    .await
}

/// However many processes begin before any has answered, one change is made, and its answer is everybody's.
pub async fn of_processes_that_race_with_one_key_one_makes_its_change(bench: Bench) -> Result<()> {
    for round in 0..5 {
        let key = format!("k{round}");
        let mut begun = Vec::new();
        for number in 0..6 {
            let process = bench.process(number);
            let ticket = process.first(request(&key, b"body"), NOW).await?;
            begun.push((number, process, ticket));
        }
        let racers: Vec<_> = begun
            .into_iter()
            .map(|(number, process, ticket)| {
                let thing = format!("{round}-{number}");
                tokio::spawn(async move { anyhow::Ok((process.make(&ticket, &thing, thing.as_bytes()).await?, thing)) })
            })
            .collect();
        let mut won = Vec::new();
        for racer in racers {
            let (is_done, thing) = racer.await??;
            won.extend(is_done.then_some(thing));
        }
        ensure!(won.len() == 1, "{won:?} won");
        ensure!(bench.stores[0].count(&format!("thing/{round}-")).await? == 1);
        let answer = bench.process(0).repeat(request(&key, b"body"), NOW).await?;
        ensure!(answer.as_deref() == won.first().map(|thing| thing.as_bytes()));
    }
    Ok(())
}

/// A clock that jumps ahead makes room for another answer; when it jumps back, the newest answer counts, not none.
pub async fn an_answer_expires_by_the_clock_that_asks_and_comes_back_with_it(bench: Bench) -> Result<()> {
    let process = bench.process(0);
    let (second, ahead) = (Duration::from_secs(1), NOW.plus(KEPT).plus(KEPT));
    ensure!(process.answer("k", b"first", NOW).await?);
    ensure!(process.repeat(request("k", b"body"), NOW.plus(KEPT).minus(second)).await?.is_some());
    ensure!(process.repeat(request("k", b"body"), NOW.plus(KEPT)).await?.is_none());
    ensure!(process.repeat(request("k", b"body"), ahead).await?.is_none());
    ensure!(process.repeat(request("k", b"body"), NOW.minus(KEPT)).await?.as_deref() == Some(&b"first"[..]));
    ensure!(process.answer("k", b"second", ahead).await?);
    for now in [ahead, NOW, NOW.minus(KEPT)] {
        ensure!(process.repeat(request("k", b"body"), now).await?.as_deref() == Some(&b"second"[..]));
    }
    Ok(())
}

/// Pages of it, whichever clock prunes; and says how many that were.
pub async fn pruning_forgets_what_has_expired_and_nothing_else(bench: Bench) -> Result<()> {
    let process = bench.process(0);
    let later = NOW.plus(Duration::from_secs(60));
    for number in 0..130 {
        let now = if number % 2 == 0 { NOW } else { later };
        ensure!(process.answer(&format!("k{number}"), b"answer", now).await?);
    }
    for too_early in [Moment::from_micros(0), NOW, NOW.plus(KEPT).minus(Duration::from_secs(1))] {
        ensure!(process.answers.prune(too_early).await? == 0);
    }
    ensure!(process.answers.prune(NOW.plus(KEPT)).await? == 65);
    ensure!(process.store.count(PREFIX).await? == 65 && process.store.count("thing/").await? == 130);
    ensure!(process.answers.prune(later.plus(KEPT)).await? == 65);
    ensure!(process.store.count(PREFIX).await? == 0);
    Ok(())
}

/// Pruning beside requests that use expired keys anew takes none of their answers, and counts none of them.
pub async fn what_is_used_anew_while_it_is_pruned_is_kept(bench: Bench) -> Result<()> {
    let process = bench.process(0);
    for number in 0..60 {
        ensure!(process.answer(&format!("k{number}"), b"old", NOW).await?);
    }
    let now = NOW.plus(KEPT);
    let other = bench.process(1);
    let anew = tokio::spawn(async move {
        let mut made = 0;
        for number in 0..60 {
            // Refused when the old answer is pruned between the look and the commit: then it is asked again.
            while !other.answer(&format!("k{number}"), b"new", now).await? {}
            made += 1;
        }
        anyhow::Ok(made)
    });
    let mut forgotten = 0;
    while !anew.is_finished() {
        forgotten += process.answers.prune(now).await?;
    }
    ensure!(anew.await?? == 60);
    forgotten += process.answers.prune(now).await?;
    ensure!(forgotten <= 60, "{forgotten} of 60 were forgotten");
    for number in 0..60 {
        let answer = process.repeat(request(&format!("k{number}"), b"body"), now).await?;
        ensure!(answer.as_deref() == Some(&b"new"[..]), "k{number}");
    }
    Ok(())
}
