//! Every service as a process of its own.

use runwarden_harness::{Apart, Controller};

use super::{main_job, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_works_with_every_service_as_a_process_of_its_own() {
    let controller = Controller::start().await;
    let system = Apart::start(&settings()).await;
    main_job::walk(system.reach(), &controller, system.scratch()).await;
}
