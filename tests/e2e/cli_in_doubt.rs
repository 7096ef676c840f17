//! The command line where the server, the network or the reader of its output is not as it should be: no job is run
//! twice because a command did not say that there is one, and no secret goes where it does not belong.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runwarden_harness::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use super::daily_cli::{Person, Said, interrupt, read, said, type_secret};

/// What a server says to a request. Nothing: the connection breaks. None: it keeps the caller waiting.
type Answer = Option<String>;

/// A server as a test wants it, and all that it was asked.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers with a token, a template `deploy`, and to all else what is said for the request and those like it before.
    async fn new(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let kept = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, kept.clone(), answer.clone()));
            }
        });
        Self { base, asked }
    }

    /// The requests that begin with this.
    fn asked(&self, line: &str) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|request| request.starts_with(line)).cloned().collect()
    }

    async fn say(&self, person: &Person, words: &[&str]) -> Said {
        said(self.command(person, words)).await
    }

    /// A command that goes there, by variables.
    fn command(&self, person: &Person, words: &[&str]) -> tokio::process::Command {
        let mut command = person.command(words);
        command.env("RUNWARDEN_URL", &self.base).env("RUNWARDEN_CLIENT_ID", "c").env("RUNWARDEN_CLIENT_SECRET", "s");
        command
    }
}

