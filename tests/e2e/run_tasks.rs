//! Terraform run tasks: one launch and one final result, whatever is repeated, forged, killed or away; and Runwarden in
//! place of the proxy that it replaces, with nothing but its environment.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_harness::jobs::text;
use runwarden_harness::{Answer, Api, Controller, Settings, Signal, System, Task, Tenant, Terraform, until};
use serde_json::{Value, json};

use super::{acme, settings};

pub(super) const KEY: &str = "0123456789abcdef0123456789abcdef";
pub(super) const OLD_ROUTE: &str = "/webhook/tfe-analytics/run-task";
pub(super) const TAKEN: &str = r#"{"message":"Playbook triggered successfully"}"#;
pub(super) const REFUSED: &str = r#"{"error":"HMAC validation failed"}"#;
const MISSING: &str = r#"{"error":"Invalid JSON or missing data"}"#;

/// Sends what Terraform sends, signed with this key.
pub(super) async fn send_text(base: &str, path: &str, key: &str, body: &str) -> Option<Answer> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let call = Api::anonymous(base).call(reqwest::Method::POST, path);
    let call =
        call.header("x-tfc-task-signature", &hex).header("user-agent", "TFC/1.0 (+https://app.terraform.io; TFC)");
    call.json_text(body).try_send().await.ok()
}

pub(super) async fn send(base: &str, path: &str, task: &Task) -> Answer {
    send_text(base, path, KEY, &task.request.to_string()).await.unwrap()
}

pub(super) fn shown(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.text.as_str())
}

pub(super) fn status(result: &Value) -> &str {
    text(&result["data"]["attributes"], "status")
}

fn message(result: &Value) -> &str {
    text(&result["data"]["attributes"], "message")
}

