//! Parts of the system go away and come back: nothing is done unrecorded, nothing is lost, nothing happens twice.

use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Apart, Api, Controller, Signal, Tenant, until};
use runwarden_kit::mesh::Service;
use runwarden_sandbox::Options;
use serde_json::{Value, json};

use super::{deployment, settings};

async fn apart() -> (Controller, Apart, Tenant) {
    let controller = Controller::start().await;
    let system = Apart::start(&settings()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    (controller, system, acme)
}

async fn submit(api: &Api, parameters: Value) -> Answer {
    api.post("/api/v1/jobs", &json!({"template": "deploy", "parameters": parameters})).await
}

async fn is_missing(reach: &runwarden_harness::Reach, service: Service) {
    let nobody = Api::anonymous(&reach.base_url);
    until(&format!("{service} to be missed"), async || {
        let answer = nobody.get("/api/v1/health/ready").await;
        (answer.status == 503).then(|| {
            let problem = answer.refused(503, "UNAVAILABLE");
            assert_eq!(problem["missing"], json!([service.name()]), "{problem}");
            assert!(!answer.header("retry-after").is_empty());
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_audit_log_nothing_is_lost_and_nothing_goes_unrecorded() {
    let (controller, mut system, acme) = apart().await;
    system.end(Service::Audit, Signal::Kill).await;
    is_missing(system.reach(), Service::Audit).await;
    // What has a store of its own keeps the record with the job until the log takes it.
    let accepted = submit(&acme.launcher, deployment()).await.expect(202);
    // A refusal that cannot be recorded is not reported as one.
    let wrong = acme.launcher.at(acme.admin.base()).get("/api/v1/clients").await;
    wrong.refused(503, "AUDIT_UNAVAILABLE");
    acme.admin.get("/api/v1/audit/records").await.refused(503, "UNAVAILABLE");
    system.bring_back(Service::Audit).await;
    system.whole().await;
    let job = acme.launcher.over(text(&accepted, "id")).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launched(), 1);
    let trail = acme.admin.trail(text(&job, "id")).await;
    for action in ["job.submit", "job.launch", "job.bind", "job.finish"] {
        assert_eq!(trail.iter().filter(|record| text(record, "action") == action).count(), 1, "{action}: {trail:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_secret_store_jobs_are_accepted_and_launched_when_it_is_back() {
    let (controller, mut system, acme) = apart().await;
    system.end(Service::Secret, Signal::Kill).await;
    is_missing(system.reach(), Service::Secret).await;
    let job = submit(&acme.launcher, deployment()).await.expect(202);
    let id = text(&job, "id");
    let with_secret = json!({"environment": "dev", "version": "1", "deploy_password": "not-to-be-lost"});
    submit(&acme.launcher, with_secret).await.refused(503, "UNAVAILABLE");
    until("the launch to wait", async || {
        let job = acme.launcher.job(id).await;
        assert_eq!(text(&job, "state"), "new", "{job}");
        text(&job, "progress").contains("credential").then_some(())
    })
    .await;
    assert_eq!(controller.launched(), 0);
    system.bring_back(Service::Secret).await;
    assert_eq!(text(&acme.launcher.over(id).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_projects_or_policies_jobs_are_refused_for_now() {
    let (controller, mut system, acme) = apart().await;
    for service in [Service::Project, Service::Policy] {
        system.end(service, Signal::Kill).await;
        is_missing(system.reach(), service).await;
        let refused = submit(&acme.launcher, deployment()).await;
        refused.refused(503, "UNAVAILABLE");
        assert!(!refused.header("retry-after").is_empty());
        system.bring_back(service).await;
        system.whole().await;
    }
    assert!(acme.launcher.all("/api/v1/jobs").await.is_empty(), "what was refused is no job");
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_whoever_has_a_token_is_served_and_launches_wait_for_proof() {
    let (controller, mut system, acme) = apart().await;
    // Every service has heard of the tenant after this.
    assert_eq!(text(&acme.launcher.run("deploy", deployment()).await, "state"), "succeeded");
    system.end(Service::Auth, Signal::Kill).await;
    is_missing(system.reach(), Service::Auth).await;
    let refused = Api::ask_token(&system.reach().base_url, &acme.launcher_credentials).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    // What is accepted a second and a half after the last news of auth is not launched until auth vouches for its caller.
    let waiting = until("a launch to wait for auth", async || {
        let job = submit(&acme.launcher, deployment()).await.expect(202);
        let id = text(&job, "id").to_owned();
        let job = until("the launch or a reason", async || {
            let job = acme.launcher.job(&id).await;
            let begun = text(&job, "state") != "new";
            (begun || text(&job, "progress").contains("client may still run it")).then_some(job)
        })
        .await;
        (text(&job, "state") == "new").then_some(id)
    })
    .await;
    let launched = controller.launched();
    system.bring_back(Service::Auth).await;
    system.whole().await;
    assert_eq!(text(&acme.launcher.over(&waiting).await, "state"), "succeeded");
    assert_eq!(controller.launched(), launched + 1);
    let again = system.reach().caller(&acme.launcher_credentials).await;
    assert_eq!(text(&again.run("deploy", deployment()).await, "state"), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_executor_requests_wait_for_nothing_and_jobs_go_on_afterwards() {
    let (controller, mut system, acme) = apart().await;
    acme.map_bare("hangs", "hangs").await;
    let id = text(&acme.launcher.submit("hangs", json!({})).await, "id").to_owned();
    acme.launcher.becomes(&id, "running").await;
    system.end(Service::Executor, Signal::Kill).await;
    is_missing(system.reach(), Service::Executor).await;
    submit(&acme.launcher, deployment()).await.refused(503, "UNAVAILABLE");
    acme.launcher.get(&format!("/api/v1/jobs/{id}")).await.refused(503, "UNAVAILABLE");
    system.bring_back(Service::Executor).await;
    system.whole().await;
    let _asked = acme.launcher.act(&format!("/api/v1/jobs/{id}/cancel")).await.expect(202);
    assert_eq!(text(&acme.launcher.over(&id).await, "state"), "canceled");
    assert_eq!(controller.launched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_controller_a_job_waits_and_runs_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Options { data_dir: Some(folder.path().to_owned()), speed: 20.0, ..Options::default() };
    let controller = Controller::start_with(kept.clone()).await;
    let address = controller.sandbox().address();
    let system = runwarden_harness::System::start(&settings()).await;
    let acme = Tenant::onboard(system.reach(), "acme", &controller).await;
    acme.map("deploy", "deploy").await;
    controller.stop().await;
    let id = text(&acme.launcher.submit("deploy", deployment()).await, "id").to_owned();
    until("the launch to wait", async || {
        let job = acme.launcher.job(&id).await;
        assert_eq!(text(&job, "state"), "new", "{job}");
        (!text(&job, "progress").is_empty()).then_some(())
    })
    .await;
    acme.admin.get("/api/v1/controllers/awx/templates").await.refused(503, "CONTROLLER_UNREACHABLE");
    let controller = Controller::start_with(Options { listen: address, ..kept }).await;
    let job = acme.launcher.over(&id).await;
    assert_eq!(text(&job, "state"), "succeeded", "{job}");
    assert_eq!(controller.launches("deploy").len(), 1);
}