async fn serve(
    mut stream: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<impl Fn(&str, usize) -> Answer + Send + Sync>,
) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let line = request.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        asked.push(request);
        asked.iter().filter(|request| request.starts_with(&format!("{line} "))).count() - 1
    };
    let given = answer(&line, before).map(|given| match line.as_str() {
        "POST /api/v1/auth/token" if given.is_empty() => of(200, &json!({"access_token": "t", "scope": "jobs.submit"})),
        "GET /api/v1/templates/deploy" if given.is_empty() => of(
            200,
            &json!({"name": "deploy", "parameters": {
                "properties": {"notes": {"type": "string"}, "password": {"type": "string", "writeOnly": true}},
            }}),
        ),
        _ => given,
    });
    match given {
        Some(given) => {
            let _gone = stream.write_all(given.as_bytes()).await;
        }
        None => {
            // Until the caller leaves.
            let _gone = stream.read(&mut [0]).await;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.parse().unwrap()
}

fn with(status: u16, head: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{head}\r\n{body}")
}

fn of(status: u16, body: &Value) -> String {
    with(status, "content-type: application/json\r\n", &body.to_string())
}

/// A refusal that comes from Runwarden; it is not tried again within a minute.
fn problem(status: u16, code: &str) -> String {
    let head = "content-type: application/problem+json\r\nretry-after: 3600\r\n";
    with(status, head, &json!({"code": code, "detail": "No.", "status": status}).to_string())
}

fn stream(events: &str) -> String {
    with(200, "content-type: text/event-stream\r\n", &format!("retry: 2000\n\n{events}"))
}

fn accepted() -> Answer {
    Some(of(202, &json!({"id": "job_1", "state": "new"})))
}

const SUBMIT: &str = "POST /api/v1/jobs";
const EVENTS: &str = "GET /api/v1/jobs/job_1/events";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_know_whether_a_job_was_accepted_is_given_the_key() {
    let page = with(404, "content-type: text/html\r\n", "<h1>Not Found</h1>");
    for (lost, then, code) in [
        (true, problem(503, "UNAVAILABLE"), 7),
        (true, problem(504, "DEADLINE_EXCEEDED"), 7),
        (true, problem(500, "INTERNAL"), 9),
        (true, problem(403, "PERMISSION_DENIED"), 7),
        (true, page.clone(), 7),
        (false, page, 7),
        (false, of(202, &json!({"id": "\u{1b}[2J"})), 9),
    ] {
        let answer = then.clone();
        let server = Server::new(move |line, before| match (line, before) {
            (SUBMIT, before) if lost && before % 2 == 0 => Some(String::new()),
            (SUBMIT, _) => Some(answer.clone()),
            _ => Some(String::new()),
        });
        let (server, person) = (server.await, Person::new());
        let said = server.say(&person, &["run", "deploy", "-o", "json"]).await;
        let document: Value = serde_json::from_str(&said.ends(code).err).unwrap();
        let key = document["idempotency_key"].as_str().unwrap_or_else(|| panic!("no key: {document}"));
        let sent = server.asked(SUBMIT);
        assert!(sent.iter().all(|request| request.contains(&format!("idempotency-key: {key}\r\n"))), "{sent:?}");
        assert_eq!(sent.len(), if lost { 2 } else { 1 }, "{then}");
        // A person sees the same message.
        let said = server.say(&person, &["run", "deploy"]).await;
        assert!(said.ends(code).err.contains("--idempotency-key run_"), "{}", said.err);
    }
    let server =
        Server::new(|line, _| Some(if line == SUBMIT { problem(403, "POLICY_DENIED") } else { String::new() }));
    let said = server.await.say(&Person::new(), &["run", "deploy", "-o", "json"]).await;
    assert!(!said.ends(4).err.contains("idempotency_key"), "a refusal is one: {}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_accepted_is_named_whatever_fails_after_it() {
    let error = "event: error\ndata: {\"status\":500,\"code\":\"INTERNAL\",\"detail\":\"Broken.\"}\n\n";
    for events in
        [problem(403, "PERMISSION_DENIED"), problem(404, "NOT_FOUND"), problem(401, "TOKEN_REVOKED"), stream(error)]
    {
        let server = Server::new(move |line, _| match line {
            SUBMIT => accepted(),
            EVENTS => Some(events.clone()),
            _ => Some(String::new()),
        });
        let (server, person) = (server.await, Person::new());
        for how in ["--wait", "--follow"] {
            let said = server.say(&person, &["run", "deploy", how, "-o", "json"]).await;
            let document: Value = serde_json::from_str(&said.ends(10).err).unwrap();
            assert_eq!(document["job"], json!("job_1"), "{document}");
            let said = server.say(&person, &["run", "deploy", how]).await;
            for part in ["the job goes on", "runwarden jobs watch job_1", "runwarden jobs cancel job_1"] {
                assert!(said.ends(10).err.contains(part), "{part} in {}", said.err);
            }
        }
        // Whoever only looks is told what there is to it.
        let looked = server.say(&person, &["jobs", "watch", "job_1"]).await;
        assert!(matches!(looked.code, Some(3 | 4 | 9)), "{:?} {}", looked.code, looked.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_named_where_its_id_cannot_be_printed_or_nobody_waits_for_long_enough() {
    let server = Server::new(|line, _| match line {
        SUBMIT => accepted(),
        EVENTS => None,
        _ => Some(String::new()),
    });
    let (server, person) = (server.await, Person::new());
    for form in ["table", "json"] {
        let mut full = server.command(&person, &["run", "deploy", "-o", form]);
        full.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let full = read(full.spawn().unwrap().wait_with_output().await.unwrap());
        assert!(full.ends(10).err.contains("job_1"), "{}", full.err);
        let gone = without_reader(server.command(&person, &["run", "deploy", "-o", form])).await;
        assert!(gone.ends(141).err.contains("job_1"), "{}", gone.err);
    }
    let late = server.say(&person, &["run", "deploy", "--wait", "--timeout", "100ms", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&late.ends(10).err).unwrap();
    assert_eq!((&document["job"], &document["exit"]), (&json!("job_1"), &json!(10)));
}

/// Runs a command whose output nobody reads.
async fn without_reader(mut command: tokio::process::Command) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    read(child.wait_with_output().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_is_told_apart_and_a_lost_standard_error_is_survived() {
    let job = json!({"id": "job_1", "state": "running"});
    let events = format!("id: 1\nevent: state\ndata: {job}\n\nid: 2\nevent: end\ndata: {{}}\n\n");
    let server = Server::new(move |line, _| match line {
        EVENTS => Some(stream(&events)),
        "GET /api/v1/jobs/job_1" => Some(of(200, &json!({"id": "job_1", "state": "failed", "reason": "why"}))),
        "GET /api/v1/jobs/job_1/output?offset=0" => Some(with(200, "x-output-incomplete: true\r\n", "hello\n")),
        line if line.starts_with("GET /api/v1/jobs?") => Some(of(200, &json!({"items": []}))),
        _ => Some(String::new()),
    });
    let (server, person) = (server.await, Person::new());
    for words in [&["jobs", "list"][..], &["jobs", "output", "job_1"], &["templates", "show", "deploy"]] {
        let said = without_reader(server.command(&person, words)).await;
        assert_eq!((said.code, said.err.as_str()), (Some(141), ""), "{words:?}");
    }
    without_reader(person.command(&["completions", "bash"])).await.ends(141);
    let output = server.say(&person, &["jobs", "output", "job_1"]).await;
    assert_eq!(output.ends(0).out, "hello\n");
    assert!(output.err.contains("more than could be read"), "{}", output.err);

    let mut command = server.command(&person, &["jobs", "watch", "job_1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().await.unwrap().status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_before_anything_is_said_is_opened_again() {
    let server = Server::new(move |line, before| match (line, before) {
        (EVENTS, 0) => Some(stream("")),
        (EVENTS, 1) => Some(stream("event: error\ndata: {\"status\":503,\"code\":\"UNAVAILABLE\"}\n\n")),
        (EVENTS, _) => Some(stream("event: end\ndata: {}\n\n")),
        ("GET /api/v1/jobs/job_1", _) => Some(of(200, &json!({"id": "job_1", "state": "succeeded"}))),
        _ => Some(String::new()),
    });
    let server = server.await;
    server.say(&Person::new(), &["jobs", "watch", "job_1"]).await.ends(0);
    assert_eq!(server.asked(EVENTS).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_have_been_used_is_no_reason_to_take_another() {
    let server = Server::new(|line, _| match line {
        "GET /api/v1/templates/gone" => Some(problem(404, "NOT_FOUND")),
        SUBMIT => Some(problem(422, "IDEMPOTENCY_KEY_REUSED")),
        _ => Some(String::new()),
    });
    let (server, person) = (server.await, Person::new());
    for (words, code) in [
        (&["run", "gone", "--idempotency-key", "k-1"][..], 4),
        (&["run", "deploy", "nots=1", "--idempotency-key", "k-1"], 2),
        (&["run", "deploy", "--idempotency-key", "k-1"], 4),
    ] {
        let said = server.say(&person, words).await;
        assert!(said.ends(code).err.contains("look at `runwarden jobs list` before"), "{}", said.err);
        let said = server.say(&person, &[words, &["-o", "json"]].concat()).await;
        let document: Value = serde_json::from_str(&said.ends(code).err).unwrap();
        assert_eq!(document["idempotency_key"], json!("k-1"));
    }
    let said = server.say(&person, &["run", "gone"]).await;
    assert!(!said.ends(4).err.contains("jobs list"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_launched_with_a_secret_that_did_not_come() {
    let server = Server::new(|_, _| Some(String::new())).await;
    let person = Person::new();
    // Standard input is at its end at once, as behind a command that failed.
    let said = server.say(&person, &["run", "deploy", "password=@-"]).await;
    assert!(said.ends(2).err.contains("password: is a secret, and its source was empty"), "{}", said.err);
    let words =
        ["run", "deploy", "password=@-", "--client-id", "c", "--client-secret-file", "-", "--url", &server.base];
    let said = person.say_with(&words, "s\n").await;
    assert!(said.ends(2).err.contains("standard input can be read for one thing only"), "{}", said.err);
    let said = person.say_with(&words, "").await;
    assert!(said.ends(2).err.contains("is empty"), "{}", said.err);
    assert!(server.asked(SUBMIT).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_takes_the_place_of_variables_and_no_secret_goes_elsewhere() {
    let refusing = || Server::new(|_, _| Some(of(401, &json!({"error": "invalid_client"}))));
    let (here, other) = (refusing().await, refusing().await);
    let person = Person::new();
    person.file("runwarden.json", json!({"admin_base_url": here.base}));
    person.file("bootstrap.json", json!({"client_id": "first-admin", "client_secret": "bootstrap"}));
    let folder = person.path("").display().to_string();
    let both =
        [("RUNWARDEN_URL", other.base.as_str()), ("RUNWARDEN_CLIENT_ID", "theirs"), ("RUNWARDEN_CLIENT_SECRET", "s")];
    for variables in [&both[..1], &both] {
        let mut command = person.command(&["jobs", "list", "--data-dir", &folder]);
        command.envs(variables.iter().copied());
        let refused = said(command).await;
        assert!(
            refused.ends(3).err.contains(&format!("{} did not give first-admin a token", here.base)),
            "{}",
            refused.err
        );
    }
    assert!(other.asked("POST").is_empty());
    // The other way round the folder is left alone.
    for words in [&["jobs", "list"][..], &["login", "--profile", "mine"]] {
        let mut command = person.command(&[words, &["--url", &other.base, "--client-id", "theirs"]].concat());
        command.env("RUNWARDEN_DATA_DIR", &folder).env("RUNWARDEN_PROFILE", "x").env("RUNWARDEN_CLIENT_SECRET", "s");
        let refused = said(command).await;
        assert!(
            refused.ends(3).err.contains(&format!("{} did not give theirs a token", other.base)),
            "{}",
            refused.err
        );
    }
    assert!(person.say(&["login"]).await.ends(2).err.contains("--data-dir"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_is_no_contradiction_of_a_flag() {
    let server = Server::new(|_, _| Some(String::new())).await;
    let person = Person::new();
    let credentials = person.file("credentials", "c:s");
    let words = ["login", "--url", &server.base, "--credentials", &credentials];
    let mut command = person.command(&words);
    command.env("RUNWARDEN_CLIENT_ID", "other").env("RUNWARDEN_CLIENT_SECRET_FILE", "f");
    said(command).await.ends(0);
    let mut command = person.command(&["profiles", "list"]);
    command.env("RUNWARDEN_OUTPUT", "json");
    assert_eq!(said(command).await.ends(0).json()["items"][0]["client_id"], json!("c"));
    person.say(&["logout", "--profile", "default", "--all"]).await.ends(2);
    for words in [&["logout", "--all"][..], &["profiles", "use", "x"]] {
        let mut command = person.command(words);
        command.env("RUNWARDEN_PROFILE", "x");
        let code = if words.contains(&"--all") { 0 } else { 3 };
        said(command).await.ends(code);
    }
    person.say(&words).await.ends(0);
    let mut command = person.command(&["logout"]);
    command.env("RUNWARDEN_PROFILE", "other");
    assert!(said(command).await.ends(3).err.contains("no profile other"));
}

/// How it ends when it is told to, in time: a command that does not listen would never end.
async fn ended(child: Child) -> Said {
    read(tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_command_whatever_it_waits_for() {
    const OUTPUT: &str = "GET /api/v1/jobs/job_1/output?offset=0";
    let server = Server::new(|line, _| match line {
        OUTPUT => Some(with(200, "", &"x".repeat(1 << 20))),
        "GET /api/v1/jobs/job_1" => None,
        _ => Some(String::new()),
    });
    let (server, person) = (server.await, Person::new());
    // An answer.
    let mut command = server.command(&person, &["jobs", "show", "job_1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it to ask", async || server.asked("GET /api/v1/jobs/job_1 ").pop()).await;
    interrupt(&child);
    assert!(ended(child).await.ends(130).err.contains("interrupted"));
    // Somebody who writes.
    let mut command = server.command(&person, &["run", "deploy", "notes=@-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _input = child.stdin.take();
    until("it to ask", async || server.asked("GET /api/v1/templates/deploy ").pop()).await;
    interrupt(&child);
    ended(child).await.ends(130);
    // Somebody who reads.
    let mut command = server.command(&person, &["jobs", "output", "job_1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0]).await.unwrap();
    interrupt(&child);
    ended(child).await.ends(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_command_after_a_secret_was_typed_too() {
    let server = Server::new(|_, _| None).await;
    let person = Person::new();
    let command = person.command(&["login", "--url", &server.base, "--client-id", "client_1"]);
    let (child, _typed) = type_secret(command, "Secret of client_", "hunter2").await;
    until("it to ask", async || server.asked("POST /api/v1/auth/token ").pop()).await;
    interrupt(&child);
    ended(child).await.ends(130);
}
