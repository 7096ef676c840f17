//! What a controller is when it is set up anew or restored: the same installation or another, and whose ids come again.

use crate::support::{Bench, Result, kept_in, options};
use reqwest::Method;
use runwarden_sandbox::Options;
use serde_json::{Value, json};

async fn install_uuid(bench: &Bench) -> Result<Value> {
    // Anyone may ask.
    let answer = bench.bare(Method::GET, "/api/v2/ping/").send().await?.json::<Value>().await?;
    Ok(answer["install_uuid"].clone())
}

#[tokio::test]
async fn an_installation_keeps_its_uuid_and_one_set_up_anew_has_another() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let first = Bench::with(kept_in(dir.path())).await?;
    let uuid = install_uuid(&first).await?;
    assert!(uuid.as_str().is_some_and(|text| text.len() == 36), "{uuid}");
    let address = first.sandbox.address();
    first.sandbox.stop().await;
    let again = Bench::with(kept_in(dir.path())).await?;
    assert_eq!(install_uuid(&again).await?, uuid, "it is kept in the data directory");
    let anew = Bench::with(Options { listen: address, ..options() }).await?;
    assert_ne!(install_uuid(&anew).await?, uuid, "at the same address, and another installation");
    Ok(())
}

#[tokio::test]
async fn after_a_restore_ids_come_again_and_the_ledger_keeps_both_runs() -> Result<()> {
    let bench = Bench::start().await?;
    let uuid = install_uuid(&bench).await?;
    let kept = bench.launch(9, json!({})).await?;
    bench.ended(kept).await?;
    let lost = bench.hanging().await?;
    bench.lever(Method::POST, "restore", json!({"last_run": kept})).await?;
    assert_eq!(bench.get(&format!("/api/v2/jobs/{lost}/")).await?.0, 404);
    assert_eq!(bench.get(&format!("/api/v2/jobs/{kept}/")).await?.0, 200);
    let again = bench.launch(9, json!({})).await?;
    assert_eq!(again, lost, "its id comes again");
    bench.ended(again).await?;
    assert_eq!(install_uuid(&bench).await?, uuid, "the installation is the same");
    let ran: Vec<(u64, String)> = bench.sandbox.ledger().iter().map(|e| (e.run, e.ran.status.clone())).collect();
    let expected = [(kept, "successful"), (lost, "deleted"), (again, "successful")];
    assert_eq!(ran, expected.map(|(run, status)| (run, status.to_owned())));
    Ok(())
}