/// What runs of the controller were given as `run_id`, in their order.
pub(super) fn run_ids(controller: &Controller) -> Vec<String> {
    controller.ledger().iter().map(|entry| entry.extra_vars["run_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// `AAP_AUTH` with this password.
pub(super) fn auth(password: &str) -> String {
    STANDARD.encode(format!("runwarden:{password}"))
}

/// A Terraform whose results may reach it, with its authority in a file.
pub(super) struct Place {
    pub(super) terraform: Terraform,
    pub(super) folder: tempfile::TempDir,
}

impl Place {
    pub(super) async fn new() -> Self {
        let terraform = Terraform::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), terraform.ca_pem()).unwrap();
        Self { terraform, folder }
    }

    fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// The environment of the replaced program, with one of the sandbox's templates.
    pub(super) fn environment(&self, controller: &Controller, template: &str) -> Settings {
        let variables = self.variables(controller, template);
        let settings = settings().that_stays().set("RUNWARDEN_EDGE_PLAIN_BEHIND_PROXY", "true");
        variables.iter().fold(settings, |settings, (name, value)| settings.set(name, value))
    }

    /// The same, variable by variable.
    pub(super) fn variables(&self, controller: &Controller, template: &str) -> [(&'static str, String); 7] {
        [
            ("AAP_AUTH", auth(&controller.sandbox().password())),
            ("AAP_HOST", controller.sandbox().url()),
            ("AAP_JOB_TEMPLATE_ID", Controller::template(template).to_string()),
            ("HMAC_KEY", KEY.to_owned()),
            ("TFE_HOST", self.terraform.host()),
            ("COMBINED_FILE", self.ca_file()),
            ("JOB_POLLING_INTERVAL_SECONDS", "1".to_owned()),
        ]
    }
}

/// A hook of kind `run_task` for one of the sandbox's templates, as anybody makes it.
pub(super) async fn hook(acme: &Tenant, place: &Place, template: &str) {
    acme.map_with(
        template,
        template,
        json!({"parameters": {"type": "object", "properties": {"run_id": {"type": "string"}}}}),
    )
    .await;
    let account = acme.client(&format!("{template}-account"), Some("web"), &["launcher"]).await;
    let module = "package runwarden.hook\n\naccept := true\n\nparameters := {\"run_id\": input.body.run_id}\n";
    let body = json!({"name": template, "project": "web", "template": template, "kind": "run_task", "module": module,
        "settings": {"terraform": format!("https://{}", place.terraform.host())}, "client_id": account.id, "key": KEY});
    let _hook = acme.admin.post("/api/v1/hooks", &body).await.expect(201);
}

pub(super) fn ordinary(place: &Place) -> Settings {
    // A launch that a kill cut off is found out about within seconds.
    settings()
        .that_stays()
        .impatient()
        .set("RUNWARDEN_OUTBOUND_ALLOW", &place.terraform.host())
        .set("RUNWARDEN_OUTBOUND_CA_FILE", &place.ca_file())
        .set("RUNWARDEN_HOOK_RUN_TASK_POLL", "1s")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_the_replaced_program_is_enough_and_it_is_answered_as_before() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let system = System::start(&place.environment(&controller, "ask-variables")).await;
    let (base, terraform) = (system.reach().base_url.clone(), &place.terraform);

    // Terraform tries it out.
    let verification = json!({"payload_version": 1, "access_token": "test-token", "stage": "test",
        "task_result_id": "taskrs-xxxxxxxxxxxxxxxx", "task_result_enforcement_level": "test", "run_id": "run-xxxxxxxxxxxxxxxx",
        "task_result_callback_url": format!("https://{}/api/v2/task-results/x/callback", terraform.host())});
    let tried = send_text(&base, OLD_ROUTE, KEY, &verification.to_string()).await.unwrap();
    assert_eq!(shown(&tried), (200, TAKEN));

    // Strangers, and those who forgot something.
    let task = terraform.task(1, "pre_plan");
    let body = task.request.to_string();
    assert_eq!(shown(&send_text(&base, OLD_ROUTE, "another key", &body).await.unwrap()), (401, REFUSED));
    let unsigned = Api::anonymous(&base).call(reqwest::Method::POST, OLD_ROUTE).json_text(&body).send().await;
    assert_eq!(shown(&unsigned), (401, REFUSED));
    let nowhere = send_text(&base, "/webhook/nobody/run-task", KEY, &body).await.unwrap();
    assert_eq!(shown(&nowhere), (401, REFUSED), "whether it exists or not");
    assert_eq!(shown(&send_text(&base, OLD_ROUTE, KEY, "{").await.unwrap()), (400, MISSING));
    for field in ["run_id", "task_result_callback_url", "access_token"] {
        let mut without = task.request.clone();
        without[field] = json!("");
        assert_eq!(
            shown(&send_text(&base, OLD_ROUTE, KEY, &without.to_string()).await.unwrap()),
            (400, MISSING),
            "{field}"
        );
    }
    assert_eq!(Api::anonymous(&base).get(OLD_ROUTE).await.status, 405);
    let mut foreign = task.request.clone();
    foreign["task_result_callback_url"] = json!("https://evil.example/api/v2/task-results/1/callback");
    assert_eq!(send_text(&base, OLD_ROUTE, KEY, &foreign.to_string()).await.unwrap().status, 400);
    assert_eq!(controller.launched(), 0, "none of that launches anything");

    // Every stage: one run with its run_id, `running`, and one final result with hosts.
    for (number, stage) in (2..).zip(["pre_plan", "post_plan", "pre_apply", "post_apply"]) {
        let task = terraform.task(number, stage);
        assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (200, TAKEN));
        assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (200, TAKEN), "a repeat");
        let result = terraform.result(&task).await;
        assert_eq!(status(&result), "passed", "{result}");
        let outcomes = result["data"]["relationships"]["outcomes"]["data"].as_array().unwrap().clone();
        assert!(!outcomes.is_empty(), "per host: {result}");
        let link = text(&result["data"]["attributes"], "url").to_owned();
        assert!(link.starts_with("https://developer.hashicorp.com/"), "{link}");
        assert!(!terraform.running(&task).is_empty(), "it said that it runs");
        assert_eq!(terraform.finals(&task).len(), 1);
    }
    assert_eq!(run_ids(&controller), ["run-2", "run-3", "run-4", "run-5"], "one launch for each");
    assert_eq!(terraform.refused(), []);
    for secret in [KEY, &controller.sandbox().password(), "token-of-"] {
        assert!(!system.log().contains(secret), "secrets are not printed");
    }
}

