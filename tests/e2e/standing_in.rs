//! Runwarden in place of the run task proxy when something goes wrong while it is made: the process dies, AAP is away,
//! or refuses the password, or nobody signed its certificate.

use std::os::unix::process::ExitStatusExt as _;

use runwarden_harness::jobs::text;
use runwarden_harness::ports::Port;
use runwarden_harness::{Controller, Signal, System, TlsFront, until};

use super::run_tasks::{
    KEY, OLD_ROUTE, Place, REFUSED, TAKEN, auth, forward, send, send_text, shown, status, the_hook,
};
use super::settings;

/// Kills the next start at this place.
async fn dies_at(system: &mut System, point: &str) {
    system.set("RUNWARDEN_UP_FAILPOINT", point);
    assert_eq!(system.start_to_end().await.signal(), Some(9), "{point}: {}", system.log());
    system.set("RUNWARDEN_UP_FAILPOINT", "");
}

/// A run task that is taken and ends well.
async fn passes(system: &System, place: &Place, number: usize) {
    let task = place.terraform.task(number, "pre_plan");
    let answer = send(&system.reach().base_url, OLD_ROUTE, &task).await;
    assert_eq!(shown(&answer), (200, TAKEN), "{}", system.log());
    let result = place.terraform.result(&task).await;
    assert_eq!(status(&result), "passed", "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_process_dies_while_it_is_made_the_next_start_finishes_it() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let ordinary = settings().that_stays().set("RUNWARDEN_EDGE_PLAIN_BEHIND_PROXY", "true");
    let mut system = System::start(&ordinary).await;
    system.end(Signal::Term).await;
    for (name, value) in place.variables(&controller, "ask-variables") {
        system.set(name, &value);
    }
    for point in ["tenant", "project", "controller", "controller.kept", "template", "account", "hook.made", "done"] {
        dies_at(&mut system, point).await;
    }
    system.start_again().await;
    let (_, hook) = the_hook(&system).await;
    assert_eq!(hook["keys"].as_array().unwrap().len(), 1);
    passes(&system, &place, 1).await;
    assert!(!system.log().contains("HMAC_KEY has changed"), "it has not");

    // Another key, a weak one. The old one goes, wherever it dies.
    system.end(Signal::Term).await;
    system.set("HMAC_KEY", "short");
    for point in ["key.allowed", "key.added", "key.retired"] {
        dies_at(&mut system, point).await;
    }
    system.start_again().await;
    let (_, hook) = the_hook(&system).await;
    let keys = hook["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["weak"]), (1, &serde_json::Value::Bool(true)), "{hook}");
    let (base, task) = (system.reach().base_url.clone(), place.terraform.task(2, "pre_plan"));
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (401, REFUSED), "the old key");
    let answer = send_text(&base, OLD_ROUTE, "short", &task.request.to_string()).await.unwrap();
    assert_eq!(shown(&answer), (200, TAKEN));

    // Another template and a strong key: the module goes along, because it is still known to be ours.
    system.end(Signal::Term).await;
    system.set("HMAC_KEY", KEY);
    system.set("AAP_JOB_TEMPLATE_ID", &Controller::template("fails").to_string());
    dies_at(&mut system, "hook.changed").await;
    system.set("AAP_JOB_TEMPLATE_ID", &Controller::template("ask-variables").to_string());
    system.start_again().await;
    let (_, hook) = the_hook(&system).await;
    let id = Controller::template("ask-variables");
    assert!(text(&hook, "module").contains(&format!("job template {id} ")), "{hook}");
    assert!(!system.log().contains("was changed by somebody"), "nobody has");
    assert!(!hook["weaknesses"].to_string().contains("weak_key") && hook["settings"].get("allow_weak_key").is_none());
    passes(&system, &place, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_another_aap_that_is_cut_off_is_finished() {
    let (one, other, place) = (Controller::start().await, Controller::start().await, Place::new().await);
    let mut system = System::start(&place.environment(&one, "ask-variables")).await;
    passes(&system, &place, 1).await;
    let moves = [("controller", &other), ("controller.kept", &one), ("template", &other)];
    for (number, (point, aap)) in (2..).zip(moves) {
        system.end(Signal::Term).await;
        system.set("AAP_HOST", &aap.sandbox().url());
        system.set("AAP_AUTH", &auth(&aap.sandbox().password()));
        dies_at(&mut system, point).await;
        system.start_again().await;
        let before = aap.launched();
        passes(&system, &place, number).await;
        assert_eq!(aap.launched(), before + 1, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_replaced_is_refused_at_once_even_while_aap_is_away() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let port = Port::take();
    let mut aap = forward(port.address(), controller.sandbox().address()).await;
    let settings = place.environment(&controller, "ask-variables");
    let mut system = System::start(&settings.set("AAP_HOST", &format!("http://{}", port.address()))).await;
    passes(&system, &place, 1).await;
    system.end(Signal::Term).await;
    aap.abort_all();
    drop(aap);
    let fresh = "fedcba9876543210fedcba9876543210";
    system.set("HMAC_KEY", fresh);
    // For this, AAP is needed.
    system.set("AAP_JOB_TEMPLATE_ID", &Controller::template("fails").to_string());
    system.start_again().await;
    assert!(system.log().contains("run tasks are taken as before"), "{}", system.log());
    let (base, task) = (system.reach().base_url.clone(), place.terraform.task(2, "pre_plan"));
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (401, REFUSED), "it may have leaked");
    let answer = send_text(&base, OLD_ROUTE, fresh, &task.request.to_string()).await.unwrap();
    assert_eq!(shown(&answer), (200, TAKEN));
    let _aap = forward(port.address(), controller.sandbox().address()).await;
    let template = format!("run-task-{}", Controller::template("fails"));
    until("the rest to be taken over", async || {
        let (_, hook) = the_hook(&system).await;
        (text(&hook, "template") == template).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_aap_refuses_is_not_tried_at_each_start() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let mut system = System::start(&place.environment(&controller, "ask-variables")).await;
    system.allow_error("AAP_AUTH");
    system.end(Signal::Term).await;
    system.set("AAP_AUTH", &auth("hunter2"));
    let mut tried = Vec::new();
    for _ in 0..3 {
        controller.reset_requests().await;
        assert_eq!(system.start_to_end().await.code(), Some(1));
        tried.push(controller.requests_to("/me/").await);
    }
    assert!(tried[0] > 0 && tried[1..] == [0, 0], "{tried:?}");
    assert!(system.log().contains("the same password is not tried again for"), "{}", system.log());
    system.set("AAP_AUTH", &auth(&controller.sandbox().password()));
    system.start_again().await;
    passes(&system, &place, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn insecure_verifies_neither_aap_nor_terraform_and_says_so() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let aap = TlsFront::start(controller.sandbox().address()).await;
    let settings = place.environment(&controller, "ask-variables").set("AAP_HOST", &aap.host());
    let insecure = settings.clone().set("INSECURE", "true").set("COMBINED_FILE", "/nowhere/combined.crt");
    let system = System::start(&insecure).await;
    assert!(system.log().contains("INSECURE=true"), "{}", system.log());
    assert!(system.log().contains("COMBINED_FILE /nowhere/combined.crt cannot be read"), "the proxy did not need it");
    passes(&system, &place, 1).await;
    assert_eq!(controller.launched(), 1);
    drop(system);

    // Without it, AAP has to be known by COMBINED_FILE, which has Terraform only.
    let mut system = System::start(&settings).await;
    assert!(system.log().contains("it is tried again"), "{}", system.log());
    let (base, task) = (system.reach().base_url.clone(), place.terraform.task(2, "pre_plan"));
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (401, REFUSED));
    let both = place.folder.path().join("both.pem");
    std::fs::write(&both, format!("{}{}", place.terraform.ca_pem(), aap.ca_pem())).unwrap();
    system.set("COMBINED_FILE", &both.display().to_string());
    system.restart(Signal::Term).await;
    passes(&system, &place, 3).await;
    assert_eq!(controller.launched(), 2);
}
