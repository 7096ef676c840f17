//! What to try next: lines that work as they are printed.

use runwarden_kit::mesh::Service;
use serde_json::Value;

use super::story::{TEMPLATE, Told};
use super::tell::Teller;
use crate::terminal::announce;
use crate::up::Running;

/// Prints them.
pub(super) fn tell(running: &Running, told: &Told, teller: &Teller) -> anyhow::Result<()> {
    let facts: Value = serde_json::from_slice(&std::fs::read(running.layout.runwarden_json())?)?;
    let fact = |key: &str| facts.get(key).and_then(Value::as_str).unwrap_or_default();
    let executor = running.grpc.get(&Service::Executor).cloned().unwrap_or_default();
    let (base, job) = (&running.base_url, &told.job);
    teller.step("What to try next (it stays up; Ctrl-C stops it, and the next start continues with the same data)");
    announce(format_args!(
        r#"
# documentation to read and to try:  {base}/docs   (everything: {admin}/docs)

# from the command line, as the CI client:
{program} login --url {base} --credentials '{credentials}' --profile demo
{program} templates show {TEMPLATE}
{program} run {TEMPLATE} environment=staging version=2.0 --follow
{program} jobs list

# as a program does it:
TOKEN=$(curl -s -u "$(cat '{credentials}')" -d grant_type=client_credentials {base}/api/v1/auth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

curl -s -w '\n' -H "Authorization: Bearer $TOKEN" {base}/api/v1/jobs/{job}
curl -s -w '\n' -X POST -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H "Idempotency-Key: my-first-one" \
  -d '{{"template":"{TEMPLATE}","parameters":{{"environment":"staging","version":"2.0"}}}}' {base}/api/v1/jobs

grpcurl -cacert '{ca}' -cert '{cert}' -key '{key}' -H "authorization: Bearer $TOKEN" \
  {executor} runwarden.executor.v1.JobService/ListJobs

{program} audit verify --records '{export}' --key '{verifier_key}'
"#,
        admin = running.admin_base_url,
        credentials = told.credentials.display(),
        ca = fact("ca"),
        cert = fact("operator_certificate"),
        key = fact("operator_key"),
        export = told.export.display(),
        verifier_key = told.verifier_key,
        program = program(),
    ));
    Ok(())
}

/// How this program is called from here: by its name where that finds it.
fn program() -> String {
    let Ok(this) = std::env::current_exe() else { return "runwarden".to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("runwarden")).find(|program| program.is_file());
    if found.and_then(|found| found.canonicalize().ok()) == Some(this.clone()) {
        "runwarden".to_owned()
    } else {
        this.display().to_string()
    }
}
