//! What the conformance suites of all stores share: how a promise becomes a test, and how the store under it is made to
//! fail.
//!
//! A suite is a module of functions, one for each promise of a trait, that know no engine. An engine runs a suite with a
//! thin file of its own: how to open a fresh store, and its [`Faults`].

mod faults;

pub use faults::{Cut, Faults, at_every_call, failing_commits};

/// Makes one test of each function of a suite. `$make` is an async function without arguments that answers
/// `anyhow::Result<(guard, subject)>`; the guard keeps what the subject needs (a folder, a server) alive, and the
/// subject goes to the function. The tests run on two threads, so that writers do race.
#[macro_export]
macro_rules! conformance_tests {
    ($make:path, $suite:tt, $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                let (_guard, subject) = $make().await?;
                $crate::conformance_tests!(@run $suite $name subject)
            }
        )+
    };
    (@run [$($suite:tt)*] $name:ident $subject:ident) => { $($suite)*::$name($subject).await };
}
