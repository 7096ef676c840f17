//! Secrets and keys are replaced while everything runs.

use runwarden_harness::jobs::text;
use runwarden_harness::{Api, Credentials, Signal, until};
use serde_json::{Value, json};

use super::{acme, settings};

#[tokio::test(flavor = "multi_thread")]
async fn during_the_rotation_of_a_client_secret_both_work() {
    let (_controller, system, acme) = acme(&settings()).await;
    let base = &system.reach().base_url;
    let old = acme.launcher_credentials.clone();
    let path = format!("/api/v1/clients/{}", old.id);
    let before = acme.admin.get(&path).await.expect(200);
    let old_secret = text(&before["secrets"][0], "id");
    let rotated = acme.admin.act(&format!("{path}/rotate-secret")).await;
    assert!([200, 201].contains(&rotated.status), "{}", rotated.text);
    let new = Credentials::of(&rotated.json());
    assert_ne!(new.secret, old.secret);
    for credentials in [&old, &new] {
        let _token = Api::ask_token(base, credentials).await.expect(200);
    }
    // Two are enough.
    acme.admin.act(&format!("{path}/rotate-secret")).await.refused(409, "CONFLICT");
    let retired = acme.admin.delete(&format!("{path}/secrets/{old_secret}")).await;
    assert!([200, 204].contains(&retired.status), "{}", retired.text);
    assert_eq!(Api::ask_token(base, &old).await.expect(401)["error"], "invalid_client");
    let _token = Api::ask_token(base, &new).await.expect(200);
}

fn kid(token: &str) -> String {
    use std::collections::BTreeMap;
    let header = token.split('.').next().unwrap();
    let table: BTreeMap<char, u32> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).zip(0..).collect();
    let bits: Vec<u32> = header.chars().map(|c| table[&c]).collect();
    let bytes: Vec<u8> = bits
        .chunks(4)
        .flat_map(|four| {
            let all = four.iter().enumerate().fold(0, |sum, (at, bits)| sum | (bits << (18 - 6 * at)));
            all.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect();
    text(&serde_json::from_slice::<Value>(&bytes).unwrap(), "kid").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_earlier_signing_key_go_on_holding() {
    let (_controller, system, acme) = acme(&settings().that_stays().set("RUNWARDEN_AUTH_KEY_OVERLAP", "2s")).await;
    let mut system = system;
    let platform = system.reach().platform_admin().await;
    let old = kid(acme.launcher.token());
    let rotated = platform.act("/api/v1/keys/signing/rotate").await;
    assert!([200, 201].contains(&rotated.status), "{}", rotated.text);
    let new = until("the new key to sign", async || {
        let caller = system.reach().caller(&acme.launcher_credentials).await;
        // Whatever signs, every token is good at once.
        let _jobs = caller.get("/api/v1/jobs").await.expect(200);
        (kid(caller.token()) != old).then_some(caller)
    })
    .await;
    let published = Api::anonymous(&system.reach().base_url).get("/api/v1/auth/jwks.json").await.expect(200);
    let published: Vec<&str> = published["keys"].as_array().unwrap().iter().map(|key| text(key, "kid")).collect();
    assert!(published.contains(&old.as_str()) && published.contains(&kid(new.token()).as_str()), "{published:?}");
    for signal in [Signal::Term, Signal::Kill] {
        for caller in [&acme.launcher, &new] {
            let _jobs = caller.get("/api/v1/jobs").await.expect(200);
        }
        system.restart(signal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_while_jobs_with_secrets_run() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let platform = system.reach().platform_admin().await;
    let before = platform.get("/api/v1/keys/master").await.expect(200);
    let mut jobs = Vec::new();
    for round in 0..4 {
        for number in 0..3 {
            let parameters = json!({
                "environment": "dev", "version": format!("{round}.{number}"),
                "deploy_password": format!("password-{round}.{number}"),
            });
            jobs.push(acme.launcher.submit("deploy", parameters).await);
        }
        let rotated = platform.act("/api/v1/keys/master/rotate").await;
        assert!([200, 201].contains(&rotated.status), "{}", rotated.text);
    }
    for job in &jobs {
        assert_eq!(text(&acme.launcher.over(text(job, "id")).await, "state"), "succeeded");
    }
    for run in controller.launches("deploy") {
        let variables = controller.run(run).await["extra_vars"].clone();
        assert_eq!(text(&variables, "deploy_password"), format!("password-{}", text(&variables, "version")));
    }
    assert_ne!(platform.get("/api/v1/keys/master").await.expect(200), before);
    assert_eq!(controller.launched(), jobs.len());
}
