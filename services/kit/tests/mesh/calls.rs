//! What travels along with a call, when it is repeated, and how long it may take.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use runwarden_kit::context::RequestContext;
use runwarden_kit::{Error, ErrorReason};
use runwarden_proto::executor::v1::{GetJobRequest, SubmitJobRequest};

use crate::support::relay::Relay;
use crate::support::{House, Jobs, acting, reason, until, within};

fn get(id: &str) -> GetJobRequest {
    GetJobRequest { id: id.to_owned(), wait_seconds: 0 }
}

fn submit(template: &str) -> SubmitJobRequest {
    SubmitJobRequest { template: template.to_owned(), parameters_json: "{}".into(), ..Default::default() }
}

#[tokio::test]
async fn a_call_that_may_be_repeated_survives_a_server_that_comes_back_and_another_does_not() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let relay = Relay::to(running.address).await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(relay.address)?;
    relay.drop_next(2);
    acting(&token, jobs.get_job(get("any"))).await?;
    ensure!((relay.came(), running.played.calls()) == (3, 1));

    let mut jobs = house.edge(relay.address)?;
    relay.drop_next(1);
    ensure!(reason(acting(&token, jobs.submit_job(submit("any"))).await) == Some(ErrorReason::Unavailable));
    ensure!((relay.came(), running.played.calls()) == (4, 1));
    // It was the call that failed, not the channel.
    acting(&token, jobs.submit_job(submit("any"))).await?;
    ensure!(running.played.calls() == 2);
    running.stop().await
}

#[tokio::test]
async fn when_the_connection_breaks_under_a_call_only_a_harmless_one_is_sent_again() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let relay = Relay::to(running.address).await?;
    let token = house.signer.good()?;
    let call = |mut jobs: Jobs, token: String, harmless: bool| {
        tokio::spawn(async move {
            acting(&token, async {
                if harmless {
                    jobs.get_job(get("slow")).await.map(drop)
                } else {
                    jobs.submit_job(submit("slow")).await.map(drop)
                }
            })
            .await
        })
    };
    let harmless = call(house.edge(relay.address)?, token.clone(), true);
    until("the first try", || running.played.calls() == 1).await?;
    relay.cut();
    until("the second try", || running.played.calls() == 2).await?;
    until("the first try is given up", || running.played.dropped.load(Ordering::SeqCst) == 1).await?;
    running.played.release.0.add_permits(1);
    harmless.await??;

    let once = call(house.edge(relay.address)?, token, false);
    until("the only try", || running.played.calls() == 3).await?;
    relay.cut();
    ensure!(reason(once.await?) == Some(ErrorReason::Unavailable));
    ensure!(running.played.calls() == 3);
    running.stop().await
}

#[tokio::test]
async fn an_idempotency_key_that_is_none_is_refused_and_not_left_out() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut jobs = house.edge(running.address)?;
    let token = house.signer.good()?;
    let mut with = async |key: &str| {
        let context = RequestContext {
            token: Some(token.clone().into()),
            idempotency_key: Some(key.to_owned()),
            ..RequestContext::default()
        };
        within(context, jobs.submit_job(submit("any"))).await
    };
    for bad in ["k".repeat(256), "two words".into()] {
        ensure!(reason(with(&bad).await) == Some(ErrorReason::ValidationFailed), "{bad}");
    }
    ensure!(running.played.calls() == 0, "nothing was begun without its key");
    with(&"k".repeat(255)).await?;
    ensure!(running.played.calls() == 1);
    running.stop().await
}

#[tokio::test]
async fn a_channel_finds_its_service_again_after_a_restart() -> Result<()> {
    let house = House::new()?;
    let first = house.start().await?;
    let (at, token) = (first.address, house.signer.good()?);
    let mut jobs = house.edge(at)?;
    acting(&token, jobs.get_job(get("any"))).await?;
    first.stop().await?;
    ensure!(reason(acting(&token, jobs.get_job(get("any"))).await) == Some(ErrorReason::Unavailable));
    let second = house.start_at(at, house.signer.trust()?, runwarden_kit::service::Parts::new()).await?;
    acting(&token, jobs.submit_job(submit("any"))).await?;
    ensure!(second.played.calls() == 1);
    second.stop().await
}

