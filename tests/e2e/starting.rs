//! `up` and `demo` as a person starts, stops and starts them again.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use runwarden_harness::until;

use super::daily_cli::interrupt;

/// Nothing of this process's environment but a home.
fn command(words: &[&str], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runwarden"));
    command.args(words).env_clear().env("HOME", home).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn begin(words: &[&str], home: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command(words, home).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The first line with this in it; it panics if the program ends before.
async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, part: &str) -> String {
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.contains(part) {
            return line;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_needs_no_setting_takes_names_and_says_that_it_stops() {
    let home = tempfile::tempdir().unwrap();
    let (mut up, mut lines) = begin(&["up", "--listen", "localhost:0", "--admin-listen", "localhost:0"], home.path());
    let ready = line_with(&mut lines, "runwarden is ready on http://").await;
    let data = home.path().join(".local/share/runwarden");
    assert!(ready.ends_with(&format!("data in {}", data.display())), "{ready}");
    assert!(data.join("bootstrap.json").exists());
    interrupt(&up);
    line_with(&mut lines, "stopping; Ctrl-C again stops at once").await;
    assert_eq!(up.wait().await.unwrap().code(), Some(0));

    let said = Command::new(env!("CARGO_BIN_EXE_runwarden")).arg("up").env_clear().output().await.unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("--data-dir"), "it says why there is no default");
}

/// A command with nobody left to read what it writes.
fn unread(words: &[&str], home: &Path) -> Child {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    command(words, home).stdout(gone()).stderr(gone()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_panics_when_nobody_reads_its_output() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let shown = data.display().to_string();
    let listeners = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let log = ["--log", "trace", "--log-format", "json"];
    let mut up = unread(&[&["up", "--data-dir", &shown][..], &listeners, &log].concat(), home.path());
    until("the services to be ready", async || data.join("runwarden.json").exists().then_some(())).await;
    interrupt(&up);
    assert_eq!(up.wait().await.unwrap().code(), Some(0));
    for (words, code) in [
        (&["audit", "verify", "--data-dir", &shown][..], 0),
        (&["audit", "seen", "--data-dir", &shown], 0),
        (&["audit", "set-aside", "list", "--data-dir", &shown], 0),
        (&["audit", "verify", "--records", "missing", "--key", "none"], 2),
        (&["up", "--data-dir", &shown, "--token-lifetime", "1s"], 1),
    ] {
        assert_eq!(unread(words, home.path()).wait().await.unwrap().code(), Some(code), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_finds_its_sandbox_again_and_leaves_that_of_another_alone() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let shown = data.display().to_string();
    let demo = ["demo", "--data-dir", &shown, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let once = [&demo[..], &["--once"]].concat();
    let (mut first, mut lines) = begin(&demo, home.path());
    line_with(&mut lines, "audit verify").await;
    let sandbox = || std::fs::read_to_string(data.join("sandbox-address")).unwrap();
    let (before, state) = (sandbox(), std::fs::metadata(data.join("sandbox/state.json")).unwrap().modified().unwrap());

    let second = command(&once, home.path()).output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another runwarden"));
    let untouched = std::fs::metadata(data.join("sandbox/state.json")).unwrap().modified().unwrap();
    assert_eq!((sandbox(), untouched), (before, state), "the first one's sandbox is as it was");

    interrupt(&first);
    line_with(&mut lines, "stopping; Ctrl-C again stops at once").await;
    assert_eq!(first.wait().await.unwrap().code(), Some(0));
    let third = command(&once, home.path()).output().await.unwrap();
    assert_eq!(third.status.code(), Some(0), "{}", String::from_utf8_lossy(&third.stdout));
}
