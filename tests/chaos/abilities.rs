//! What the system under test can do, so that the round asks for nothing else.

use std::path::Path;
use std::process::Command;

use runwarden_harness::{Api, Reach};
use serde_json::Value;

/// What it can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// An operator can resolve what is unknown.
    pub(crate) resolves: bool,
    /// A job can have a time by which it must have begun.
    pub(crate) deadlines: bool,
}

impl Abilities {
    /// Read from the API's own description.
    pub(crate) async fn of(reach: &Reach) -> Self {
        let api = Api::anonymous(&reach.admin_base_url).get("/api/v1/openapi.json").await.expect(200);
        let fields = api.pointer("/components/schemas/SubmitJob/properties").and_then(Value::as_object);
        Self {
            resolves: api["paths"].as_object().is_some_and(|paths| paths.contains_key("/api/v1/jobs/{id}/resolve")),
            deadlines: fields.is_some_and(|fields| fields.contains_key("start_by")),
        }
    }
}

/// Whether several executors can share their jobs, by what the program says of itself.
pub(crate) fn executors_share(program: &Path) -> bool {
    let help = Command::new(program.with_file_name("runwarden-executor")).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("RUNWARDEN_EXECUTOR_JOBS_FILE"))
}
