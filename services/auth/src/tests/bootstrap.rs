//! The first administrator.

use std::os::unix::fs::PermissionsExt;

use super::*;
use runwarden_kit::caller::Scope;
use runwarden_kit::tenant::TenantId;

#[tokio::test]
async fn the_first_start_leaves_working_credentials_for_its_owner_alone() {
    let place = Place::new();
    let (world, admin) = place.with_admin().await;
    let mode = std::fs::metadata(place.dir.path().join("bootstrap.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(admin.home_tenant, None);
    for permission in runwarden_kit::permission::Permission::ALL {
        assert!(admin.holds(*permission, &Scope::project(&TenantId::trusted("acme"), "web")), "{permission}");
    }
    assert!(!world.everything().await.contains(&place.bootstrap().secret));
    assert_eq!(world.entries("client.create").await.len(), 1);
}

#[tokio::test]
async fn a_second_start_makes_no_second_administrator() {
    let place = Place::new();
    drop(place.start().await);
    let first = place.bootstrap();
    let world = place.start().await;
    assert_eq!(place.bootstrap().id, first.id);
    assert_eq!(world.store.count("clients/_platform/").await.unwrap(), 1);
    // Once the file has been removed, no other is written.
    std::fs::remove_file(place.dir.path().join("bootstrap.json")).unwrap();
    drop(world);
    let world = place.start().await;
    assert!(!place.dir.path().join("bootstrap.json").exists());
    world.login(&first).await;
}

#[tokio::test]
async fn credentials_written_before_a_crash_are_the_ones_that_work_after_it() {
    let crashed = Place::new();
    drop(crashed.start().await);
    let written = crashed.bootstrap();
    // The file is there, the store is not: as if the process had died between the two.
    for file in ["auth.db", "auth.db-wal", "auth.db-shm"] {
        let _gone = std::fs::remove_file(crashed.dir.path().join(file));
    }
    let world = crashed.start().await;
    assert_eq!(crashed.bootstrap().id, written.id);
    world.login(&written).await;
}

#[tokio::test]
async fn the_file_goes_where_the_settings_say() {
    let mut place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    place.config.bootstrap_file = Some(elsewhere.path().join("deep/first.json"));
    place.start().await;
    assert!(elsewhere.path().join("deep/first.json").exists());
    assert!(!place.dir.path().join("bootstrap.json").exists());
}
