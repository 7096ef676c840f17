//! How fast Runwarden is and what it costs, measured on the real programs. Figures are printed beside what is aimed
//! for; nothing fails for being slow. Linux only: processor time and memory are read from `/proc`.
#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

mod compare;
mod controller;
mod deliveries;
mod figures;
mod flat;
mod load;
mod machine;
mod profile;
mod reads;
mod resume;
mod stage;
mod store;
mod submit;
mod sweep;
mod usage;
mod waits;

use clap::{Parser, Subcommand};

/// Measures Runwarden under load and prints what it found.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// Everything small, in less than a minute: shows that the benchmark works, not how fast Runwarden is.
    #[arg(long, global = true)]
    quick: bool,
    /// Cargo says this to every benchmark.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Clone, Subcommand)]
enum What {
    /// All of the following.
    All,
    /// From submitting a job to the controller's being asked to launch it.
    Submit,
    /// What following thousands of runs costs.
    Sweep,
    /// How soon everything continues after a kill.
    Resume,
    /// How many reads a second are answered: needs wrk.
    Reads,
    /// What thousands of callers cost that wait while nothing happens.
    Waits,
    /// Where the processor time of a submit and of a whole job goes: perf shows more of it.
    Profile,
    /// The store of jobs by itself: durable intents, and whole lives of jobs, a second.
    Store,
    /// What accepting and claiming a job costs beside up to a million others.
    Flat,
    /// Runwarden beside the design that it replaces: needs PostgreSQL and wrk.
    Compare,
    /// From webhooks to launches, beside ansible-rulebook, and callbacks: needs wrk, Java and ansible-rulebook.
    Deliveries,
    /// The controller, in a process of its own: what this program starts itself as.
    #[command(hide = true)]
    Controller(controller::Options),
}

fn main() {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let what = cli.what.unwrap_or(What::All);
    if let What::Controller(options) = what {
        runtime.block_on(controller::serve(options));
        return;
    }
    machine::describe(cli.quick);
    if matches!(what, What::All | What::Submit) {
        runtime.block_on(submit::measure(cli.quick));
    }
    if matches!(what, What::All | What::Sweep) {
        runtime.block_on(sweep::measure(cli.quick));
    }
    if matches!(what, What::All | What::Resume) {
        runtime.block_on(resume::measure(cli.quick));
    }
    if matches!(what, What::All | What::Reads) {
        runtime.block_on(reads::measure(cli.quick));
    }
    if matches!(what, What::All | What::Waits) {
        runtime.block_on(waits::measure(cli.quick));
    }
    if matches!(what, What::All | What::Profile) {
        runtime.block_on(profile::measure(cli.quick));
    }
    if matches!(what, What::All | What::Store) {
        runtime.block_on(store::measure(cli.quick));
    }
    if matches!(what, What::All | What::Flat) {
        runtime.block_on(flat::measure(cli.quick));
    }
    let mut whole = true;
    if matches!(what, What::All | What::Compare) {
        whole = runtime.block_on(compare::measure(cli.quick));
    }
    if matches!(what, What::All | What::Deliveries) {
        whole &= runtime.block_on(deliveries::measure(cli.quick));
    }
    println!("\nLoad average at the end: {}", machine::load());
    // A comparison that was skipped must not look like success if it is all that was asked for.
    if matches!(what, What::Compare | What::Deliveries) && !whole {
        std::process::exit(3);
    }
}