#[tokio::test]
async fn who_answers_unavailable_is_asked_again_only_if_nobody_has_tried_before() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(running.address)?;
    let mut calls = async |harmless: bool, id: &str| -> Result<usize> {
        let before = running.played.calls();
        let refused = acting(&token, async {
            if harmless { reason(jobs.get_job(get(id)).await) } else { reason(jobs.submit_job(submit(id)).await) }
        })
        .await;
        ensure!(refused == Some(ErrorReason::Unavailable), "{refused:?}");
        Ok(running.played.calls() - before)
    };
    ensure!(calls(true, "unavailable").await? == 3);
    ensure!(calls(false, "unavailable").await? == 1);
    // A service that passes on that another is away has already tried: three hops must not make 27 calls.
    ensure!(calls(true, "away").await? == 1);
    running.stop().await
}

#[tokio::test]
async fn the_callee_has_less_time_than_its_caller_and_both_know() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(running.address)?;
    let context = |left: Duration| RequestContext {
        token: Some(token.clone().into()),
        deadline: Some(Instant::now() + left),
        ..RequestContext::default()
    };
    // Connecting first: what that takes must be gone from the deadline, too, but would blur the figures.
    acting(&token, jobs.get_job(get("any"))).await?;
    let given = Duration::from_secs(40);
    let answer = within(context(given), jobs.get_job(get("remaining"))).await?.into_inner();
    let remaining: u128 = answer.job.context("no job")?.id.parse()?;
    ensure!((1..=given.as_millis()).contains(&remaining), "{remaining}");

    let started = Instant::now();
    let late = within(context(Duration::from_millis(200)), jobs.get_job(get("slow"))).await;
    ensure!(reason(late) == Some(ErrorReason::DeadlineExceeded) && started.elapsed() < Duration::from_secs(10));
    until("the handler is told to stop", || running.played.dropped.load(Ordering::SeqCst) == 1).await?;
    ensure!(running.played.calls() == 3, "a call that ran out of time is not repeated");

    let spent = within(context(Duration::ZERO), jobs.get_job(get("any"))).await;
    ensure!(reason(spent) == Some(ErrorReason::DeadlineExceeded) && running.played.calls() == 3);
    running.stop().await
}

#[tokio::test]
async fn the_request_s_id_travels_and_one_that_is_none_is_replaced() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(running.address)?;
    let mut seen = async |request_id: &str| -> Result<String> {
        let context = RequestContext {
            request_id: request_id.to_owned(),
            token: Some(token.clone().into()),
            ..RequestContext::default()
        };
        let answer = within(context, jobs.get_job(get("any"))).await?.into_inner();
        Ok(answer.job.context("no job")?.request_id)
    };
    ensure!(seen("req_mine").await? == "req_mine");
    for bad in ["", "a b", "../../etc/passwd", &"x".repeat(129)] {
        let replaced = seen(bad).await?;
        ensure!(runwarden_kit::id::is_valid("req", &replaced), "{replaced}");
    }
    running.stop().await
}

#[tokio::test]
async fn large_answers_and_wordy_refusals_arrive_whole() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(running.address)?;
    let large = acting(&token, jobs.get_job(get("large"))).await?.into_inner();
    ensure!(large.job.context("no job")?.id.len() == 3 * 1024 * 1024);
    let wordy = acting(&token, jobs.get_job(get("wordy"))).await.err().context("it must be refused")?;
    let error = Error::from_status(&wordy);
    ensure!(error.reason() == ErrorReason::ValidationFailed, "{error:?}");
    ensure!(error.detail() == "Much is wrong." && error.fields().len() > 50, "{}", error.fields().len());
    // What is too large is refused as such, and the connection lives on.
    let huge = acting(&token, jobs.submit_job(submit(&"x".repeat(5 * 1024 * 1024)))).await;
    ensure!(reason(huge) == Some(ErrorReason::PayloadTooLarge));
    acting(&token, jobs.get_job(get("any"))).await?;
    running.stop().await
}
