//! The data folder: who may read it, who may use it, and how its user is started and stopped.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use runwarden_harness::process::{Allowed, Process};
use runwarden_harness::{Controller, Signal, System, Tenant};
use serde_json::{Value, json};

use super::settings;

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_can_read_what_the_first_start_leaves() {
    let system = System::start(&settings()).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&system.data()), 0o700);
    for file in ["bootstrap.json", "runwarden.json"] {
        assert_eq!(mode(&system.data().join(file)), 0o600, "{file}");
    }
    let about: Value = serde_json::from_slice(&std::fs::read(system.data().join("runwarden.json")).unwrap()).unwrap();
    for key in ["base_url", "admin_base_url", "ca", "operator_certificate", "operator_key", "start_id", "started_at"] {
        assert!(about[key].is_string(), "{key}: {about}");
    }
    let mut folders = vec![system.data()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                assert_eq!(mode(&path), 0o700, "{}", path.display());
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "lock") {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_where_it_is_goes_when_it_stops_and_is_never_of_another_start() {
    let mut system = System::start(&settings()).await;
    let path = system.data().join("runwarden.json");
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
    let first = read();
    system.end(Signal::Term).await;
    assert!(!path.exists(), "after an orderly stop nobody is sent to a dead address");
    system.start_again().await;
    let second = read();
    assert_eq!(second["base_url"], first["base_url"], "it is where it was all the same");
    assert_ne!(second["start_id"], first["start_id"]);

    // One that was killed could not clean up. The next start does so before anything else, even one that fails.
    system.end(Signal::Kill).await;
    assert_eq!(read(), second);
    let data = system.data().display().to_string();
    let arguments = ["up", "--listen", "192.0.2.1:1", "--plain-behind-proxy", "--data-dir", &data];
    let mut failing = Process::start(env!("CARGO_BIN_EXE_runwarden").as_ref(), &arguments, &[], Allowed::default());
    assert_eq!(failing.ended().await.code(), Some(1));
    assert!(!path.exists(), "{}", failing.log().text());
    system.start_again().await;
    assert_eq!(read()["base_url"], first["base_url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_is_refused_and_its_user_goes_on() {
    let system = System::start(&settings()).await;
    let data = system.data().display().to_string();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", &data];
    let mut second = Process::start(env!("CARGO_BIN_EXE_runwarden").as_ref(), &arguments, &[], Allowed::default());
    assert_eq!(second.ended().await.code(), Some(1));
    let said = second.log().text();
    assert!(said.contains("is in use by another runwarden"), "{said}");
    let platform = system.reach().platform_admin().await;
    let _tenants = platform.get("/api/v1/tenants").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_quickly_and_well_when_asked_whatever_goes_on() {
    for signal in [Signal::Interrupt, Signal::Term] {
        let controller = Controller::start().await;
        let mut system = System::start(&settings()).await;
        let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
        acme.map_bare("hangs", "hangs").await;
        let job = acme.launcher.submit("hangs", json!({})).await;
        let id = job["id"].as_str().unwrap().to_owned();
        acme.launcher.becomes(&id, "running").await;
        // Somebody follows and somebody waits.
        let mut following = acme.launcher.follow(&id, None).await;
        let first = following.next().await.unwrap();
        assert_eq!(first.name, "state");
        let waiting = {
            let launcher = acme.launcher.clone();
            tokio::spawn(async move {
                launcher.call(reqwest::Method::GET, &format!("/api/v1/jobs/{id}?wait=60")).try_send().await
            })
        };
        let asked = Instant::now();
        system.end(signal).await;
        assert!(asked.elapsed() < Duration::from_secs(8), "it took {:?}", asked.elapsed());
        drop(following.rest().await);
        drop(waiting.await.unwrap());
        system.start_again().await;
    }
}
