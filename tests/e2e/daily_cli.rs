//! The command line for the daily work, as callers use it: a program of its own that speaks REST only.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use runwarden_harness::jobs::text;
use runwarden_harness::{Credentials, Signal, Tenant, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::{acme, settings};

/// What no output, log or list of processes may show.
const SECRET: &str = "correct-horse-battery";

/// What a command answered.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    #[track_caller]
    pub(super) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A person with a home of their own.
pub(super) struct Person {
    home: tempfile::TempDir,
}

impl Person {
    pub(super) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A user who has logged in as a tenant's launcher.
    async fn logged_in(acme: &Tenant) -> Self {
        Self::at(acme.launcher.base(), &acme.launcher_credentials).await
    }

    /// A user who has logged in there as this client.
    async fn at(base: &str, credentials: &Credentials) -> Self {
        let person = Self::new();
        let pair = json!({"client_id": credentials.id, "client_secret": credentials.secret});
        let file = person.file("credentials.json", pair);
        person.say(&["login", "--url", base, "--credentials", &file]).await.ends(0);
        person
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of theirs and answers where it is.
    pub(super) fn file(&self, name: &str, content: impl std::fmt::Display) -> String {
        std::fs::write(self.path(name), content.to_string()).unwrap();
        self.path(name).display().to_string()
    }

    fn profiles(&self) -> PathBuf {
        self.path(".config/runwarden/profiles.json")
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runwarden"));
        command.args(words).env_clear().env("HOME", self.home.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub(super) async fn say(&self, words: &[&str]) -> Said {
        said(self.command(words)).await
    }

    /// With this on standard input.
    pub(super) async fn say_with(&self, words: &[&str], input: &str) -> Said {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        read(child.wait_with_output().await.unwrap())
    }

    fn begin(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

pub(super) async fn said(mut command: Command) -> Said {
    read(command.output().await.unwrap())
}

pub(super) fn read(output: std::process::Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Ctrl-C.
pub(super) fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::INT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_kept_chosen_and_forgotten() {
    let (_controller, system, acme) = acme(&settings()).await;
    let person = Person::logged_in(&acme).await;
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode(&person.profiles()) & 0o777, 0o600);

    let data = system.data().display().to_string();
    let admin = person.say(&["login", "--data-dir", &data, "--profile", "admin", "--tenant", "acme"]).await;
    assert!(admin.ends(0).out.contains("profile admin"), "{}", admin.out);
    let list = person.say(&["profiles", "--output", "json"]).await.ends(0).json();
    let names: Vec<(&str, bool)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| (text(profile, "name"), profile["current"].as_bool().unwrap()))
        .collect();
    assert_eq!(names, [("admin", true), ("default", false)]);
    // Its administrator acts for the tenant that the profile names.
    person.say(&["jobs", "list"]).await.ends(0);
    person.say(&["profiles", "use", "default"]).await.ends(0);
    assert!(person.say(&["profiles"]).await.out.contains("*  default"));
    let refused = person.say(&["jobs", "attempts", "job_1", "--profile", "default"]).await;
    assert!(refused.ends(4).err.contains("NOT_FOUND"), "the public listener has no such thing: {}", refused.err);

    for listed in [person.say(&["profiles"]).await, person.say(&["profiles", "--json"]).await] {
        assert!(!listed.out.contains(&acme.launcher_credentials.secret));
    }
    person.say(&["logout"]).await.ends(0);
    assert!(!std::fs::read_to_string(person.profiles()).unwrap().contains(&acme.launcher_credentials.secret));
    person.say(&["logout", "--all"]).await.ends(0);
    assert!(person.say(&["templates", "list"]).await.ends(3).err.contains("runwarden login"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_log_in_leaves_no_profile_and_an_open_file_is_not_used() {
    let (_controller, _system, acme) = acme(&settings()).await;
    let person = Person::new();
    let login = ["login", "--url", acme.launcher.base(), "--client-id", &acme.launcher_credentials.id];
    let wrong = person.say_with(&[&login[..], &["--client-secret-file", "-"]].concat(), "wr0ng-s3cret\n").await;
    assert!(wrong.ends(3).err.contains("invalid_client") && !wrong.err.contains("wr0ng"), "{}", wrong.err);
    assert!(!person.profiles().exists());
    let silent = person.say(&login).await;
    assert!(silent.ends(2).err.contains("--client-secret-file"), "nobody to ask: {}", silent.err);

    let secret = format!("{}\n", acme.launcher_credentials.secret);
    person.say_with(&[&login[..], &["--client-secret-file", "-"]].concat(), &secret).await.ends(0);
    person.say(&["templates", "list"]).await.ends(0);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(person.profiles(), open).unwrap();
    let refused = person.say(&["templates", "list"]).await;
    assert!(refused.ends(9).err.contains("chmod 600"), "{}", refused.err);
    // Whoever says it all in the environment needs none.
    let mut command = person.command(&["templates", "list"]);
    command.env("RUNWARDEN_URL", acme.launcher.base()).env("RUNWARDEN_CLIENT_ID", &acme.launcher_credentials.id);
    command.env("RUNWARDEN_CLIENT_SECRET", &acme.launcher_credentials.secret);
    said(command).await.ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_say_what_they_take_and_values_become_what_they_expect() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let person = Person::logged_in(&acme).await;
    let list = person.say(&["templates", "list"]).await;
    assert!(list.ends(0).out.starts_with("NAME") && list.out.contains("deploy"), "{}", list.out);
    let shown = person.say(&["templates", "show", "deploy"]).await;
    for part in ["dev|staging|prod", "string, secret", "integer", "runwarden run deploy environment="] {
        assert!(shown.ends(0).out.contains(part), "{part} in {}", shown.out);
    }
    let whole = person.say(&["templates", "show", "deploy", "-o", "json"]).await.ends(0).json();
    assert_eq!(whole, acme.launcher.get("/api/v1/templates/deploy").await.expect(200));

    let wrong = person.say(&["run", "deploy", "enviroment=dev", "replicas=many"]).await;
    for part in ["did you mean environment?", "environment: is required", "replicas: must be a whole number"] {
        assert!(wrong.ends(2).err.contains(part), "{part} in {}", wrong.err);
    }
    assert_eq!(controller.launched(), 0);
    // What only the server knows is said in the same words.
    let wrong = person.say(&["run", "deploy", "environment=dev", "version=1.4.2", "replicas=1000000"]).await;
    assert!(wrong.ends(4).err.contains("\n  replicas: ") && wrong.err.contains("request: req_"), "{}", wrong.err);
    let missing = person.say(&["run", "deplyo"]).await;
    assert!(missing.ends(4).err.contains("NOT_FOUND"), "{}", missing.err);

    let line = ["run", "deploy", "environment=dev", "version=1.4.2", "replicas=3", "--wait", "-o", "json"];
    let job = person.say(&line).await.ends(0).json();
    assert_eq!(job["parameters"], json!({"environment": "dev", "version": "1.4.2", "replicas": 3}));
    let file = person.file("parameters.json", json!({"environment": "prod", "version": "2"}));
    let line = ["run", "deploy", "environment=dev", "--params-file", &file, "--wait", "--json"];
    assert_eq!(person.say(&line).await.ends(0).json()["parameters"], json!({"environment": "dev", "version": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_from_a_file_or_standard_input_and_shows_nowhere() {
    let (controller, system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let person = Person::logged_in(&acme).await;
    let line = ["run", "deploy", "environment=dev", "version=1.4.2"];
    let typed = format!("deploy_password={SECRET}");
    let refused = person.say(&[&line[..], &[&typed]].concat()).await;
    assert!(refused.ends(2).err.contains("deploy_password=@FILE") && !refused.err.contains(SECRET), "{}", refused.err);
    let asked = person.say(&[&line[..], &["--ask", "deploy_password"]].concat()).await;
    assert!(asked.ends(2).err.contains("no terminal"), "{}", asked.err);
    assert_eq!(controller.launched(), 0);

    let file = format!("deploy_password=@{}", person.file("password", format!("{SECRET}\n")));
    for (from, input) in [(file.as_str(), ""), ("deploy_password=@-", SECRET)] {
        let said = person.say_with(&[&line[..], &[from, "--follow", "-o", "json"]].concat(), input).await;
        let job = said.ends(0).json();
        assert_eq!(job["parameters"]["deploy_password"], json!({"set": true}));
        assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET), "{}", said.err);
    }
    assert_eq!(controller.launched(), 2);
    assert!(!system.log().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_shown_and_cancelled_and_its_end_is_the_exit_code() {
    let (_controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    for name in ["fails", "errors", "hangs"] {
        acme.map_bare(name, name).await;
    }
    let person = Person::logged_in(&acme).await;
    let followed = person.say(&["run", "deploy", "environment=dev", "version=1.4.2", "--follow"]).await;
    assert!(followed.ends(0).out.contains("PLAY RECAP"), "{}", followed.out);
    let id = followed.err.split_whitespace().find(|word| word.starts_with("job_")).unwrap().to_owned();
    assert!(followed.err.contains("succeeded"), "{}", followed.err);
    assert_eq!(followed.out, acme.launcher.output(&id).await, "all of it, and nothing else");
    assert_eq!(person.say(&["jobs", "output", &id]).await.ends(0).out, followed.out);
    assert_eq!(person.say(&["jobs", "watch", &id]).await.ends(0).out, followed.out);
    let shown = person.say(&["jobs", "show", &id, "--json"]).await.ends(0).json();
    assert_eq!(shown, acme.launcher.job(&id).await);

    person.say(&["run", "fails", "--wait"]).await.ends(1);
    person.say(&["run", "errors", "--wait"]).await.ends(8);
    let submitted = person.say(&["run", "hangs"]).await;
    let hangs = submitted.ends(0).out.trim();
    assert!(submitted.out.starts_with("job_") && submitted.out.lines().count() == 1, "{}", submitted.out);
    acme.launcher.becomes(hangs, "running").await;
    let late = person.say(&["jobs", "show", hangs, "--wait", "--timeout", "100ms"]).await;
    assert!(late.ends(7).err.contains(&format!("runwarden jobs cancel {hangs}")), "{}", late.err);

    // Ctrl-C leaves it running, and says how to come back.
    let mut child = person.begin(&["jobs", "watch", hangs]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("running") {}
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    assert!(rest.contains("the job goes on") && rest.contains(&format!("runwarden jobs watch {hangs}")), "{rest}");
    assert_eq!(text(&acme.launcher.job(hangs).await, "state"), "running");

    let waiting = person.begin(&["jobs", "watch", hangs, "-o", "json"]);
    person.say(&["jobs", "cancel", hangs]).await.ends(0);
    let ended = read(waiting.wait_with_output().await.unwrap());
    assert_eq!(ended.ends(5).json()["state"], "canceled");
    assert!(person.say(&["jobs", "cancel", hangs]).await.ends(4).err.contains("JOB_FINISHED"));
    let list = person.say(&["jobs", "list", "--state", "canceled", "--project", "web", "-o", "json"]).await;
    assert_eq!(list.ends(0).json()["items"].as_array().unwrap().len(), 1);
    let none = person.say(&["jobs", "list", "--created-after", "2999-01-31T23:00:00+01:00"]).await;
    assert_eq!(none.ends(0).out, "no jobs\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_where_a_connection_broke() {
    let (controller, mut system, acme) = acme(&settings().that_stays()).await;
    acme.map_bare("hangs", "hangs").await;
    let person = Person::logged_in(&acme).await;
    let job = acme.launcher.submit("hangs", json!({})).await;
    let id = text(&job, "id");
    acme.launcher.becomes(id, "running").await;
    let mut child = person.begin(&["jobs", "watch", id]);
    let mut out = child.stdout.take().unwrap();
    let mut seen = vec![0; 1];
    out.read_exact(&mut seen).await.unwrap();
    system.restart(Signal::Kill).await;
    controller.finish_all("successful").await;
    out.read_to_end(&mut seen).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let whole = system.reach().caller(&acme.launcher_credentials).await.output(id).await;
    assert_eq!(String::from_utf8(seen).unwrap(), whole, "nothing twice, nothing lost");
}

/// Passes connections on, and swallows the first answer to a submitted job: the client cannot know what became of it.
async fn lossy(behind: String) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let lost = Arc::new(AtomicBool::new(false));
    let whether = lost.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(pass_on(client, behind.clone(), lost.clone()));
        }
    });
    (base, whether)
}

async fn pass_on(mut client: TcpStream, behind: String, lost: Arc<AtomicBool>) {
    let mut server = TcpStream::connect(behind).await.unwrap();
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut swallow = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let read = read.unwrap_or(0);
                if read == 0 {
                    return;
                }
                let is_submit = request[..read].starts_with(b"POST /api/v1/jobs ");
                swallow |= is_submit && !lost.swap(true, SeqCst);
                server.write_all(&request[..read]).await.unwrap();
            }
            read = server.read(&mut answer) => match read {
                // The line goes dead as the answer arrives: the job is accepted by then.
                Ok(read) if read > 0 && !swallow => client.write_all(&answer[..read]).await.unwrap(),
                _ => return,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_second_job_and_a_key_repeats_safely() {
    let (controller, _system, acme) = acme(&settings()).await;
    acme.map("deploy", "deploy").await;
    let behind = acme.launcher.base().trim_start_matches("http://").to_owned();
    let (base, was_lost) = lossy(behind).await;
    let person = Person::at(&base, &acme.launcher_credentials).await;
    let line = ["run", "deploy", "environment=dev", "version=1.4.2", "--wait", "-o", "json"];
    let job = person.say(&line).await.ends(0).json();
    assert!(was_lost.load(SeqCst));
    assert_eq!(acme.launcher.all("/api/v1/jobs").await.len(), 1);

    let keyed = [&line[..], &["--idempotency-key", "mine-1"]].concat();
    let (first, second) = (person.say(&keyed).await.ends(0).json(), person.say(&keyed).await.ends(0).json());
    assert_eq!(first["id"], second["id"]);
    assert_ne!(first["id"], job["id"], "each run has a key of its own unless one is given");
    let other = ["run", "deploy", "environment=prod", "version=1.4.2", "--idempotency-key", "mine-1"];
    assert!(person.say(&other).await.ends(4).err.contains("--idempotency-key names an earlier run"));
    assert_eq!(controller.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_the_key_is_shown() {
    let (_controller, mut system, acme) = acme(&settings().that_stays()).await;
    acme.map("deploy", "deploy").await;
    let person = Person::logged_in(&acme).await;
    let input = person.path("input");
    // It waits for its standard input after it has read the template; then there is nobody any more.
    rustix::fs::mkfifoat(rustix::fs::CWD, &input, rustix::fs::Mode::RWXU).unwrap();
    let from = format!("deploy_password=@{}", input.display());
    let child = person.begin(&["run", "deploy", "environment=dev", "version=1", &from]);
    let fifo = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(input).unwrap());
    let mut fifo = fifo.await.unwrap();
    system.end(Signal::Kill).await;
    std::io::Write::write_all(&mut fifo, SECRET.as_bytes()).unwrap();
    drop(fifo);
    let said = read(child.wait_with_output().await.unwrap());
    assert!(said.ends(7).err.contains("--idempotency-key run_") && !said.err.contains(SECRET), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_machine_can_know_has_an_exit_code_of_its_own() {
    let case = super::unknown::undecided().await;
    let person = Person::logged_in(&case.acme).await;
    let id = case.id.as_str();
    let said = person.say(&["jobs", "watch", id]).await;
    assert!(said.ends(6).err.contains("An operator must decide"), "{}", said.err);
    person.say(&["jobs", "show", id, "--wait"]).await.ends(6);
}

/// What a command was typed into.
pub(super) struct Typed {
    keyboard: tokio::fs::File,
    terminal: std::fs::File,
    /// What its screen has shown.
    screen: Vec<u8>,
}

impl Typed {
    fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    }
}

/// Begins a command on a terminal, and types a secret when it is asked for.
pub(super) async fn type_secret(mut command: Command, question: &str, secret: &str) -> (Child, Typed) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let open = || std::fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let keyboard = tokio::fs::File::from_std(keyboard.into());
    let mut typed = Typed { keyboard, terminal: open(), screen: Vec::new() };
    let child = command.stdin(open()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !String::from_utf8_lossy(&typed.screen).contains(question) {
        typed.keyboard.read_buf(&mut typed.screen).await.unwrap();
    }
    until("the terminal to be silent", async || (!typed.echoes()).then_some(())).await;
    typed.keyboard.write_all(format!("{secret}\n").as_bytes()).await.unwrap();
    typed.keyboard.flush().await.unwrap();
    (child, typed)
}

#[tokio::test]
async fn a_person_is_asked_for_a_secret_without_an_echo() {
    let (_controller, _system, acme) = acme(&settings()).await;
    let person = Person::new();
    let command =
        person.command(&["login", "--url", acme.launcher.base(), "--client-id", &acme.launcher_credentials.id]);
    let secret = &acme.launcher_credentials.secret;
    let (child, mut typed) = type_secret(command, "Secret of client_", secret).await;
    read(child.wait_with_output().await.unwrap()).ends(0);
    assert!(typed.echoes(), "as before");
    typed.keyboard.read_buf(&mut typed.screen).await.unwrap();
    assert!(!String::from_utf8_lossy(&typed.screen).contains(secret));
}

#[tokio::test]
async fn completions_know_the_commands_and_nobody_needs_to_be_logged_in() {
    let person = Person::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = person.say(&["completions", shell]).await;
        for word in ["templates", "login", "idempotency-key"] {
            assert!(said.ends(0).out.contains(word), "{shell}: {word}");
        }
    }
    let help = person.say(&["run", "--help"]).await;
    assert!(help.ends(0).out.contains("Exit codes:"));
}