/// The hook `run-task`, as the first administrator sees it.
pub(super) async fn the_hook(system: &System) -> (Api, Value) {
    let admin = system.reach().platform_admin().await.acting_for("tfe-analytics");
    let hook = admin.get("/api/v1/hooks/run-task").await.expect(200);
    (admin, hook)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_in_the_environment_is_taken_over_and_what_a_person_changed_stays() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let mut system = System::start(&place.environment(&controller, "ask-variables")).await;
    let (base, terraform) = (system.reach().base_url.clone(), &place.terraform);
    let (_, before) = the_hook(&system).await;
    system.restart(Signal::Term).await;
    let (admin, after) = the_hook(&system).await;
    assert_eq!(before, after, "the same environment changes nothing");

    // A person's change, which the environment does not speak of.
    let described = admin.patch("/api/v1/hooks/run-task", &json!({"description": "Ours"})).await.expect(200);
    assert_eq!(text(&described, "description"), "Ours");
    system.set("AAP_JOB_TEMPLATE_ID", &Controller::template("fails").to_string());
    system.set("HMAC_KEY", "short");
    system.restart(Signal::Term).await;
    let (_, changed) = the_hook(&system).await;
    assert_eq!((text(&changed, "description"), changed["weaknesses"].to_string().contains("weak_key")), ("Ours", true));
    assert!(system.log().contains("HMAC_KEY is weak"));
    let task = terraform.task(1, "pre_plan");
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (401, REFUSED), "the old key");
    let answer = send_text(&base, OLD_ROUTE, "short", &task.request.to_string()).await.unwrap();
    assert_eq!(shown(&answer), (200, TAKEN));
    assert_eq!(status(&terraform.result(&task).await), "failed", "the other template");
    assert_eq!(controller.launches("fails").len(), 1);

    // Back to a strong one; the leave to be weak goes with the weak one.
    system.set("HMAC_KEY", KEY);
    system.set("AAP_JOB_TEMPLATE_ID", &Controller::template("ask-variables").to_string());
    system.restart(Signal::Kill).await;
    let (_, strong) = the_hook(&system).await;
    assert!(!strong["weaknesses"].to_string().contains("weak_key"), "{strong}");
    assert_eq!(strong["keys"].as_array().unwrap().len(), 1);
    let task = terraform.task(2, "pre_plan");
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (200, TAKEN));
    assert_eq!(status(&terraform.result(&task).await), "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_aap_and_other_authorities_are_taken_over_however_many_there_are() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    // As large as a system's bundle with the company's own authority in it.
    let bundle = place.folder.path().join("bundle.pem");
    let mut pem = String::new();
    while pem.len() < 220 * 1024 {
        pem.push_str(place.terraform.ca_pem());
    }
    std::fs::write(&bundle, &pem).unwrap();
    let settings = place.environment(&controller, "ask-variables");
    let mut system = System::start(&settings.set("COMBINED_FILE", &bundle.display().to_string())).await;
    let base = system.reach().base_url.clone();
    let task = place.terraform.task(1, "pre_plan");
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (200, TAKEN));
    assert_eq!(status(&place.terraform.result(&task).await), "passed");

    // A renewed file and another host, with the password of before.
    std::fs::write(&bundle, pem + place.terraform.ca_pem()).unwrap();
    let port = runwarden_harness::ports::Port::take();
    let mut aap = forward(port.address(), controller.sandbox().address()).await;
    let moved = format!("http://{}", port.address());
    system.set("AAP_HOST", &moved);
    system.restart(Signal::Term).await;
    let (admin, _) = the_hook(&system).await;
    assert_eq!(text(&admin.get("/api/v1/controllers/aap").await.expect(200), "url"), moved);
    let task = place.terraform.task(2, "pre_plan");
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (200, TAKEN));
    assert_eq!(status(&place.terraform.result(&task).await), "passed");
    aap.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_named_terraform_a_signed_requests_own_host_is_used_and_the_start_says_so() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let system = System::start(&place.environment(&controller, "ask-variables").set("TFE_HOST", "")).await;
    assert!(system.log().contains("TFE_HOST is not set"), "{}", system.log());
    let task = place.terraform.task(1, "post_plan");
    assert_eq!(shown(&send(&system.reach().base_url, OLD_ROUTE, &task).await), (200, TAKEN));
    assert_eq!(status(&place.terraform.result(&task).await), "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_has_the_certificate_that_the_environment_names() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let key = place.folder.path().join("tls.key");
    std::fs::write(&key, place.terraform.key_pem()).unwrap();
    let settings = place.environment(&controller, "ask-variables").without("RUNWARDEN_EDGE_PLAIN_BEHIND_PROXY");
    let settings = settings.set("CERT_FILE", &place.ca_file()).set("KEY_FILE", &key.display().to_string());
    let system = System::start(&settings).await;
    let base = &system.reach().base_url;
    assert!(base.starts_with("https://"), "{base}");
    let authority = reqwest::Certificate::from_pem(place.terraform.ca_pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let answer = http.post(format!("{base}{OLD_ROUTE}")).body("{}").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (401, REFUSED));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_end_is_one_final_result_with_its_reason() {
    let place = Place::new().await;
    let (controller, system, acme) = acme(&ordinary(&place)).await;
    let base = system.reach().base_url.clone();
    let mut tasks = Vec::new();
    for (number, template) in (1..).zip(["ask-variables", "fails", "errors", "hangs"]) {
        hook(&acme, &place, template).await;
        let task = place.terraform.task(number, "post_plan");
        assert_eq!(shown(&send(&base, &format!("/webhook/acme/{template}"), &task).await), (200, TAKEN));
        tasks.push(task);
    }
    let cancelled = until("the one that hangs to run", async || {
        let jobs = acme.admin.all("/api/v1/jobs").await;
        jobs.into_iter().find(|job| text(job, "template") == "hangs" && text(job, "state") == "running")
    })
    .await;
    acme.admin.act(&format!("/api/v1/jobs/{}/cancel", text(&cancelled, "id"))).await;
    for (task, (verdict, told)) in tasks.iter().zip([
        ("passed", "succeeded"),
        ("failed", "failed"),
        ("failed", "could not be run"),
        ("failed", "was cancelled"),
    ]) {
        let result = place.terraform.result(task).await;
        assert_eq!(status(&result), verdict, "{result}");
        assert!(message(&result).contains(told), "{told}: {result}");
        assert_eq!(place.terraform.finals(task).len(), 1);
    }
    assert_eq!(controller.launched(), 4);
    assert_eq!(place.terraform.refused(), []);
}

/// Wherever the process is killed: one launch, and one final result.
#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_process_dies_there_is_one_launch_and_one_final_result() {
    let place = Place::new().await;
    let (controller, mut system, acme) = acme(&ordinary(&place)).await;
    hook(&acme, &place, "ask-variables").await;
    let (base, path) = (system.reach().base_url.clone(), "/webhook/acme/ask-variables");
    let points = [
        "receive.before",
        "receive.after",
        "map.after",
        "submit.before",
        "update.after",
        "final.before",
        "final.after",
    ];
    for (number, point) in (1..).zip(points) {
        system.set("RUNWARDEN_HOOK_FAILPOINT", point);
        system.restart(Signal::Term).await;
        let task = place.terraform.task(number, "pre_apply");
        // It may die before it answers.
        let _perhaps = send_text(&base, path, KEY, &task.request.to_string()).await;
        system.process().ended().await;
        system.set("RUNWARDEN_HOOK_FAILPOINT", "");
        system.start_again().await;
        assert_eq!(shown(&send(&base, path, &task).await), (200, TAKEN), "{point}");
        let result = place.terraform.result(&task).await;
        assert_eq!(status(&result), "passed", "{point}: {result}");
        until(&format!("the report to end after {point}"), async || {
            let trail = acme.admin.all("/api/v1/audit/records").await;
            let ended = trail.iter().filter(|record| text(record, "action") == "run_task.report").count();
            (ended == number).then_some(())
        })
        .await;
        assert_eq!(place.terraform.finals(&task).len(), 1, "{point}");
        assert_eq!(controller.launched(), number, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terraform_that_is_away_gets_its_result_when_it_is_back() {
    let place = Place::new().await;
    let (controller, system, acme) = acme(&ordinary(&place)).await;
    hook(&acme, &place, "ask-variables").await;
    place.terraform.is_away(true);
    let task = place.terraform.task(1, "pre_plan");
    assert_eq!(shown(&send(&system.reach().base_url, "/webhook/acme/ask-variables", &task).await), (200, TAKEN));
    until("the run to end", async || {
        let jobs = acme.admin.all("/api/v1/jobs").await;
        jobs.first().filter(|job| text(job, "state") == "succeeded").map(|_| ())
    })
    .await;
    assert!(place.terraform.finals(&task).is_empty());
    place.terraform.is_away(false);
    assert_eq!(status(&place.terraform.result(&task).await), "passed");
    assert_eq!((controller.launched(), place.terraform.finals(&task).len()), (1, 1));
}

/// Starts `up` with this environment, and answers what it says when it refuses to.
async fn refusal(environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let line = ["up", "--data-dir", &data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut up = tokio::process::Command::new(env!("CARGO_BIN_EXE_runwarden"));
    let up = up.args(line).env_clear().envs(environment.iter().copied()).kill_on_drop(true).output().await.unwrap();
    assert_eq!(up.status.code(), Some(1), "{}", String::from_utf8_lossy(&up.stdout));
    format!("{}{}", String::from_utf8_lossy(&up.stdout), String::from_utf8_lossy(&up.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_cannot_work_is_refused_with_what_to_do() {
    let controller = Controller::start().await;
    let (url, id) = (controller.sandbox().url(), Controller::template("ask-variables").to_string());
    let login = STANDARD.encode(format!("runwarden:{}", controller.sandbox().password()));
    let whole = |change: (&'static str, &'static str)| {
        let whole = [
            ("AAP_HOST", url.as_str()),
            ("AAP_AUTH", login.as_str()),
            ("AAP_JOB_TEMPLATE_ID", id.as_str()),
            ("HMAC_KEY", KEY),
            ("INSECURE", "true"),
        ];
        whole.map(|(name, value)| if name == change.0 { (name, change.1.to_owned()) } else { (name, value.to_owned()) })
    };
    for (name, value, told) in [
        ("HMAC_KEY", "", "set HMAC_KEY"),
        ("AAP_AUTH", "runwarden:hunter2", "AAP_AUTH is not base64 of USER:PASSWORD"),
        // runwarden:hunter2
        ("AAP_AUTH", "cnVud2FyZGVuOmh1bnRlcjI=", "with AAP_AUTH"),
        ("AAP_JOB_TEMPLATE_ID", "4242", "AAP has no job template 4242"),
        ("INSECURE", "", "CERT_FILE /opt/app-root/src/certs/tls.crt"),
    ] {
        let environment = whole((name, value));
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = refusal(&environment).await;
        assert!(said.contains(told) && !said.contains("hunter2"), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aap_that_is_away_at_the_first_start_is_tried_again_until_it_is_there() {
    let (controller, place) = (Controller::start().await, Place::new().await);
    let port = runwarden_harness::ports::Port::take();
    let settings =
        place.environment(&controller, "ask-variables").set("AAP_HOST", &format!("http://{}", port.address()));
    let system = System::start(&settings).await;
    assert!(system.log().contains("it is tried again"), "{}", system.log());
    let (base, task) = (system.reach().base_url.clone(), place.terraform.task(1, "pre_plan"));
    assert_eq!(shown(&send(&base, OLD_ROUTE, &task).await), (401, REFUSED), "there is no hook yet");
    let mut aap = forward(port.address(), controller.sandbox().address()).await;
    until("the hook to be made", async || (send(&base, OLD_ROUTE, &task).await.status == 200).then_some(())).await;
    assert_eq!(status(&place.terraform.result(&task).await), "passed");
    aap.abort_all();
}

/// Passes on what comes to one address to another.
pub(super) async fn forward(from: std::net::SocketAddr, to: std::net::SocketAddr) -> tokio::task::JoinSet<()> {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            let Ok(mut outside) = tokio::net::TcpStream::connect(to).await else { return };
            tokio::spawn(async move {
                let _gone = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    tasks
}
