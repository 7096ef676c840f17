//! How a suite makes a store fail, whatever its engine.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use async_trait::async_trait;

/// At how many points of an operation the connection is lost in turn, at most.
const POINTS: usize = 40;

/// What an engine can be made to do wrong. Faults strike every handle of the store.
#[async_trait]
pub trait Faults: Send + Sync {
    /// From now on every commit fails and leaves nothing.
    async fn fail_commits(&self);

    /// Loses the connection at this call to the engine, counted from 1 from now on, once. A call is whatever the engine
    /// can tell apart: the finer, the better. Whether a commit that is cut off took effect is open.
    async fn lose_connection_at(&self, call: usize);

    /// All works again. Answers how many calls were made since the last fault was asked for.
    async fn heal(&self) -> usize;
}

/// The moment of a scene at which the connection is lost.
pub struct Cut<'a> {
    faults: &'a dyn Faults,
    at: usize,
    calls: AtomicUsize,
    failures: AtomicUsize,
}

impl Cut<'_> {
    /// Does something during which the connection is lost. Its answer is whatever the store made of that.
    pub async fn during<T, E: Debug>(&self, operation: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.faults.lose_connection_at(self.at).await;
        let answer = operation.await;
        self.calls.fetch_max(self.faults.heal().await, Ordering::SeqCst);
        self.failures.fetch_add(usize::from(answer.is_err()), Ordering::SeqCst);
        answer
    }
}

/// Plays a scene once as it should be, and then with the connection lost at each of its calls in turn, or at a good many
/// spread over all of them. The scene says with [`Cut::during`] what is cut off, and judges what is left afterwards.
///
/// # Errors
/// When the scene does, or when the store never noticed that its connection was lost.
pub async fn at_every_call(faults: &dyn Faults, mut scene: impl AsyncFnMut(&Cut<'_>) -> Result<()>) -> Result<()> {
    let cut = |at| Cut { faults, at, calls: AtomicUsize::new(0), failures: AtomicUsize::new(0) };
    let whole = cut(usize::MAX);
    scene(&whole).await?;
    ensure!(whole.failures.into_inner() == 0, "the store fails without a fault");
    let calls = whole.calls.into_inner();
    let points = calls.min(POINTS);
    let mut failures = 0;
    for point in 1..=points {
        let lost = cut(calls * point / points);
        scene(&lost).await.map_err(|error| error.context(format!("the connection was lost at call {}", lost.at)))?;
        failures += lost.failures.into_inner();
    }
    ensure!(failures > 0, "the connection was never lost");
    Ok(())
}

/// Does something while every commit fails.
///
/// # Errors
/// When it succeeds all the same.
pub async fn failing_commits<T, E>(faults: &dyn Faults, operation: impl Future<Output = Result<T, E>>) -> Result<()> {
    faults.fail_commits().await;
    let answer = operation.await;
    faults.heal().await;
    ensure!(answer.is_err(), "nothing was committed, and the store says that all is well");
    Ok(())
}
