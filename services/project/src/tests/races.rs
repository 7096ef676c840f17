//! What must hold however requests meet.

use super::*;

#[tokio::test]
async fn a_template_cannot_come_to_stand_on_a_controller_or_project_that_was_removed_meanwhile() {
    for remove_project in [false, true] {
        let world = world().await;
        let caller = admin("acme");
        world.create_controller(&caller, "awx").await.unwrap();
        world.access.hold(true);
        let creating = {
            let (services, caller) = (world.services.clone(), caller.clone());
            tokio::spawn(async move { services.templates.create_template(by(&caller, new_template("deploy"))).await })
        };
        // The first call was the controller's own check.
        world.access.arrived(2).await;
        if remove_project {
            world.delete_project(&caller, "web").await.unwrap();
        } else {
            world.delete_controller(&caller, "awx").await.unwrap();
        }
        world.access.hold(false);
        refused(creating.await.unwrap(), ErrorReason::Conflict);
        refused(world.resolve_template("acme", "deploy").await, ErrorReason::NotFound);
        assert_eq!(world.store.count("uses/").await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_and_removing_at_once_never_leaves_a_template_without_its_controller() {
    let world = world().await;
    let caller = admin("acme");
    for n in 0..20 {
        world.create_controller(&caller, "awx").await.unwrap();
        let name = format!("t{n}");
        let (created, removed) =
            tokio::join!(world.create_template(&caller, new_template(&name)), world.delete_controller(&caller, "awx"));
        assert!(!(created.is_ok() && removed.is_ok()), "both happened");
        if created.is_ok() {
            world.resolve_template("acme", &name).await.unwrap();
            let request = wire::DeleteTemplateRequest { name };
            world.services.templates.delete_template(by(&caller, request)).await.unwrap();
        }
        if removed.is_err() {
            world.delete_controller(&caller, "awx").await.unwrap();
        }
    }
    assert_eq!(world.store.count("uses/").await.unwrap(), 0);
    assert!(world.secrets.kept().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_controllers_created_at_once_under_one_name_one_wins_and_keeps_its_own_credential() {
    let world = Arc::new(world().await);
    let creating: Vec<_> = (0..8)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut request = new_controller("awx");
                request.url = format!("https://awx{n}.example");
                request.credential = Some(token(&format!("token{n}")));
                world.create_controller_as(&admin("acme"), None, request).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for created in creating {
        match created.await.unwrap() {
            Ok(controller) => winners.push(controller),
            Err(status) => assert_eq!(reason(&status), ErrorReason::AlreadyExists, "{status:?}"),
        }
    }
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    let number = winner.url.trim_start_matches("https://awx").trim_end_matches(".example").to_owned();
    let resolved = world.resolve_controller("acme", "awx").await.unwrap();
    let kept = world.secrets.kept();
    assert_eq!(kept.len(), 1, "the losers left nothing");
    assert_eq!(kept[&format!("acme/{}", resolved.secret_name)], format!(r#"{{"token":"token{number}"}}"#));
}

#[tokio::test]
async fn a_second_request_with_the_same_key_is_told_to_wait_while_the_first_runs() {
    let world = world().await;
    let caller = admin("acme");
    world.access.hold(true);
    let first = {
        let (services, caller) = (world.services.clone(), caller.clone());
        tokio::spawn(async move {
            let call = services.controllers.create_controller(by(&caller, new_controller("awx")));
            body(within(&caller, Some("k"), call).await)
        })
    };
    world.access.arrived(1).await;
    let second = world.create_controller_as(&caller, Some("k"), new_controller("awx")).await;
    refused(second, ErrorReason::IdempotencyInProgress);
    world.access.hold(false);
    let made = first.await.unwrap().unwrap().controller.unwrap();
    assert_eq!(world.create_controller_as(&caller, Some("k"), new_controller("awx")).await.unwrap(), made);
}
