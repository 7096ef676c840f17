//! `runwarden jobs output`: what a job has printed so far.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use super::failure::{Exit, Failure};
use crate::api::Api;
use crate::cli::Output;
use crate::terminal::{Colours, Screen, print, say};

/// Prints it: as it is to a file or a program, harmless to a terminal.
pub(super) async fn print_all(api: &Api, one: &Output) -> Result<Exit, Failure> {
    let path = format!("/api/v1/jobs/{}/output?offset={}", one.job, one.offset);
    let mut answer = api.open(&path, None).await?;
    let says = |name| answer.headers().get(name).is_some_and(|value| value == "true");
    let is_cut = says("x-output-truncated");
    let is_incomplete = says("x-output-incomplete");
    let stdout = std::io::stdout();
    let mut person = stdout.is_terminal().then(|| (Screen::new(Colours::on(&stdout)), Letters::default()));
    while let Some(chunk) = answer.chunk().await.context("the output broke off: this is not all of it")? {
        match &mut person {
            Some((screen, letters)) => print(screen.shown(&letters.read(&chunk)).as_bytes())?,
            None => print(&chunk)?,
        }
    }
    if is_cut {
        say("runwarden jobs output: the run printed more than is kept");
    }
    if is_incomplete {
        say("runwarden jobs output: the run may have printed more than could be read");
    }
    Ok(Exit::Well)
}

/// Text from bytes that come in pieces, which may cut a letter.
#[derive(Default)]
struct Letters {
    rest: Vec<u8>,
}

impl Letters {
    fn read(&mut self, chunk: &[u8]) -> String {
        self.rest.extend_from_slice(chunk);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // What is wrong in the middle stays wrong; what is missing at the end may come.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Letters;

    #[test]
    fn a_letter_that_is_cut_is_put_together() {
        let text = "größer 東京\n";
        for size in 1..5 {
            let mut letters = Letters::default();
            let read: String = text.as_bytes().chunks(size).map(|chunk| letters.read(chunk)).collect();
            assert_eq!(read, text, "in pieces of {size}");
        }
        let mut letters = Letters::default();
        assert_eq!(letters.read(b"a\xffb"), "a\u{fffd}b");
    }
}
