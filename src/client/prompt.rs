//! Asking a person for a secret: on the terminal, without an echo.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use runwarden_kit::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::{Exit, Failure};
use super::interrupt::interrupted;
use crate::terminal::say;

/// The longest answer, in bytes.
const LONGEST: usize = 64 << 10;

/// The terminal, silent until this is dropped.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin(terminal: File) -> std::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        // Input typed before the question is not an answer to it.
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _gone = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    terminal().is_some()
}

/// Asks for a secret; none if there is nobody to ask.
///
/// # Errors
/// When the person gives no answer, or interrupts.
pub(super) async fn secret(question: &str) -> Result<Option<SecretString>, Failure> {
    let Some(mut terminal) = terminal() else { return Ok(None) };
    write!(terminal, "{question}: ")?;
    terminal.flush()?;
    let reading = terminal.try_clone()?;
    let silence = Silence::begin(terminal)?;
    let answer = tokio::select! {
        answer = tokio::task::spawn_blocking(move || line(reading)) => answer.context("reading from the terminal")??,
        () = interrupted() => {
            drop(silence);
            say("");
            return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was sent"));
        }
    };
    if answer.is_empty() {
        return Err(Failure::usage("nothing was entered"));
    }
    Ok(Some(answer.into()))
}

/// The terminal: where standard input comes from, or the one that this process belongs to.
fn terminal() -> Option<File> {
    let stdin = std::io::stdin();
    let path = if stdin.is_terminal() {
        rustix::termios::ttyname(stdin.as_fd(), Vec::new()).ok()?.into_string().ok()?
    } else {
        "/dev/tty".to_owned()
    };
    OpenOptions::new().read(true).write(true).open(path).ok()
}

/// One line, without its end.
fn line(mut terminal: File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut one = [0];
    while bytes.len() < LONGEST && terminal.read(&mut one)? == 1 && one != *b"\n" {
        bytes.extend_from_slice(&one);
    }
    let text = String::from_utf8(bytes).ok().context("what was entered is not UTF-8")?;
    Ok(text.trim_end_matches('\r').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair of ends: what a person types into, and the terminal of a program.
    fn pair() -> (File, File) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        (person.into(), OpenOptions::new().read(true).write(true).open(name).unwrap())
    }

    #[test]
    fn the_terminal_is_silent_while_a_secret_is_typed_and_as_before_afterwards() {
        let (mut person, terminal) = pair();
        let echoes = |terminal: &File| tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echoes(&terminal));
        let silence = Silence::begin(terminal.try_clone().unwrap()).unwrap();
        assert!(!echoes(&terminal));
        person.write_all("größer than hunter2\n".as_bytes()).unwrap();
        assert_eq!(line(terminal.try_clone().unwrap()).unwrap(), "größer than hunter2");
        drop(silence);
        assert!(echoes(&terminal));
    }
}
