//! Reading Server-Sent Events (WHATWG HTML section 9.2).

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

/// The largest event that is taken, in bytes: whole jobs with their parameters, and long pieces of output.
const LARGEST_EVENT: usize = 64 << 20;
/// How long a stream may be silent before it is taken for dead: the server says every 15 seconds that it is there.
const SILENCE: Duration = Duration::from_secs(50);

/// A stream of events.
pub(crate) struct Events {
    response: Response,
    blocks: Blocks,
    last_word: Option<Instant>,
}

/// One event.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    /// What to come back with to go on after it; none if it cannot be gone on after.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// What it carries: JSON, or a text that is not.
    pub(crate) data: Value,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        Self { response, blocks: Blocks::default(), last_word: None }
    }

    /// When there was word of what is followed for the last time: an event, or that the server is still there. None if
    /// the stream was only opened, or ended with an error.
    pub(crate) fn last_word(&self) -> Option<Instant> {
        self.last_word
    }

    /// The next event; none when the stream has ended.
    ///
    /// # Errors
    /// When the stream breaks off, goes silent, or is none.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            let event = self.blocks.next();
            if std::mem::take(&mut self.blocks.has_word) {
                self.last_word = Some(Instant::now());
            }
            if event.is_some() {
                return Ok(event);
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.context("the stream went silent")?;
            match chunk.context("the stream broke off")? {
                Some(chunk) => self.blocks.add(&chunk)?,
                None => return Ok(None),
            }
        }
    }
}

/// What has arrived and is not read yet.
#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
    /// How many of the bytes are known to hold no end of a block.
    searched: usize,
    /// Whether an event or a comment has come, rather than what only opens a stream or breaks it.
    has_word: bool,
}

impl Blocks {
    fn add(&mut self, chunk: &[u8]) -> anyhow::Result<()> {
        if self.bytes.len() + chunk.len() > LARGEST_EVENT {
            bail!("an event is larger than the limit of {LARGEST_EVENT} bytes");
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The next whole event; comments are passed over.
    fn next(&mut self) -> Option<Event> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(at) = unsearched.windows(2).position(|pair| pair == b"\n\n") else {
                // The last byte may be the first half of an end.
                self.searched = self.bytes.len().saturating_sub(1);
                return None;
            };
            let block: Vec<u8> = self.bytes.drain(..self.searched + at + 2).collect();
            self.searched = 0;
            let event = parse(&String::from_utf8_lossy(&block));
            self.has_word |= event.as_ref().map_or(block.starts_with(b":"), |event| event.name != "error");
            if event.is_some() {
                return event;
            }
        }
    }
}

/// One block of lines; none if it carries nothing.
fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, String::new(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let data = data.join("\n");
    Some(Event { id, name, data: serde_json::from_str(&data).unwrap_or(Value::String(data)) })
}

#[cfg(test)]
mod tests {
    use super::{Blocks, Event, parse};
    use serde_json::json;

    #[test]
    fn comments_are_passed_over_and_data_lines_are_joined() {
        assert!(parse(": still here\n\n").is_none());
        let event = parse("id: 3\nevent: output\ndata: \"a\"\n\n").expect("an event");
        assert_eq!(event, Event { id: Some("3".to_owned()), name: "output".to_owned(), data: json!("a") });
        assert_eq!(
            parse("data: a\ndata: b\n\n").and_then(|e| e.data.as_str().map(str::to_owned)).as_deref(),
            Some("a\nb")
        );
    }

    #[test]
    fn a_stream_that_only_opens_says_nothing() {
        for (stream, has_word) in [
            ("retry: 2000\n\n", false),
            (": keep-alive\n\n", true),
            ("data: 1\n\n", true),
            ("event: error\ndata: 1\n\n", false),
        ] {
            let mut blocks = Blocks::default();
            blocks.add(stream.as_bytes()).unwrap();
            while blocks.next().is_some() {}
            assert_eq!(blocks.has_word, has_word, "{stream}");
        }
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = b"retry: 2000\n\nid: 1\nevent: state\ndata: {}\n\n: keep-alive\n\nevent: end\ndata: 2\n\nid: 3\n";
        for size in 1..stream.len() {
            let (mut blocks, mut seen) = (Blocks::default(), Vec::new());
            for chunk in stream.chunks(size) {
                blocks.add(chunk).unwrap();
                seen.extend(std::iter::from_fn(|| blocks.next()).map(|event| (event.id, event.name, event.data)));
            }
            let want = [(Some("1".to_owned()), "state".to_owned(), json!({})), (None, "end".to_owned(), json!(2))];
            assert_eq!(seen, want, "in pieces of {size}");
        }
    }
}
