//! Stopping: what is under way is finished, what does not end is cut off, and both in time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use runwarden_kit::mesh::DRAIN_LIMIT;
use runwarden_proto::executor::v1::{GetJobRequest, WatchJobRequest};

use crate::support::{House, PATIENCE, acting, until};

#[tokio::test]
async fn a_call_under_way_is_answered_before_the_service_ends() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let slow = tokio::spawn({
        let mut jobs = house.edge(running.address)?;
        async move { acting(&token, jobs.get_job(GetJobRequest { id: "slow".into(), wait_seconds: 0 })).await }
    });
    until("the slow call", || running.played.calls() == 1).await?;
    running.tasks.shutdown().begin();
    let played = running.played.clone();
    let ending = tokio::spawn(running.stop());
    played.release.0.add_permits(1);
    ensure!(slow.await??.into_inner().job.is_some_and(|job| job.id == "released"));
    ending.await?
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_off() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let token = house.signer.good()?;
    let mut jobs = house.edge(running.address)?;
    let mut stream = acting(&token, jobs.watch_job(WatchJobRequest::default())).await?.into_inner();
    stream.message().await?.context("the stream ended")?;
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
    running.tasks.shutdown().begin();
    let begun = Instant::now();
    ensure!(running.tasks.join(PATIENCE).await, "the service hangs on a stream");
    ensure!((DRAIN_LIMIT..DRAIN_LIMIT + Duration::from_secs(8)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    tokio::time::timeout(PATIENCE, reading).await.context("the connection still stands")??;
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_stopping_takes_no_new_connections() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let at = running.address;
    running.stop().await?;
    ensure!(tokio::net::TcpStream::connect(at).await.is_err());
    Ok(())
}
